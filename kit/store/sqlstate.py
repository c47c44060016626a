"""Who has to act on an error of Postgres: one table of SQLSTATEs, for all of us.

A mistake here is expensive: the fault of a store that is blamed on an event makes a dead letter of it; that
of an event that is blamed on the store is waited with for ever, and the whole batch with it.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import psycopg


class Blame(Enum):
    """Whose fault an error is, and so what is done about it."""

    # The store is away, full, or not the one that takes writes: wait, and repeat the whole step.
    STORE = auto()
    # Somebody holds it up, by a lock or by a decision: wait as above, but the store can do all else.
    HELD = auto()
    # Others were faster: run the transaction again, at once.
    RACE = auto()
    # The table is another one than when the statement was planned: forget the plans, then as above.
    PLAN = auto()
    # The statement itself is wrong, or too much: waiting changes nothing.
    STATEMENT = auto()


# By whole SQLSTATE, which comes before the class (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_BY_CODE: Final = {
    "40001": Blame.RACE,  # serialization_failure
    "40P01": Blame.RACE,  # deadlock_detected
    "26000": Blame.PLAN,  # a prepared statement that this session does not know
    "25006": Blame.STORE,  # read_only_sql_transaction: a primary that has become a standby
    "25P03": Blame.STORE,  # idle_in_transaction_session_timeout: it was us who stood still, and not the event
    "55000": Blame.HELD,  # object_not_in_prerequisite_state: what posting says while it is halted
    "55P03": Blame.HELD,  # lock_not_available, by lock_timeout
    "57014": Blame.STATEMENT,  # query_canceled, by statement_timeout
}

# By the first two characters.
_BY_CLASS: Final = {
    "08": Blame.STORE,  # the connection; PgBouncer says 08P01 of everything that is its own
    "28": Blame.STORE,  # not let in
    "3D": Blame.STORE,  # no such database
    "53": Blame.STORE,  # out of disk, memory or connections
    "54": Blame.STATEMENT,  # a limit of Postgres, such as the size of an index row
    "57": Blame.STORE,  # shut down, crashed, starting, or the session ended by an operator
    "58": Blame.STORE,  # its disk or its operating system
}

# 0A000 is everything that Postgres cannot do; of one only it is a table that was changed.
_NOT_SUPPORTED: Final = "0A000"
_CHANGED_PLAN: Final = "cached plan"


def blame(error: psycopg.Error) -> Blame:
    """Return whose fault an error is.

    What is not in the table is the store's if psycopg files it there: a connection that was lost has no
    SQLSTATE. Anything else is the statement's.
    """
    code = error.sqlstate or ""
    if code == _NOT_SUPPORTED and _CHANGED_PLAN in str(error):
        return Blame.PLAN
    if known := _BY_CODE.get(code) or _BY_CLASS.get(code[:2]):
        return known
    of_the_store = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return Blame.STORE if of_the_store else Blame.STATEMENT
