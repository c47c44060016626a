"""One Postgres database: a bounded pool, deadlines on everything, and the one retry of conflicts.

psycopg without an ORM: a hot path is a handful of set-based statements per batch (docs/decisions/0001).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
import stamina
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from kit.store import reasons
from kit.store.arrays import ArrayDumper
from kit.values.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

T = TypeVar("T")
Connection = psycopg.AsyncConnection[tuple[Any, ...]]

# The store is gone, or too busy to be used: worth another try with the same key, never an answer.
STORE_UNAVAILABLE: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    PoolTimeout,
    # A primary that has become a standby, and a transaction that was ended while it stood idle.
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
)


def store_unavailable(
    message: str = "the database does not answer; send the request again with the same key",
) -> Unavailable:
    """Return what a caller is told when the store is gone."""
    return Unavailable(reasons.STORE_UNAVAILABLE, message, retry_after_s=1.0)


class StatementRefused(psycopg.DataError):
    """A statement took too long or asked for too much: its own fault, not that of the store.

    psycopg files these under `OperationalError`, where a lost connection is; waiting for the store would
    then wait for ever, and a whole batch with it.
    """

    @property
    def took_too_long(self) -> bool:
        """Whether it was ended by its time-out, and may do better when less is going on."""
        return isinstance(self.__cause__, psycopg.errors.QueryCanceled)


@contextmanager
def _blaming_the_statement() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        # 57014: ended by statement_timeout. Class 54: a limit of Postgres, such as the size of an index row.
        if error.sqlstate == "57014" or (error.sqlstate or "").startswith("54"):
            raise StatementRefused(str(error)) from error
        raise


class Outdated(Conflict):
    """What a transaction has read was changed by another before it could write: it starts again.

    Raised by adapters that guard a write by the version they have read. Who runs out of attempts tells
    the caller `CONCURRENT_CHANGE`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(reasons.CONCURRENT_CHANGE, message, retry_after_s=1.0)


# Serialisation failure and deadlock: Postgres asks for the whole transaction to be run again; so does an
# optimistic version that did not match.
_RETRIED: Final = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected, Outdated)

# Enough for a burst of conflicts on one hot row; after that the caller should slow down.
_ATTEMPTS: Final = 8

# Losers of one race must not meet again, so their pauses differ by up to this much.
_JITTER_S: Final = 0.01

# Longer than any statement of ours takes under load, shorter than a caller's patience.
_STATEMENT_TIMEOUT_MS: Final = 5_000

# A handler that holds a transaction longer than this is stuck; Postgres ends it.
_IDLE_TIMEOUT_MS: Final = 10_000

# Plans are kept, and one that is made while a table is nearly empty reads all of it: right then, and the
# most expensive thing we do a minute of traffic later, until Postgres analyses the table. Whatever we ask
# often goes by a key. (Inventory, first minute: 136 in place of 287 microseconds of Postgres per order.)
_PLANNER: Final = "-c enable_seqscan=off"


async def _configure(connection: Connection) -> None:
    connection.adapters.register_dumper(list, ArrayDumper)


class Database:
    """The database of one service.

    Args:
        url: `postgresql://…` of the service's own limited role.
        max_connections: bound of the pool.
        checkout_timeout_s: how long to wait for a connection before giving up.
    """

    def __init__(self, url: str, *, max_connections: int = 8, checkout_timeout_s: float = 2.0) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=max_connections,
            timeout=checkout_timeout_s,
            open=False,
            configure=_configure,
            kwargs={
                "autocommit": True,
                "connect_timeout": 5,
                # A statement is prepared at its second use: the hot ones are few and always the same.
                "prepare_threshold": 1,
                "options": f"-c statement_timeout={_STATEMENT_TIMEOUT_MS}"
                f" -c idle_in_transaction_session_timeout={_IDLE_TIMEOUT_MS}"
                f" {_PLANNER}",
            },
        )

    async def open(self) -> None:
        """Open the pool; returns when one connection works, raises `PoolTimeout` if none does in 10 s."""
        await self._pool.open(wait=True, timeout=10.0)

    async def close(self) -> None:
        """Close all connections, giving those in use 5 s to come back."""
        await self._pool.close(timeout=5.0)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection in autocommit mode, for single statements and reads."""
        with _blaming_the_statement():
            async with self._pool.connection() as connection:
                yield connection

    async def transact(self, body: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `body` in one transaction and return its result; nothing stays if it raises.

        `body` runs again, from its beginning, on 40001, 40P01 and `Outdated`, so it must not change anything
        but the database.
        """
        async for attempt in stamina.retry_context(
            on=_RETRIED,
            attempts=_ATTEMPTS,
            timeout=10.0,
            wait_initial=0.005,
            wait_max=0.2,
            wait_jitter=_JITTER_S,
        ):
            with attempt, _blaming_the_statement():
                async with self._pool.connection() as connection, connection.transaction():
                    return await body(connection)
        raise AssertionError("retry_context either returns or raises")
