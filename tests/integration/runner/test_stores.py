"""What the supervisor promises about Postgres, NATS and Redis, seen on the real ones."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import nats
import psutil
import psycopg
import pytest
import redis.asyncio

from roster import ROSTER
from runner import control, databases, postgres
from runner import nats as nats_server
from runner import redis as redis_server
from runner.testing import System, running_system
from terminal.errors import CommandError
from tests.integration.runner.conftest import STORES
from tests.support.ports import system_settings

# All share one set of stores, so they belong in one worker.
pytestmark = pytest.mark.xdist_group("runner-stores")


def test_status_names_every_store_with_its_port_and_data(stores: System) -> None:
    state = stores.state()
    assert state.healthy
    assert {process.name for process in state.processes} == set(STORES)
    for name in STORES:
        process = stores.process(name)
        assert process.port == getattr(stores.settings, f"{name}_port")
        assert process.data_dir == str(stores.settings.data_dir / name)


def test_up_is_a_no_op_when_all_is_up(stores: System) -> None:
    before = stores.state()
    again = control.start(stores.settings, only=STORES, deadline_s=10)
    assert again.supervisor_pid == before.supervisor_pid


def test_a_part_is_not_taken_for_the_whole(stores: System) -> None:
    with pytest.raises(CommandError, match="without psp_sim") as refused:
        control.start(stores.settings, only=["psp_sim"], deadline_s=10)
    assert "florin down" in refused.value.way_out


@pytest.mark.parametrize("name", STORES)
def test_a_killed_store_comes_back(stores: System, name: str) -> None:
    before = stores.process(name)
    after = stores.kill_and_wait(name)
    assert after.pid != before.pid
    assert after.restarts == before.restarts + 1


def test_a_held_store_stays_away_until_it_is_released(stores: System) -> None:
    stores.keep_stopped("redis")
    assert not stores.state().healthy
    stores.start_again("redis")
    stores.wait_healthy()


async def test_nats_with_its_data_deleted_comes_back_empty(stores: System) -> None:
    url = nats_server.url(stores.settings)
    client = await nats.connect(url)
    await client.jetstream().add_stream(name="orders", subjects=["orders.*"])
    await client.close()
    before = stores.process("nats")

    shutil.rmtree(stores.settings.data_dir / "nats")

    stores.wait_until(lambda: stores.process("nats").restarts > before.restarts, "the loss is noticed")
    stores.wait_healthy()
    client = await nats.connect(url)
    assert await client.jetstream().streams_info() == []
    await client.close()


async def test_redis_with_its_data_deleted_and_killed_comes_back_empty(stores: System) -> None:
    url = redis_server.url(stores.settings)
    async with redis.asyncio.from_url(url) as client:
        await client.set("key", "value")

    shutil.rmtree(stores.settings.data_dir / "redis")
    stores.kill_and_wait("redis")

    stores.wait_healthy()
    async with redis.asyncio.from_url(url) as client:
        assert await client.get("key") is None


async def test_a_service_gets_into_its_own_database_and_no_other(stores: System) -> None:
    await databases.ensure(stores.settings, stores.secrets)
    async with await psycopg.AsyncConnection.connect(stores.database_url("order_svc")) as own:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await own.execute("CREATE TABLE mine ()")
    others = postgres.url(stores.settings, stores.secrets, role="florin_order", database="florin_ledger")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        await psycopg.AsyncConnection.connect(others)


async def test_the_owner_makes_tables_and_the_auditor_reads_them(stores: System) -> None:
    owner = postgres.url(
        stores.settings, stores.secrets, role="florin_ledger_owner", database="florin_ledger"
    )
    async with await psycopg.AsyncConnection.connect(owner, autocommit=True) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS journals AS SELECT 1 AS id")
    auditor = stores.auditor_url("ledger_svc")
    async with await psycopg.AsyncConnection.connect(auditor) as connection:
        rows = await (await connection.execute("SELECT id FROM journals")).fetchall()
        assert rows == [(1,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("DELETE FROM journals")


async def test_databases_are_made_once(stores: System) -> None:
    await databases.ensure(stores.settings, stores.secrets)
    async with await psycopg.AsyncConnection.connect(
        postgres.superuser_url(stores.settings, stores.secrets)
    ) as connection:
        rows = await (await connection.execute("SELECT datname FROM pg_database")).fetchall()
    assert {databases.of(service).name for service in ROSTER.packages} <= {row[0] for row in rows}


async def test_postgres_keeps_its_promises(stores: System) -> None:
    async with await psycopg.AsyncConnection.connect(
        postgres.superuser_url(stores.settings, stores.secrets)
    ) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            row = await (await connection.execute(f"SHOW {name}")).fetchone()
            assert row == ("on",), name


def test_a_second_supervisor_cannot_have_the_same_ports(stores: System, tmp_path: Path) -> None:
    other = stores.settings.model_copy(update={"data_dir": tmp_path / "other"})
    with pytest.raises(CommandError, match="is used by") as refused:
        control.start(other, only=["redis"], deadline_s=30)
    assert "FLORIN_REDIS_PORT" in refused.value.way_out
    assert control.running(other) is None


def test_two_systems_run_side_by_side(stores: System, tmp_path: Path) -> None:
    with (
        system_settings(tmp_path / "other") as settings,
        running_system(settings, only=STORES) as other,
    ):
        assert other.state().healthy
        assert stores.state().healthy


def test_postgres_with_its_data_deleted_is_not_made_again(tmp_path: Path) -> None:
    with system_settings(tmp_path / "data") as settings:
        with running_system(settings, only=["postgres"]) as system:
            # The server may notice while we are at it, and take a file away before us.
            shutil.rmtree(settings.data_dir / "postgres", ignore_errors=True)
            system.wait_until(lambda: system.process("postgres").failed, "the loss is noticed")
            assert "florin reset" in system.process("postgres").detail
            assert system.process("postgres").pid is None
        with pytest.raises(CommandError) as refused:
            control.start(settings, only=["postgres"], deadline_s=30)
        assert "florin reset" in f"{refused.value.message} {refused.value.detail}"
        assert not (settings.data_dir / "postgres" / "PG_VERSION").exists()
        control.reset(settings)
        with running_system(settings, only=["postgres"]) as system:
            assert system.state().healthy


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with system_settings(tmp_path / "data") as settings:
        control.start(settings, only=STORES, dies_with_caller=True)
        try:
            state = control.running(settings)
            assert state is not None
            children = _with_descendants(state.supervisor_pid)
            os.kill(state.supervisor_pid, signal.SIGKILL)
            _, alive = psutil.wait_procs(children, timeout=30)
            assert not alive
            assert control.running(settings) is None
            with running_system(settings, only=STORES) as system:
                assert system.state().healthy
        finally:
            control.stop(settings)


def test_a_stale_pid_that_is_somebody_elses_now_does_not_keep_postgres_down(tmp_path: Path) -> None:
    with system_settings(tmp_path / "data") as settings:
        with running_system(settings, only=STORES) as system:
            postmaster = psutil.Process(system.process("postgres").pid)
            stale = (settings.data_dir / "postgres" / "postmaster.pid").read_text()
        psutil.wait_procs([postmaster], timeout=30)
        pid_file = settings.data_dir / "postgres" / "postmaster.pid"
        # After a reboot the number belongs to somebody else, who is alive: us.
        pid_file.write_text(stale.replace(stale.split("\n", 1)[0], str(os.getppid()), 1))
        with running_system(settings, only=["postgres"]) as system:
            assert system.state().healthy


def test_a_removed_data_directory_ends_the_system_in_it(tmp_path: Path) -> None:
    with system_settings(tmp_path / "data") as settings:
        control.start(settings, only=["nats", "redis"], dies_with_caller=True)
        state = control.running(settings)
        assert state is not None
        everything = _with_descendants(state.supervisor_pid)
        shutil.rmtree(settings.data_dir)
        _, alive = psutil.wait_procs(everything, timeout=30)
        assert not alive


def test_a_process_that_cannot_start_is_named_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "broken-nats"
    program.write_text("#!/bin/sh\necho out of cheese >&2\nexit 3\n")
    program.chmod(0o755)
    with (
        system_settings(tmp_path / "data", nats_bin=program) as settings,
        pytest.raises(CommandError, match="nats") as refused,
    ):
        control.start(settings, only=["nats"], deadline_s=30)
    assert "out of cheese" in refused.value.detail
    assert control.running(settings) is None


def test_an_external_store_is_watched_but_never_stopped(stores: System, tmp_path: Path) -> None:
    url = redis_server.url(stores.settings)
    with (
        system_settings(tmp_path / "data", redis_url=url) as settings,
        running_system(settings, only=["redis"]) as system,
    ):
        process = system.process("redis")
        assert process.healthy
        assert process.pid is None
        assert process.port == stores.settings.redis_port
    stores.wait_healthy()


def _with_descendants(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
