"""Postgres: made once, never made again silently, run by an unprivileged user."""

from __future__ import annotations

import asyncio
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psutil
from psycopg.conninfo import conninfo_to_dict

from runner import health, wheels
from runner.privilege import confined, require_passage, unprivileged_user
from runner.secrets import SUPERUSER, Secrets, write_private
from runner.settings import Settings
from runner.spec import DataLost, ProcessSpec

NAME: Final = "postgres"

# The longest socket path that Linux and macOS both take, less the name of the socket in it.
_SOCKET_DIR_LIMIT: Final = 103 - len("/.s.PGSQL.65535")

# A server left by a supervisor that was killed writes its last checkpoint before it goes.
_LEFTOVER_GRACE_S: Final = 30.0

_INITDB_DEADLINE_S: Final = 120.0

# For a laptop with a few gigabytes free that has to keep its promises all the same: fsync and
# synchronous_commit stay on. Checkpoints are rare and spread out, because they are what makes
# latency jump; wal_compression trades a little CPU for fewer bytes to sync. jit only ever slows
# down statements of a millisecond.
_CONFIGURATION: Final = """\
# Written by florin at every start. Your own settings: ALTER SYSTEM, which is read after this.
listen_addresses = '{host}'
port = {port}
unix_socket_directories = '{socket_dir}'
max_connections = 200
shared_buffers = 512MB
fsync = on
synchronous_commit = on
wal_compression = on
max_wal_size = 4GB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
jit = off
password_encryption = scram-sha-256
log_min_duration_statement = 1s
log_line_prefix = '%m [%p] %q%u@%d '
"""


def address(settings: Settings) -> tuple[str, int]:
    """Host and port of the server, ours or the user's own; of several, the first."""
    if settings.postgres_url is None:
        return settings.local_host, settings.postgres_port
    said = conninfo_to_dict(settings.postgres_url)
    host, port = str(said.get("host") or "127.0.0.1"), str(said.get("port") or 5432)
    return host.partition(",")[0], int(port.partition(",")[0])


def url(settings: Settings, secrets: Secrets, *, role: str, database: str) -> str:
    """The address by which `role` connects to `database`, password included."""
    password = secrets.postgres_passwords[role]
    if settings.postgres_url is None:
        host, port = address(settings)
        return f"postgresql://{role}:{password}@{host}:{port}/{database}"
    parts = urlsplit(settings.postgres_url)
    location = parts.netloc.rpartition("@")[2]
    # Whatever the user's server asks of a connection (`sslmode`, …), it asks of all of them.
    return urlunsplit(("postgresql", f"{role}:{password}@{location}", f"/{database}", parts.query, ""))


def service_url(settings: Settings, secrets: Secrets, *, role: str, database: str) -> str:
    """The address by which a service connects: where a PgBouncer stands in between, that."""
    direct = url(settings, secrets, role=role, database=database)
    if settings.pgbouncer is None:
        return direct
    parts = urlsplit(direct)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{settings.pgbouncer}"))


def superuser_url(settings: Settings, secrets: Secrets, *, database: str = "postgres") -> str:
    """The address by which the runner makes roles and databases."""
    if settings.postgres_url is None:
        return url(settings, secrets, role=SUPERUSER, database=database)
    parts = urlsplit(settings.postgres_url)
    return urlunsplit(("postgresql", parts.netloc, f"/{database}", parts.query, ""))


def runs_as(settings: Settings) -> pwd.struct_passwd | None:
    """Whom our own server runs as: somebody else when we are root, ourselves (None) otherwise.

    Raises:
        CommandError: there is nobody else, or they would not get to the programs or the data.
    """
    user = unprivileged_user()
    require_passage(user, _reaches(settings))
    return user


def spec(settings: Settings, secrets: Secrets, *, log_path: Path, cwd: Path) -> ProcessSpec:
    """Postgres as the supervisor runs it, or watches it when it is the user's own."""
    check = health.PostgresCheck(superuser_url(settings, secrets))
    if settings.postgres_url is not None:
        port = address(settings)[1]
        return ProcessSpec(name=NAME, command=(), check=check, port=port, log_path=log_path, cwd=cwd)
    bin_dir = wheels.postgres_server(settings).parent
    data_dir = settings.data_dir / "postgres"
    server = _Server(settings, secrets, bin_dir, data_dir, runs_as(settings))
    return ProcessSpec(
        name=NAME,
        command=(str(bin_dir / "postgres"), "-D", str(data_dir)),
        check=check,
        port=settings.postgres_port,
        env={"PATH": os.environ.get("PATH", ""), "TZ": "UTC", "LC_ALL": "C"},
        log_path=log_path,
        cwd=cwd,
        data_dir=data_dir,
        holds_truth=True,
        prepare=server.prepare,
        user=server.user,
        reaches=(*_reaches(settings), cwd / "x"),
        # A fast shutdown: clients are cut off, a checkpoint is written, nothing to recover.
        stop_signal=signal.SIGINT,
        stop_grace_s=_LEFTOVER_GRACE_S,
        death_signal=signal.SIGINT,
    )


class _Server:
    """The data directory of our own Postgres, made ready for a start."""

    def __init__(
        self,
        settings: Settings,
        secrets: Secrets,
        bin_dir: Path,
        data_dir: Path,
        user: pwd.struct_passwd | None,
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._bin_dir = bin_dir
        self._data_dir = data_dir
        self.user = user
        # Beside the directory and not in it: it must survive the loss it testifies to.
        self._initialised = settings.data_dir / "postgres.initialised"

    async def prepare(self) -> None:
        """Makes the data directory if there never was one, and clears what a crash left.

        Raises:
            DataLost: there was one, and it is gone or no Postgres directory any more.
        """
        if not self._initialised.exists():
            await asyncio.to_thread(self._initialise)
        elif not (self._data_dir / "PG_VERSION").exists():
            raise DataLost(
                f"The Postgres data in {self._data_dir} is gone. It is the truth about every "
                "order and payment, so it is not made again silently. Restore it from a copy, or "
                "run `florin reset` to forget everything and begin anew."
            )
        await asyncio.to_thread(self._end_leftover_server)
        self._configure()

    def _initialise(self) -> None:
        # Half made by a start that was cut off: nobody has used it, so it holds nothing.
        shutil.rmtree(self._data_dir, ignore_errors=True)
        self._data_dir.mkdir(parents=True, mode=0o700)
        password_file = self._settings.run_dir / "postgres-password"
        write_private(password_file, self._secrets.postgres_passwords[SUPERUSER])
        for path in (self._data_dir, password_file):
            self._give_away(path)
        command = (
            *(str(self._bin_dir / "initdb"), "--pgdata", str(self._data_dir)),
            *("--username", SUPERUSER, "--pwfile", str(password_file)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
        )
        reaches = (self._bin_dir / "initdb", self._data_dir / "x", password_file)
        try:
            subprocess.run(
                confined(command, death_signal=signal.SIGKILL, user=self.user, reaches=reaches),
                check=True,
                capture_output=True,
                text=True,
                timeout=_INITDB_DEADLINE_S,
                cwd=self._settings.data_dir,
            )
        except subprocess.CalledProcessError as error:
            raise OSError(f"initdb failed: {error.stderr.strip()}") from error
        except subprocess.TimeoutExpired as error:
            raise OSError(f"initdb did not end within {_INITDB_DEADLINE_S:g} s") from error
        finally:
            password_file.unlink(missing_ok=True)
        with (self._data_dir / "postgresql.conf").open("a") as file:
            file.write("\ninclude 'florin.conf'\n")
        self._initialised.touch()

    def _configure(self) -> None:
        text = _CONFIGURATION.format(
            host=self._settings.bind_host,
            port=self._settings.postgres_port,
            socket_dir=self._socket_dir(),
        )
        path = self._data_dir / "florin.conf"
        path.write_text(text)
        self._give_away(path)

    def _socket_dir(self) -> Path:
        """A folder for the socket whose path the kernel accepts, however deep the data is."""
        preferred = self._settings.run_dir / "sockets"
        if len(str(preferred)) <= _SOCKET_DIR_LIMIT:
            folder = preferred
        else:
            digest = hashlib.sha256(str(preferred).encode()).hexdigest()[:12]
            folder = Path(tempfile.gettempdir()) / f"florin-{os.getuid()}-{digest}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._give_away(folder)
        return folder

    def _give_away(self, path: Path) -> None:
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def _end_leftover_server(self) -> None:
        """Ends a server that a killed supervisor left, and forgets one that is dead.

        Postgres takes any live process with the number in `postmaster.pid` for a server; after a
        reboot that is somebody else, and it would refuse to start.
        """
        pid_file = self._data_dir / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        if (leftover := self._as_our_server(pid)) is not None:
            for leftover_signal in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                try:
                    leftover.send_signal(leftover_signal)
                    leftover.wait(timeout=_LEFTOVER_GRACE_S)
                    break
                except psutil.NoSuchProcess:
                    break
                except psutil.TimeoutExpired:
                    continue
        pid_file.unlink(missing_ok=True)

    def _as_our_server(self, pid: int) -> psutil.Process | None:
        try:
            process = psutil.Process(pid)
            ours = str(self._data_dir) in process.cmdline()
        except psutil.Error:
            return None
        return process if ours and process.status() != psutil.STATUS_ZOMBIE else None


def _reaches(settings: Settings) -> tuple[Path, ...]:
    return wheels.postgres_server(settings), settings.data_dir / "postgres" / "x"


def client_program(settings: Settings, name: str) -> Path:
    """A client program of the same Postgres, such as `psql` or `pgbench`."""
    return wheels.postgres_server(settings).with_name(name)
