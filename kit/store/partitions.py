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


async def make_ahead(database: Database) -> int:
    """Make the partitions of the coming days and return how many were missing."""
    # Postgres looks through the default partition for what belongs into a new one: there is much to look at
    # only after this was not done for long.
    try:
        made = await _call(database, "SELECT make_partitions()")
    except Held:
        # Somebody reads a table for longer than we let others wait for us; there are days left.
        log.info("partitions.postponed")
        return 0
    if made:
        log.info("partitions.made", partitions=made)
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


async def _call(database: Database, statement: LiteralString, *parameters: object) -> int:
    async with database.patient(statement_s=60.0) as connection:
        row = await (await connection.execute(statement, parameters)).fetchone()
    assert row is not None, "a function returns a row"
    return int(row[0])
