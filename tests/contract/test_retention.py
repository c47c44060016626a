"""No table without an answer: what docs/retention.md says is what the databases and the settings are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import psycopg
import pytest

from kit.rpc.idempotency import KEY_TTL
from roster import ROSTER
from tests.conftest import RecordingRuntimeFactory
from tests.support.databases import ServiceDatabase

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "retention.md"

_ROW: Final = re.compile(r"^\| `(?P<table>\w+)` \| (?P<whose>all|`\w+`) \| (?P<stays>[^|]+) \|", re.MULTILINE)
_DAYS: Final = re.compile(r"(\d+) days?")

# Tables, and partitioned ones as a whole; what Alembic keeps is its own.
_TABLES: Final = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    AND NOT relispartition AND relname <> 'alembic_version'
"""


# What a context has no default for.
REQUIRED: Final[Mapping[str, Mapping[str, str]]] = {
    "payment_svc": {"psp_api_key": "sk_test_florin", "psp_webhook_secret": "whsec_florin"}
}


class Answer(NamedTuple):
    """What the page says of one table."""

    table: str
    stays: str


def answers(package: str) -> list[Answer]:
    """Return what the page says of the tables of a context."""
    return [
        Answer(row["table"], row["stays"])
        for row in _ROW.finditer(PAGE.read_text())
        if row["whose"] in ("all", f"`{package}`")
    ]


@pytest.mark.parametrize("package", ROSTER.packages)
async def test_every_table_has_an_answer_and_it_is_kept(
    package: str,
    service_database: Callable[[str], ServiceDatabase],
    service_runtime: RecordingRuntimeFactory,
) -> None:
    urls = service_database(package)
    with psycopg.connect(urls.superuser_url) as connection:
        tables = {name for (name,) in connection.execute(_TABLES.encode())}
        declared = {name for (name,) in connection.execute("SELECT name FROM retention")}
    said = answers(package)
    assert sorted(answer.table for answer in said) == sorted(tables), "docs/retention.md answers for each"
    runtime = await service_runtime(package, database=urls, settings=REQUIRED.get(package, {}))
    kept_days = runtime.kept_days
    assert kept_days.keys() == declared, "`runtime.keep` in bootstrap.py, and a row of retention"
    for table, stays in said:
        days = [int(number) for number in _DAYS.findall(stays)][:1]
        wanted = [] if table not in kept_days else [kept_days[table] or KEY_TTL.days]
        assert days == wanted, f"{table} stays {stays}, and the service keeps it for {wanted}"
