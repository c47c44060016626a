"""Lets go of rows whose time is over, so that tables stay as large as what is kept.

A table is declared to be kept for a while by a row of `retention`, in the revision that makes it. Most are
partitioned by the time in their ids: partitions are made ahead, and an old one is dropped, whatever it holds.
Ids that are not ours, and what comes for a time that has no partition, go to the default one, from which old
rows are deleted some at a time, as they are from tables without partitions (docs/decisions/0017).

The service may not drop or delete anything itself. Functions of the tables' owner do it, for the tables of
`retention` only, and for no shorter time than is said there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, LiteralString

import structlog

from kit.store.database import STORE_UNAVAILABLE, Database, Held

log = structlog.get_logger(__name__)

# Short enough to hold nobody up, long enough to be worth a commit.
_CHUNK_ROWS: Final = 5_000

# What a turn deletes of one table before it is the next one's: what is left is the next turn's.
_MAX_CHUNKS: Final = 100


# A partition is attached while the default one is locked and read: rather not at all than for as long as the
# statements that wait for it have.
_ATTACH_S: Final = 2.0

_PARTITIONED_SQL: Final = "SELECT name FROM retention WHERE partition_days IS NOT NULL ORDER BY name"


async def make_ahead(database: Database) -> int:
    """Make the partitions of the coming days and return how many were missing.

    Each is a transaction of its own, and a table that fails keeps no other from its turn.

    Raises:
        ExceptionGroup: of the tables that could not be given all of theirs. It is told until they have them.
    """
    made = 0
    failed: list[Exception] = []
    async with database.connection() as connection:
        tables = await (await connection.execute(_PARTITIONED_SQL)).fetchall()
    for (table,) in tables:
        try:
            while await _call(database, "SELECT make_partitions(%s, 1)", table, statement_s=_ATTACH_S):
                made += 1
        except Held:
            # Somebody reads the table for longer than we let others wait for us.
            log.info("partitions.postponed", table=table)
        except STORE_UNAVAILABLE:
            raise
        except Exception as error:  # the boundary of one table's turn
            error.add_note(f"Table {table} could not be given the partitions of the coming days.")
            log.error("partitions.failed", table=table, exc_info=error)
            failed.append(error)
    if made:
        log.info("partitions.made", partitions=made)
    if failed:
        raise ExceptionGroup("tables without the partitions of the coming days", failed)
    return made


async def let_go(database: Database, days: Mapping[str, int]) -> None:
    """Drop old partitions and delete old rows; a table that fails keeps no other from its turn.

    Args:
        days: by table: how long its rows stay.
    """
    for table, kept_days in days.items():
        try:
            dropped = await _call(database, "SELECT drop_partitions(%s, %s)", table, kept_days)
            forgotten = await _forget(database, table, kept_days)
        except Held:
            log.info("retention.postponed", table=table)
        except STORE_UNAVAILABLE:
            raise
        except Exception as error:  # the boundary of one table's turn
            log.error("retention.failed", table=table, exc_info=error)
        else:
            if dropped or forgotten:
                log.info("retention.let_go", table=table, partitions=dropped, rows=forgotten)


async def _forget(database: Database, table: str, kept_days: int) -> int:
    forgotten = 0
    for _ in range(_MAX_CHUNKS):
        rows = await _call(database, "SELECT forget_rows(%s, %s, %s)", table, kept_days, _CHUNK_ROWS)
        forgotten += rows
        if rows < _CHUNK_ROWS:
            break
    return forgotten


async def _call(
    database: Database, statement: LiteralString, *parameters: object, statement_s: float = 60.0
) -> int:
    async with database.patient(statement_s=statement_s) as connection:
        row = await (await connection.execute(statement, parameters)).fetchone()
    assert row is not None, "a function returns a row"
    return int(row[0])
