"""One connection to Postgres that does not wait for a server that says nothing any more.

A network that drops packets tells nobody: the kernel sends again for a quarter of an hour before it gives up,
and whoever waits for an answer waits as long. So each answer has a deadline of ours, a bit later than the one
that the server itself keeps (`statement_timeout`): when ours comes first, nobody is there.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import Params, PQGen, QueryNoTemplate
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from kit.store.sqlstate import Blame, blame

RV = TypeVar("RV")

# Longer than any statement of ours takes under load; with the grace below still shorter than the five seconds
# in which a service has to say that it is stuck.
STATEMENT_TIMEOUT_S: Final = 3.0

# How much later than the server's own time-out an answer may come: a busy network, a busy event loop.
GRACE_S: Final = 0.5

# Postgres ends a transaction in which nothing is asked of it for so long: a step that is stuck, or whose
# connection was lost. Less than the time after which we give up a connection and repeat the step, which would
# otherwise wait for its own locks, be ended for that, and look like the one that is wrong.
IDLE_IN_TRANSACTION_S: Final = 3.0

# What each role of a service is given by whoever makes it (`ALTER ROLE … IN DATABASE … SET …`). It is no
# parameter of a connection, because PgBouncer takes none and gives a session to many in turn.
ROLE_SETTINGS: Final = {
    "statement_timeout": f"{STATEMENT_TIMEOUT_S:g}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S:g}s",
    # Plans are kept, and one that is made while a table is nearly empty reads all of it: right then, and the
    # most expensive thing we do a minute of traffic later, until Postgres analyses the table. Whatever we ask
    # often goes by a key. (Inventory, first minute: 136 in place of 287 microseconds of Postgres per order.)
    "enable_seqscan": "off",
}

# What the kernel is told of a connection; all of it can be set otherwise in the address.
_NETWORK: Final = {
    # For each address that is tried. psycopg takes no less.
    "connect_timeout": "2",
    # What was sent and not taken notice of for so long is not sent any more.
    "tcp_user_timeout": str(int((STATEMENT_TIMEOUT_S + GRACE_S) * 1000)),
    # And a connection on which nothing is sent is asked whether somebody is there.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "2",
    # Of several hosts, the one that takes writes.
    "target_session_attrs": "read-write",
}

# Asking a server to end a statement for a caller who has gone away: worth a try, and no more.
_CANCEL_S: Final = 1.0


class Silent(psycopg.OperationalError):
    """The server did not answer in time, not even that a statement has taken too long."""


class BoundedConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """A connection on which nothing is waited for longer than `answer_s`.

    Attributes:
        answer_s: how long the server may take for one answer. Afterwards the connection is of no use.
    """

    answer_s: float = STATEMENT_TIMEOUT_S + GRACE_S

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for an answer; raises `Silent` if none comes in time."""
        limit_s = self.answer_s if timeout is None else timeout
        try:
            return await super().wait(gen, interval, limit_s)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            # Nothing was read to the end: whatever came now would be taken for the next answer.
            self.pgconn.finish()
            raise Silent(f"no answer within {limit_s:g} s") from error

    async def cancel_safe(self, *, timeout: float = _CANCEL_S) -> None:
        """Ask the server to end what it does; a connection that cannot be told is given up."""
        try:
            await super().cancel_safe(timeout=min(timeout, _CANCEL_S))
        except psycopg.Error:
            self.pgconn.finish()
            raise

    async def execute(  # type: ignore[override]  # without template strings, which nobody here has
        self, query: QueryNoTemplate, params: Params | None = None, **how: Any
    ) -> psycopg.AsyncCursor[tuple[Any, ...]]:
        """Run a statement; one whose plan is out of date is planned again.

        In a transaction it is all of that which runs again, see `Database.transact`.
        """
        try:
            return await super().execute(query, params, **how)
        except psycopg.Error as error:
            if blame(error) is not Blame.PLAN or self.info.transaction_status != TransactionStatus.IDLE:
                raise
        # psycopg forgets its plans when it sees this.
        await super().execute("DEALLOCATE ALL")
        return await super().execute(query, params, **how)


def parameters(url: str, *, pooled: bool = False) -> dict[str, Any]:
    """Return what is added to an address: what it says of the network itself comes first.

    Args:
        pooled: between us and Postgres is a PgBouncer, which gives each transaction another session; so
            nothing is prepared.
    """
    said = conninfo_to_dict(url)
    network = {name: value for name, value in _NETWORK.items() if name not in said}
    # Otherwise a statement is prepared at its second use: the hot ones are few and always the same.
    return {"autocommit": True, "prepare_threshold": None if pooled else 1, **network}
