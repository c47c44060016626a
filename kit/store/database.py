"""One Postgres database: a bounded pool, deadlines on everything, and the one retry of conflicts.

psycopg without an ORM: a hot path is a handful of set-based statements per batch (docs/decisions/0001).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
import stamina
import structlog
from psycopg_pool import AsyncConnectionPool

from kit.store import reasons
from kit.store.arrays import ArrayDumper
from kit.store.connection import GRACE_S, STATEMENT_TIMEOUT_S, BoundedConnection, Silent, parameters
from kit.store.sqlstate import Blame, blame
from kit.values.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

T = TypeVar("T")
Connection = psycopg.AsyncConnection[tuple[Any, ...]]

log = structlog.get_logger(__name__)

# The store is gone, or too busy to be used: worth another try with the same key, never an answer. What
# psycopg files elsewhere comes out of a `Database` as one of these, see `kit.store.sqlstate`.
STORE_UNAVAILABLE: Final = (psycopg.OperationalError, psycopg.InterfaceError)


def store_unavailable(
    message: str = "the database does not answer; send the request again with the same key",
) -> Unavailable:
    """Return what a caller is told when the store is gone."""
    return Unavailable(reasons.STORE_UNAVAILABLE, message, retry_after_s=1.0)


class StoreFailed(psycopg.OperationalError):
    """The store cannot do its work: its own fault, wherever psycopg files it."""


class StatementRefused(psycopg.DataError):
    """A statement took too long or asked for too much: its own fault, not that of the store.

    psycopg files these under `OperationalError`, where a lost connection is; waiting for the store would
    then wait for ever, and a whole batch with it.
    """

    @property
    def took_too_long(self) -> bool:
        """Whether it was ended by its time-out, and may do better when less is going on."""
        return isinstance(self.__cause__, psycopg.errors.QueryCanceled)


class Held(psycopg.DatabaseError):
    """Somebody holds it up, by a lock or by a decision: to be waited for, while all else goes on."""


class Outdated(Conflict):
    """What a transaction has read was changed by another before it could write: it starts again.

    Raised by adapters that guard a write by the version they have read. Who runs out of attempts tells
    the caller `CONCURRENT_CHANGE`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(reasons.CONCURRENT_CHANGE, message, retry_after_s=1.0)


def _runs_again(error: Exception) -> bool:
    """Return whether the whole transaction may do better at once."""
    if isinstance(error, psycopg.Error):
        return blame(error) in (Blame.RACE, Blame.PLAN)
    return isinstance(error, Outdated)


# Enough for a burst of conflicts on one hot row; after that the caller should slow down.
_ATTEMPTS: Final = 8

# Losers of one race must not meet again, so their pauses differ by up to this much.
_JITTER_S: Final = 0.01

# Who starts before the store waits for so long; then the supervisor starts it again.
_OPEN_DEADLINE_S: Final = 10.0

_LOOK_S: Final = 0.05

# A lost connection is replaced for so long; then whoever needs the next one tries, so that no long pause is
# still running when the store is back.
_RECONNECT_S: Final = 3.0

# SQLSTATE of a primary that has become a standby.
_READ_ONLY: Final = "25006"

# For work that nobody waits for.
_PATIENCE_S: Final = 30.0


async def _configure(connection: BoundedConnection) -> None:
    connection.adapters.register_dumper(list, ArrayDumper)


class Database:
    """The database of one service.

    Args:
        url: `postgresql://…` of the service's own limited role; several hosts, separated by commas, are a
            primary and its standbys.
        max_connections: bound of the pool.
        checkout_timeout_s: how long to wait for a connection before giving up.
        pooled: the address is that of a PgBouncer, which pools transactions.
    """

    def __init__(
        self,
        url: str,
        *,
        max_connections: int = 8,
        checkout_timeout_s: float = 2.0,
        pooled: bool = False,
    ) -> None:
        self._pool: AsyncConnectionPool[BoundedConnection] = AsyncConnectionPool(
            url,
            connection_class=BoundedConnection,
            min_size=1,
            max_size=max_connections,
            timeout=checkout_timeout_s,
            reconnect_timeout=_RECONNECT_S,
            open=False,
            configure=_configure,
            kwargs=parameters(url, pooled=pooled),
        )

    async def open(self) -> None:
        """Open the pool; returns when a connection works, raises what keeps it from that after 10 s."""
        await self._pool.open()
        deadline = time.monotonic() + _OPEN_DEADLINE_S
        while True:
            try:
                return await self._look_at_role()
            except STORE_UNAVAILABLE:
                if time.monotonic() > deadline:
                    await self._pool.close()
                    raise
            await asyncio.sleep(_LOOK_S)

    async def close(self) -> None:
        """Close all connections, giving those in use 5 s to come back."""
        await self._pool.close(timeout=5.0)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection in autocommit mode, for single statements and reads."""
        async with self._lend() as connection:
            yield connection

    @asynccontextmanager
    async def patient(self, *, statement_s: float = _PATIENCE_S) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction whose statements may take long: for work in the background."""
        async with self._lend() as connection, connection.transaction():
            await connection.execute(
                "SELECT set_config('statement_timeout', %s, true)", (str(int(statement_s * 1000)),)
            )
            usual_s, connection.answer_s = connection.answer_s, statement_s + GRACE_S
            try:
                yield connection
            finally:
                connection.answer_s = usual_s

    async def transact(self, body: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `body` in one transaction and return its result; nothing stays if it raises.

        `body` runs again, from its beginning, on what `Blame.RACE` and `Blame.PLAN` stand for and on
        `Outdated`, so it must not change anything but the database.
        """
        async for attempt in stamina.retry_context(
            on=_runs_again,
            attempts=_ATTEMPTS,
            timeout=10.0,
            wait_initial=0.005,
            wait_max=0.2,
            wait_jitter=_JITTER_S,
        ):
            with attempt:
                async with self._lend() as connection, connection.transaction():
                    return await body(connection)
        raise AssertionError("retry_context either returns or raises")

    @asynccontextmanager
    async def _lend(self) -> AsyncIterator[BoundedConnection]:
        """Lend a connection; what goes wrong with it is told as what it is."""
        try:
            async with self._pool.connection() as connection:
                yield connection
        except psycopg.Error as error:
            if isinstance(error, Silent) or error.sqlstate == _READ_ONLY:
                # The others lead to the same server, and would each cost somebody as much to find out.
                await self._pool.drain()
            of_the_store = isinstance(error, STORE_UNAVAILABLE)
            match blame(error):
                case Blame.STATEMENT if of_the_store:
                    raise StatementRefused(str(error)) from error
                case Blame.HELD:
                    raise Held(error.diag.message_primary or str(error)) from error
                case Blame.STORE if not of_the_store:
                    raise StoreFailed(str(error)) from error
            raise

    async def _look_at_role(self) -> None:
        """Say so if whoever made our role has given it no limit, or one that we do not wait for."""
        async with self._lend() as connection:
            cursor = await connection.execute(
                "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'"
            )
            row = await cursor.fetchone()
        assert row is not None, "every Postgres has this setting"
        if not 0 < row[0] <= STATEMENT_TIMEOUT_S * 1000:
            log.warning(
                "database.role_without_limit",
                statement_timeout_ms=row[0],
                means=f"a statement that takes {STATEMENT_TIMEOUT_S:g} s is taken for a lost connection",
                way_out="ALTER ROLE … IN DATABASE … SET statement_timeout = '3s'",
            )
