"""Old rows go, what they cost does not grow with what is kept, and nothing is forgotten too early."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import psycopg
import pytest

from kit.messaging import dead_letters, inbox
from kit.messaging.dead_letters import DeadLetter
from kit.runtime.background import LET_GO, of_every_context
from kit.store import partitions
from kit.store.database import Connection, Database
from kit.store.proof import MISSING_PARTITIONS
from kit.values.ids import new_id
from kit.values.schedule import Schedule
from tests.conftest import RecordingRuntimeFactory
from tests.integration.kit.sample import SAMPLE
from tests.support.databases import ServiceDatabase
from tests.support.service import RecordingRuntime

PARTITION: Final = "SELECT tableoid::regclass::text FROM inbox WHERE event_id = %s"
DAYS: Final = {"inbox": 8, "dead_letters": 90, "idempotency_keys": 0}


class Kept:
    """A service's database, as the service sees it and as its owner does."""

    def __init__(self, runtime: RecordingRuntime, urls: ServiceDatabase) -> None:
        self.runtime = runtime
        self.urls = urls

    @property
    def database(self) -> Database:
        """What the service has."""
        return self.runtime.database

    def as_owner(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement as the role that owns the tables."""
        with psycopg.connect(self.urls.owner_url, autocommit=True) as connection:
            # The template's owner has made the tables, so it owns the partitions as well.
            connection.execute(
                "SELECT set_config('role', tableowner, false) FROM pg_tables WHERE tablename = 'retention'"
            )
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def live_through(self, days: int, *, events: int) -> None:
        """Let days have passed, each with its partition and its events, the last of them yesterday."""
        self.as_owner(
            "SELECT make_partition('inbox', day, day + interval '24 hours') FROM generate_series("
            " date_bin('1 day', now(), timestamptz 'epoch') - make_interval(hours => 24 * %s),"
            " date_bin('1 day', now(), timestamptz 'epoch') - interval '24 hours', '24 hours') AS day",
            days,
        )
        self.as_owner(
            "INSERT INTO inbox (consumer, event_id, received_at)"
            " SELECT 'a_svc', id_at('evt', at) || lpad(upper(to_hex(n)), 16, '0'), at"
            " FROM generate_series(1, %s) AS day, generate_series(1, %s) AS n,"
            " LATERAL (SELECT date_bin('1 day', now(), timestamptz 'epoch')"
            "  - make_interval(hours => 24 * day) + n * interval '24 hours' / (%s + 1) AS at)",
            days,
            events,
            events,
        )

    def days(self) -> set[str]:
        """Return the partitions of the inbox that hold events."""
        return {row[0] for row in self.as_owner("SELECT DISTINCT tableoid::regclass::text FROM inbox")}

    def pages_of_a_turn(self) -> int:
        """Return how many pages Postgres looks at when nothing is to be done."""
        pages = 0
        with psycopg.connect(self.urls.url, autocommit=True) as connection:
            for call in ("drop_partitions('inbox', 8)", "forget_rows('inbox', 8, 5000)"):
                for _ in range(2):  # The first look fills what a session remembers of the catalogue.
                    plan = connection.execute(
                        f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) SELECT {call}".encode()
                    ).fetchall()
                pages += sum(
                    int(n) for n in re.findall(r"(?:hit|read)=(\d+)", " ".join(row[0] for row in plan))
                )
        return pages


@pytest.fixture
async def kept(
    service_runtime: RecordingRuntimeFactory, service_database: Callable[[str], ServiceDatabase]
) -> Kept:
    """The sample service's database."""
    database = service_database(SAMPLE)
    return Kept(await service_runtime(SAMPLE, emits=[], database=database), database)


async def admitted(kept: Kept, *event_ids: str) -> frozenset[str]:
    """Return which events the inbox had not known."""
    return await kept.database.transact(lambda c: inbox.admit(c, "a_svc", event_ids))


async def test_whoever_reads_a_table_for_long_only_postpones_its_partitions(kept: Kept) -> None:
    [(last,)] = kept.as_owner("SELECT max(part::text) FROM partitions_of('inbox')")
    kept.as_owner(f"DROP TABLE {last}")
    with psycopg.connect(kept.urls.owner_url) as reader:
        reader.execute("SELECT count(*) FROM inbox")  # A dump, or a report.
        assert await partitions.make_ahead(kept.database) == 0
    assert await partitions.make_ahead(kept.database) == 1


async def test_an_old_day_goes_as_a_whole_and_a_young_one_stays(kept: Kept) -> None:
    kept.live_through(12, events=20)
    before = kept.days()
    await partitions.let_go(kept.database, DAYS)
    left = kept.days()
    # Eight days are kept to the second, so that of the oldest that is left a part is old.
    assert (len(before), len(left)) == (12, 8)
    assert left == set(sorted(before)[4:])
    assert not kept.as_owner("SELECT relname FROM pg_class WHERE relname = ANY (%s)", sorted(before - left))


async def test_a_turn_costs_the_same_however_much_is_kept(kept: Kept) -> None:
    kept.live_through(8, events=50)
    little = kept.pages_of_a_turn()
    kept.as_owner(
        "INSERT INTO inbox (consumer, event_id, received_at) SELECT consumer, event_id || n, received_at"
        " FROM inbox, generate_series(1, 100) AS n"
    )
    assert kept.pages_of_a_turn() <= little + 10


async def test_ids_of_all_kinds_are_admitted_once(kept: Kept) -> None:
    strange = ["", "evt_", "evt_zzz", "unreadable-0123", "über", "~"]
    ours = [new_id("evt") for _ in range(3)]
    assert await admitted(kept, *strange, *ours) == {*strange, *ours}
    assert await admitted(kept, *strange, *ours) == frozenset()
    assert {kept.as_owner(PARTITION, id_)[0][0] for id_ in strange} == {"inbox_default"}
    assert not {kept.as_owner(PARTITION, id_)[0][0] for id_ in ours} & {"inbox_default"}


async def test_what_came_late_stays_when_its_day_goes(kept: Kept) -> None:
    kept.live_through(12, events=5)
    # A dead letter from before, replayed today: its event must not have its effect twice.
    [(replayed,)] = kept.as_owner("SELECT id_at('evt', now() - interval '11 days') || 'X'")
    assert await admitted(kept, replayed) == {replayed}
    await partitions.let_go(kept.database, DAYS)
    assert await admitted(kept, replayed) == frozenset()
    assert kept.as_owner(PARTITION, replayed) == [("inbox_default",)]


async def test_what_is_in_the_default_partition_goes_when_it_is_old(kept: Kept) -> None:
    kept.as_owner(
        "INSERT INTO inbox (consumer, event_id, received_at) SELECT 'a_svc', 'foreign-' || n,"
        " now() - make_interval(days => n) FROM generate_series(1, 12) AS n"
    )
    await partitions.let_go(kept.database, DAYS)
    assert kept.as_owner("SELECT count(*) FROM inbox") == [(7,)]


async def test_after_weeks_without_it_everything_goes_on_and_mends_itself(kept: Kept) -> None:
    for (part,) in kept.as_owner("SELECT part::text FROM partitions_of('inbox')"):
        kept.as_owner(f"DROP TABLE {part}")
    events = [new_id("evt") for _ in range(3)]
    assert await admitted(kept, *events) == set(events)
    assert kept.days() == {"inbox_default"}

    # Today's events are where they are; tomorrow has its own partition again.
    assert await partitions.make_ahead(kept.database) == 7
    assert await admitted(kept, *events) == frozenset()
    [(tomorrow,)] = kept.as_owner("SELECT id_at('evt', now() + interval '24 hours') || 'X'")
    await admitted(kept, tomorrow)
    assert kept.as_owner(PARTITION, tomorrow) != [("inbox_default",)]
    assert await partitions.make_ahead(kept.database) == 0


@pytest.fixture
async def orders(
    service_runtime: RecordingRuntimeFactory, service_database: Callable[[str], ServiceDatabase]
) -> Kept:
    """A database with two tables of partitions, inbox and timeline."""
    database = service_database("order_svc")
    return Kept(await service_runtime("order_svc", emits=[], database=database), database)


async def test_a_table_that_cannot_have_a_partition_keeps_no_other_from_its_own_and_is_told(
    orders: Kept,
) -> None:
    def drop_last(table: str) -> str:
        [(last,)] = orders.as_owner("SELECT max(part::text) FROM partitions_of(%s)", table)
        orders.as_owner(f"DROP TABLE {last}")
        return str(last)

    inbox_day, timeline_week = drop_last("inbox"), drop_last("timeline")
    orders.as_owner(f"CREATE TABLE {inbox_day} (in_the_way integer)")
    with pytest.raises(ExceptionGroup) as told:
        await partitions.make_ahead(orders.database)
    assert told.group_contains(psycopg.errors.DuplicateTable)
    assert "Table inbox" in told.value.exceptions[0].__notes__[0]
    weeks = orders.as_owner("SELECT part::text FROM partitions_of('timeline')")
    assert (timeline_week,) in weeks


async def test_a_table_that_somebody_reads_for_long_is_postponed(orders: Kept) -> None:
    [(last,)] = orders.as_owner("SELECT max(part::text) FROM partitions_of('inbox')")
    orders.as_owner(f"DROP TABLE {last}")
    async with await psycopg.AsyncConnection.connect(orders.urls.owner_url) as reader:
        await reader.execute("SELECT count(*) FROM inbox")
        assert await partitions.make_ahead(orders.database) == 0
    assert await partitions.make_ahead(orders.database) == 1


async def test_a_table_without_a_partition_for_the_coming_days_is_found(orders: Kept) -> None:
    assert orders.as_owner(MISSING_PARTITIONS) == []
    [(last,)] = orders.as_owner("SELECT max(part::text) FROM partitions_of('timeline')")
    for (part,) in orders.as_owner("SELECT part::text FROM partitions_of('timeline')"):
        orders.as_owner(f"ALTER TABLE timeline DETACH PARTITION {part}")
    [(table, day)] = orders.as_owner(MISSING_PARTITIONS)
    assert table == "timeline"
    assert f"timeline_{day.replace('-', '')}" <= last


async def test_replicas_may_do_it_at_once_while_events_come(kept: Kept) -> None:
    kept.live_through(20, events=20)
    for (part,) in kept.as_owner(
        "SELECT part::text FROM partitions_of('inbox') ORDER BY end_id DESC LIMIT 5"
    ):
        kept.as_owner(f"DROP TABLE {part}")
    events = [[new_id("evt") for _ in range(5)] for _ in range(20)]
    _, made, fresh = await asyncio.gather(
        asyncio.gather(*(partitions.let_go(kept.database, DAYS) for _ in range(3))),
        asyncio.gather(*(partitions.make_ahead(kept.database) for _ in range(3))),
        asyncio.gather(*(admitted(kept, *each) for each in events)),
    )
    assert fresh == [frozenset(each) for each in events]
    await partitions.let_go(kept.database, DAYS)
    assert await partitions.make_ahead(kept.database) + sum(made) == 5
    assert await admitted(kept, *(id_ for each in events for id_ in each)) == frozenset()


async def test_a_table_that_fails_keeps_no_other_from_its_turn(kept: Kept) -> None:
    kept.live_through(12, events=5)
    await partitions.let_go(kept.database, {"absent": 1, "dead_letters": 7, **DAYS})
    assert len(kept.days()) == 8


async def test_the_service_can_forget_nothing_by_itself(kept: Kept) -> None:
    kept.live_through(3, events=5)
    for statement in (
        "DELETE FROM inbox",
        "TRUNCATE inbox",
        "DELETE FROM dead_letters",
        "UPDATE retention SET least_days = 0",
        "SELECT make_partition('inbox', now(), now())",
        "DROP TABLE inbox_default",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with kept.database.connection() as connection:
                await connection.execute(statement.encode())
    for call in ("drop_partitions('inbox', 7)", "forget_rows('inbox', 7, 1)"):
        with pytest.raises(psycopg.errors.RaiseException, match="8 days at least"):
            async with kept.database.connection() as connection:
                await connection.execute(f"SELECT {call}".encode())


async def _bury(letter: DeadLetter, connection: Connection) -> None:
    await dead_letters.bury(connection, letter, new_id)


async def test_a_dead_letter_goes_some_time_after_it_was_decided(kept: Kept) -> None:
    for number in range(3):
        letter = DeadLetter("a_svc", f"evt_{number}", "a.b", "", b"", {}, "no", 8)
        await kept.database.transact(partial(_bury, letter))
    kept.as_owner(
        "UPDATE dead_letters SET created_at = now() - interval '1 year', outcome = d.outcome,"
        " acknowledged_at = now() - make_interval(days => d.days) FROM (VALUES"
        " ('evt_0', 'discarded', 91), ('evt_1', 'replayed', 89), ('evt_2', NULL, NULL))"
        " AS d (event_id, outcome, days) WHERE dead_letters.event_id = d.event_id"
    )
    await partitions.let_go(kept.database, DAYS)
    assert kept.as_owner("SELECT event_id FROM dead_letters ORDER BY 1") == [("evt_1",), ("evt_2",)]


async def test_a_letter_whose_event_was_handled_after_all_is_closed_before_the_inbox_forgets(
    kept: Kept,
) -> None:
    """One replica has buried it while a late copy was handled by another."""
    kept.live_through(12, events=2)
    [(old,)] = kept.as_owner("SELECT min(event_id) FROM inbox")
    for event_id in (old, "evt_without_effect"):
        letter = DeadLetter("a_svc", event_id, "a.b", "", b"", {}, "no", 8)
        await kept.database.transact(partial(_bury, letter))
    work: dict[Schedule, Callable[[], Awaitable[object]]] = {}
    of_every_context(work.__setitem__, kept.database, kept.runtime.outbox, DAYS)
    await work[LET_GO]()
    assert kept.as_owner("SELECT event_id FROM inbox WHERE event_id = %s", old) == []
    assert kept.as_owner("SELECT event_id, outcome FROM dead_letters ORDER BY 1") == sorted(
        [(old, "handled"), ("evt_without_effect", None)]
    )


async def test_forgetting_keys_costs_as_much_as_there_are_old_ones(kept: Kept) -> None:
    def add(count: int, expires_in_h: int) -> None:
        kept.as_owner(
            "INSERT INTO idempotency_keys (principal, method, key, fingerprint, response, expires_at)"
            " SELECT 'buyer:a', '/a', %s::text || '-' || n, sha256('a'), repeat('a', 500)::bytea,"
            " now() + make_interval(hours => %s)"
            " FROM generate_series(1, %s) AS n",
            expires_in_h,
            expires_in_h,
            count,
        )

    add(40_000, 12)
    add(200, -1)
    kept.as_owner("ANALYZE idempotency_keys")
    with psycopg.connect(kept.urls.url, autocommit=True) as connection:
        plan = connection.execute(
            "EXPLAIN (ANALYZE, BUFFERS) SELECT forget_rows('idempotency_keys', 0, 5000)"
        ).fetchall()
    text = " ".join(row[0] for row in plan)
    pages = sum(int(n) for n in re.findall(r"(?:hit|read)=(\d+)", text))
    [(all_pages,)] = kept.as_owner("SELECT pg_relation_size('idempotency_keys') / 8192")
    assert all_pages > 2 * pages
    # Found by its index, locked, deleted, and some pages of the catalogue: nothing of what stays.
    assert pages < 200 * 5 + 500
    assert kept.as_owner("SELECT count(*) FROM idempotency_keys") == [(40_000,)]
