"""What the fixtures of all other tests promise."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.support.databases import ServiceDatabase
from tests.support.stores import Nats, RedisServer

SAMPLE = "tests.support.sample_svc"


def test_a_service_database_is_migrated_and_its_role_has_only_what_was_granted(
    service_database: Callable[[str], ServiceDatabase],
) -> None:
    database = service_database(SAMPLE)
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("INSERT INTO effects VALUES ('ord_1', 1)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DROP TABLE effects")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM dead_letters")
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("DROP TABLE effects")


def test_two_databases_of_one_service_share_nothing(
    service_database: Callable[[str], ServiceDatabase],
) -> None:
    first, second = service_database(SAMPLE), service_database(SAMPLE)
    with psycopg.connect(first.url, autocommit=True) as connection:
        connection.execute("INSERT INTO effects VALUES ('ord_1', 1)")
    with psycopg.connect(second.url) as connection:
        assert connection.execute("SELECT count(*) FROM effects").fetchone() == (0,)


def test_a_private_store_comes_back_on_its_port_after_it_was_killed_and_wiped(
    own_nats: Nats, own_redis: RedisServer
) -> None:
    for store in (own_nats, own_redis):
        port = store.port
        store.kill()
        store.wipe()
        store.start()
        assert store.answers()
        assert store.port == port


async def test_shared_stores_are_empty_at_the_start_of_a_test(nats_url: str, redis_url: str) -> None:
    assert nats_url.startswith("nats://")
    assert redis_url.startswith("redis://")
