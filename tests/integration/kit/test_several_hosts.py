"""An address of several hosts: whoever writes finds the one that takes writes, whoever reads takes any."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from kit.store import migrations
from kit.store.connection import BoundedConnection
from kit.store.database import Database
from operations.connection import connect
from payment_svc.adapters.stripe.listing import StripeListing
from proof.audit import Audit
from runner import databases, health, postgres, secrets
from runner.settings import Settings
from tests.support.stores import Postgres, Stores, free_port

# Listed first, so that each of them has to pass by the other.
ORDERS = "order_svc"
KNOWN_TO_BOTH = ("florin_order", "florin_order_owner", "florin_auditor")


@pytest.fixture
def settings(private_stores: Stores, tmp_path: Path) -> Settings:
    """A host that is away, one that only reads, as a standby does, and one that takes writes."""
    reads, writes = (private_stores.private(Postgres) for _ in range(2))
    reads.execute("CREATE DATABASE only_here", *(f"CREATE ROLE {name} LOGIN" for name in KNOWN_TO_BOTH))
    reads.execute("CREATE DATABASE florin_order", "ALTER SYSTEM SET default_transaction_read_only = on")
    reads.execute("SELECT pg_reload_conf()")
    hosts = ",".join(f"127.0.0.1:{port}" for port in (free_port(), reads.port, writes.port))
    return Settings(data_dir=tmp_path, postgres_url=f"postgresql://florin:none@{hosts}/postgres")


async def test_setup_migrations_services_and_checks_find_the_one_that_takes_writes(
    settings: Settings,
) -> None:
    keys = secrets.ensure(settings)
    await databases.ensure(settings, keys)
    orders = databases.of(ORDERS)
    owner = postgres.url(settings, keys, role=orders.owner, database=orders.name)
    migrations.upgrade(ORDERS, owner)
    database = Database(postgres.service_url(settings, keys, role=orders.role, database=orders.name))
    await database.open()
    async with database.connection() as connection:
        limits = [
            await (await connection.execute("SELECT current_setting(%s)", (name,))).fetchone()
            for name in ("statement_timeout", "enable_seqscan")
        ]
    await database.close()
    assert limits == [("3s",), ("off",)]
    check = health.PostgresCheck(postgres.superuser_url(settings, keys))
    await check()
    await check.close()
    assert postgres.address(settings)[0] == "127.0.0.1"
    # What a person does behind the API is written, too, and does not wait for a server that says nothing.
    for as_auditor in (False, True):
        async with await connect(settings, ORDERS, as_auditor=as_auditor) as connection:
            cursor = await connection.execute("SELECT current_setting('transaction_read_only')")
            assert await cursor.fetchone() == ("off",)
            assert isinstance(connection, BoundedConnection)


async def test_the_proof_reads_wherever_it_is_let_in_and_writes_nowhere(settings: Settings) -> None:
    assert settings.postgres_url is not None
    address = urlsplit(settings.postgres_url)
    audit = Audit(
        database_url=lambda name: address._replace(
            path=f"/{name}", query="target_session_attrs=read-write"
        ).geturl(),
        psp=StripeListing(api_key="sk_test_none", base_url="http://127.0.0.1:1"),
    )
    assert await audit.rows("only_here", "SELECT 1") == [(1,)]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        await audit.rows("only_here", "CREATE TABLE mine ()")


def test_between_services_and_postgres_may_be_a_pgbouncer(settings: Settings) -> None:
    keys = secrets.ensure(settings)
    pooled = settings.model_copy(update={"pgbouncer": "127.0.0.1:6432"})
    [address] = databases.addresses(pooled, keys, ORDERS).values()
    assert urlsplit(address).port == 6432
    [owners] = databases.addresses(pooled, keys, ORDERS, as_owner=True).values()
    assert "6432" not in owners, "migrations go to Postgres itself"
