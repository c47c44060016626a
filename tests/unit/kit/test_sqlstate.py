"""An error of Postgres is blamed on whoever can do something about it."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.errors import lookup

from kit.store.sqlstate import Blame, blame


def of(code: str, message: str = "as Postgres says it") -> psycopg.Error:
    return lookup(code)(message)


@pytest.mark.parametrize(
    "code",
    # Lost, shut down, crashed, starting, ended by an operator or as idle, full of connections or of data,
    # stepped down, stood still.
    "08000 08006 08P01 57P01 57P02 57P03 57P05 53300 53100 53200 58030 25006 25P03".split(),
)
def test_a_store_that_cannot_is_waited_for(code: str) -> None:
    assert blame(of(code)) is Blame.STORE


@pytest.mark.parametrize("code", ["55000", "55P03"])
def test_what_somebody_holds_up_is_waited_for_and_is_not_the_stores(code: str) -> None:
    assert blame(of(code)) is Blame.HELD


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_a_race_is_run_again(code: str) -> None:
    assert blame(of(code)) is Blame.RACE


def test_a_plan_of_another_table_is_made_again_and_nothing_else_of_its_code() -> None:
    assert blame(of("0A000", "cached plan must not change result type")) is Blame.PLAN
    assert blame(of("26000", 'prepared statement "_pg3_1" does not exist')) is Blame.PLAN
    assert blame(of("0A000", "FOR UPDATE is not allowed with DISTINCT clause")) is Blame.STATEMENT


@pytest.mark.parametrize("code", "57014 54000 54001 23505 22P02 42501 42P01 P0001".split())
def test_what_waiting_does_not_mend_is_the_statements_own(code: str) -> None:
    assert blame(of(code)) is Blame.STATEMENT


def test_what_has_no_code_is_the_stores_if_the_connection_says_it() -> None:
    assert blame(psycopg.OperationalError("server closed the connection unexpectedly")) is Blame.STORE
    assert blame(psycopg.InterfaceError("the connection is closed")) is Blame.STORE
    assert blame(psycopg.ProgrammingError("the query has 1 placeholder but 2 parameters")) is Blame.STATEMENT
