"""Fixtures of all tests. Stores are started by the first test that needs them, once for each worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import nats
import nats.js.errors
import pytest
from google.protobuf.message import Message

from kit.messaging.events import event_types
from kit.messaging.stream import STREAM
from roster import ROSTER
from tests.support.databases import ServiceDatabase, ServiceDatabases
from tests.support.service import RecordingRuntime, wired
from tests.support.stores import Nats, Postgres, RedisServer, Stores


class RecordingRuntimeFactory(Protocol):
    """Makes the runtime of a service on a fresh database, with a bus that only records."""

    def __call__(
        self,
        package: str,
        *,
        emits: Iterable[type[Message]] | None = None,
        consumers: Mapping[str, frozenset[str]] = ROSTER.consumers,
        database: ServiceDatabase | None = None,
        settings: Mapping[str, Any] | None = None,
        **fakes: Any,
    ) -> Awaitable[RecordingRuntime]:
        """Return the open runtime, put together by the package's own bootstrap.

        Args:
            emits: makes it a bare runtime that emits these events, for what has no bootstrap.
            consumers: of a bare runtime's events, by event, if they are not those of Florin.
            database: a fresh one of `package` if it is not given.
            settings: of the service, by field.
            fakes: handed to its `build`, in place of real things.
        """


@pytest.fixture(scope="session")
def stores() -> Iterator[Stores]:
    """The stores of this worker; use the narrower fixtures below where they do."""
    stores = Stores()
    yield stores
    stores.close()


@pytest.fixture
def private_stores(stores: Stores) -> Iterator[Stores]:
    """For `stores.private(Nats)` and the like: a store of the test's own, gone at its end."""
    yield stores
    stores.close_private()


@pytest.fixture
def own_nats(private_stores: Stores) -> Nats:
    """A NATS server that the test may stop, kill and wipe."""
    return private_stores.private(Nats)


@pytest.fixture
def own_redis(private_stores: Stores) -> RedisServer:
    """A Redis server that the test may stop and kill."""
    return private_stores.private(RedisServer)


@pytest.fixture
def own_postgres(private_stores: Stores) -> Postgres:
    """A Postgres server that the test may stop and kill; takes a second to make."""
    return private_stores.private(Postgres)


@pytest.fixture(scope="session")
def postgres_url(stores: Stores) -> str:
    """Superuser's address of this worker's Postgres."""
    return stores.postgres.url


@pytest.fixture(scope="session")
def _databases(stores: Stores) -> ServiceDatabases:
    return ServiceDatabases(stores.postgres)


@pytest.fixture
def service_database(_databases: ServiceDatabases) -> Iterator[Callable[[str], ServiceDatabase]]:
    """`service_database("inventory_svc")`: a fresh, migrated database, dropped after the test."""
    made: list[ServiceDatabase] = []

    def create(package: str) -> ServiceDatabase:
        database = _databases.create(package)
        made.append(database)
        return database

    yield create
    for database in made:
        _databases.drop(database)


@pytest.fixture
def empty_database(_databases: ServiceDatabases) -> Iterator[Callable[[str], ServiceDatabase]]:
    """`empty_database("inventory_svc")`: one that no migration has run on yet, dropped after the test."""
    made: list[ServiceDatabase] = []

    def create(package: str) -> ServiceDatabase:
        database = _databases.empty(package)
        made.append(database)
        return database

    yield create
    for database in made:
        _databases.drop(database)


@pytest.fixture
async def nats_url(stores: Stores) -> str:
    """Address of this worker's NATS, with an empty JetStream."""
    client = await nats.connect(stores.nats.url)
    try:
        await client.jetstream().delete_stream(STREAM)
    except nats.js.errors.NotFoundError:
        pass  # Nobody has made one since the last test.
    finally:
        await client.close()
    return stores.nats.url


@pytest.fixture
def redis_url(stores: Stores) -> str:
    """Address of this worker's Redis, emptied."""
    stores.redis.flush()
    return stores.redis.url


@pytest.fixture
async def service_runtime(
    service_database: Callable[[str], ServiceDatabase],
) -> AsyncIterator[RecordingRuntimeFactory]:
    """`await service_runtime("inventory_svc")`: the service without a broker."""
    opened: list[RecordingRuntime] = []

    async def build(
        package: str,
        *,
        emits: Iterable[type[Message]] | None = None,
        consumers: Mapping[str, frozenset[str]] = ROSTER.consumers,
        database: ServiceDatabase | None = None,
        settings: Mapping[str, Any] | None = None,
        **fakes: Any,
    ) -> RecordingRuntime:
        url = (database or service_database(package)).url
        if emits is None:
            runtime = wired(package, url, settings or {}, **fakes)
        else:
            runtime = RecordingRuntime(package.rpartition(".")[2], url, event_types(*emits), consumers)
        await runtime.database.open()
        opened.append(runtime)
        return runtime

    yield build
    for runtime in opened:
        for closer in reversed(runtime.closers):
            await closer()
        await runtime.database.close()
