"""PgBouncer as people have it: the distribution's program, pooling transactions."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg

from runner.privilege import confined, unprivileged_user
from tests.support.stores import Postgres, Store

PROGRAM: Final = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")

# Two sessions of Postgres for everybody: who relies on having one of their own is found out soon.
_CONFIGURATION: Final = """
[databases]
* = host=127.0.0.1 port={postgres}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = 2
server_reset_query_always = 0
"""


def pgbouncer(postgres: Postgres, role: str) -> type[Store]:
    """Return a PgBouncer in front of a Postgres that knows one role, for `stores.private`."""

    class PgBouncer(Store):
        def __init__(self, folder: Path) -> None:
            super().__init__("pgbouncer", folder)

        def prepare(self) -> None:
            super().prepare()
            users = self.data_dir / "users.txt"
            users.write_text(f'"{role}" "none"\n"florin" "none"\n')
            text = _CONFIGURATION.format(postgres=postgres.port, port=self.port, users=users)
            (self.data_dir / "pgbouncer.ini").write_text(text)
            if (user := unprivileged_user()) is not None:
                os.chown(self.data_dir, user.pw_uid, user.pw_gid)

        def command(self) -> Sequence[str]:
            assert PROGRAM is not None
            command = [PROGRAM, str(self.data_dir / "pgbouncer.ini")]
            reaches = (Path(PROGRAM), self.data_dir / "x")
            # It refuses to run as root, as Postgres does.
            return confined(command, death_signal=signal.SIGKILL, user=unprivileged_user(), reaches=reaches)

        def answers(self) -> bool:
            address = f"postgresql://florin:none@127.0.0.1:{self.port}/postgres"
            try:
                with psycopg.connect(address, connect_timeout=2, prepare_threshold=None) as connection:
                    connection.execute("SELECT 1")
            except psycopg.OperationalError:
                return False
            return True

    return PgBouncer
