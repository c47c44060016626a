"""Two Postgres servers, of which one takes writes and the other has all of them before they are committed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from tests.support.stores import Postgres, Stores

# Comes after the settings of all test servers, and so before them.
_REPLICATED: Final = """
wal_level = replica
max_wal_senders = 4
synchronous_commit = on
"""

_FOLLOWS_DEADLINE_S: Final = 60.0
_LOOK_S: Final = 0.01


class Node(Postgres):
    """One of the two.

    Attributes:
        follows: whose copy it is made as; nobody's if it is to be the first.
    """

    configuration = Postgres.configuration + _REPLICATED

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.follows: Node | None = None

    def fill(self) -> None:
        """Fill the empty data directory: with what the other has, which then sends what comes later."""
        if self.follows is None:
            super().fill()
            return
        how = ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]
        self.run("pg_basebackup", "--pgdata", str(self.data_dir), "--dbname", self.follows.url, *how)


class PostgresPair:
    """A primary and its synchronous standby.

    Attributes:
        primary: takes writes, and commits nothing that the standby has not written, too.
        standby: takes reads, until it is promoted.
    """

    def __init__(self, stores: Stores) -> None:
        self.primary = stores.private(Node)
        self.standby = stores.idle(Node)
        self.join()

    def join(self) -> None:
        """Make the standby as a copy of the primary, whatever it was; returns when it is synchronous."""
        self.standby.follows = self.primary
        self.standby.start()
        # Not before: a copy has its settings from here, and as a primary it has nobody to wait for.
        self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        deadline = time.monotonic() + _FOLLOWS_DEADLINE_S
        while self.primary.execute("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
            assert time.monotonic() < deadline, "the standby is not synchronous"
            time.sleep(_LOOK_S)

    def promote(self) -> None:
        """Have the standby take writes; from now on the other is the standby, and away until `rejoin`."""
        self.standby.execute("SELECT pg_promote(wait => false)")
        self.primary, self.standby = self.standby, self.primary

    def rejoin(self) -> None:
        """Make the one that is away anew, as a copy of the other; it must not be running."""
        self.standby.wipe()
        self.join()
