"""Order of start and stop, restarts, losses: the supervisor's promises, on fake programs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runner.spec import DataLost, Node, Setup, SetupFailed
from runner.supervisor import Supervisor
from runner.trouble import Trouble
from tests.unit.runner.fakes import Stage, until, until_healthy_again


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@asynccontextmanager
async def supervised(
    stage: Stage, nodes: Sequence[Node], *, unhealthy_limit_s: float = 30.0
) -> AsyncIterator[Supervisor]:
    stopped_dir = stage.folder / "stopped"
    stopped_dir.mkdir(exist_ok=True)
    supervisor = Supervisor(nodes, stopped_dir=stopped_dir, unhealthy_limit_s=unhealthy_limit_s)
    stop = asyncio.Event()
    run = asyncio.create_task(supervisor.run(stop))
    try:
        yield supervisor
    finally:
        stop.set()
        await run


async def test_starts_in_the_order_of_needs_and_stops_in_the_opposite(stage: Stage) -> None:
    done: list[str] = []

    async def migrate() -> None:
        done.extend(stage.journal)

    nodes: list[Node] = [
        stage.spec("service", needs=("migration",)),
        Setup(name="migration", run=migrate, needs=("store",)),
        stage.spec("store"),
    ]
    async with supervised(stage, nodes) as supervisor:
        await until(lambda: supervisor.healthy, "all is healthy")
        assert done == ["store started"]
    assert stage.journal == ["store started", "service started", "service ended", "store ended"]


async def test_nothing_starts_before_what_it_needs_is_healthy(stage: Stage) -> None:
    stage.sick_file("store").touch()
    nodes = [stage.spec("store"), stage.spec("service", needs=("store",))]
    async with supervised(stage, nodes) as supervisor:
        await until(lambda: supervisor.processes["store"].detail == "feels sick", "store is asked")
        assert supervisor.processes["service"].pid is None
        assert supervisor.processes["service"].detail == "waiting for store"
        stage.sick_file("store").unlink()
        await until(lambda: supervisor.healthy, "all is healthy")


async def test_a_killed_process_comes_back_and_is_counted(stage: Stage) -> None:
    async with supervised(stage, [stage.spec("service")]) as supervisor:
        process = supervisor.processes["service"]
        for restarts in (1, 2):
            await until_healthy_again(process, restarts=restarts - 1)
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            await until_healthy_again(process, restarts=restarts)


async def test_a_process_that_is_alive_but_silent_is_restarted(stage: Stage) -> None:
    async with supervised(stage, [stage.spec("service")], unhealthy_limit_s=0.1) as supervisor:
        process = supervisor.processes["service"]
        await until_healthy_again(process, restarts=0)
        stage.sick_file("service").touch()
        await until(lambda: process.restarts == 1, "it is restarted")
        stage.sick_file("service").unlink()
        await until_healthy_again(process, restarts=1)


async def test_a_process_that_says_it_does_not_serve_is_shown_and_left_alone(stage: Stage) -> None:
    async with supervised(stage, [stage.spec("service")], unhealthy_limit_s=0.0) as supervisor:
        process = supervisor.processes["service"]
        await until_healthy_again(process, restarts=0)
        stage.alive_file("service").touch()
        await until(lambda: process.detail == "waits for its store", "it is seen")
        assert not process.healthy
        # Had it been ended, it would be started again, and the reason would be another.
        stage.alive_file("service").unlink()
        await until_healthy_again(process, restarts=0)


async def test_status_says_so_while_a_process_is_sick(stage: Stage) -> None:
    async with supervised(stage, [stage.spec("service")]) as supervisor:
        process = supervisor.processes["service"]
        await until_healthy_again(process, restarts=0)
        stage.sick_file("service").touch()
        await until(lambda: not process.healthy, "it is seen")
        assert process.detail == "feels sick"
        assert process.pid is not None


async def test_what_a_healthy_process_fails_at_is_seen_and_it_goes_on(stage: Stage) -> None:
    async with supervised(stage, [stage.spec("service")]) as supervisor:
        process = supervisor.processes["service"]
        await until_healthy_again(process, restarts=0)
        stage.troubled_file("service").touch()
        await until(lambda: process.detail == "fails at something", "it is seen")
        assert process.healthy
        stage.troubled_file("service").unlink()
        await until(lambda: not process.detail, "it is over")
        assert process.restarts == 0


async def test_a_process_that_ignores_the_request_to_end_is_killed(stage: Stage) -> None:
    deaf = ("/bin/sh", "-c", "trap '' TERM; echo deaf started > journal; while :; do sleep 1; done")
    spec = stage.spec("deaf", command=deaf, stop_grace_s=0.1)
    async with supervised(stage, [spec]) as supervisor:
        await until(lambda: supervisor.healthy, "it runs")
        pid = supervisor.processes["deaf"].pid
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_process_that_never_works_is_called_hopeless(stage: Stage) -> None:
    async with supervised(stage, [stage.spec("broken", command=("/bin/false",))]) as supervisor:
        process = supervisor.processes["broken"]
        await until(lambda: process.hopeless, "it is given up on")
        assert process.restarts >= 4


async def test_a_program_that_does_not_exist_is_given_up_at_once(stage: Stage) -> None:
    spec = stage.spec("absent", cwd=stage.folder / "absent")
    async with supervised(stage, [spec]) as supervisor:
        await until(lambda: supervisor.processes["absent"].failed, "it is given up on")
        assert "absent" in supervisor.processes["absent"].detail


async def test_a_deleted_data_directory_is_made_again_and_the_process_restarted(
    stage: Stage,
) -> None:
    data_dir = stage.folder / "data"
    async with supervised(stage, [stage.spec("cache", data_dir=data_dir)]) as supervisor:
        process = supervisor.processes["cache"]
        await until_healthy_again(process, restarts=0)
        (data_dir / "stale").touch()
        shutil.rmtree(data_dir)
        await until_healthy_again(process, restarts=1)
        assert data_dir.is_dir()
        assert not (data_dir / "stale").exists()


async def test_an_emptied_data_directory_counts_as_deleted(stage: Stage) -> None:
    data_dir = stage.folder / "data"
    async with supervised(stage, [stage.spec("cache", data_dir=data_dir)]) as supervisor:
        process = supervisor.processes["cache"]
        await until_healthy_again(process, restarts=0)
        for file in data_dir.iterdir():
            file.unlink()
        await until_healthy_again(process, restarts=1)


async def test_lost_data_that_must_not_be_made_up_ends_the_restarts(stage: Stage) -> None:
    data_dir = stage.folder / "truth"

    async def prepare() -> None:
        if not data_dir.exists():
            raise DataLost("the truth is gone")

    data_dir.mkdir()
    spec = stage.spec("store", data_dir=data_dir, prepare=prepare)
    async with supervised(stage, [spec]) as supervisor:
        process = supervisor.processes["store"]
        await until_healthy_again(process, restarts=0)
        shutil.rmtree(data_dir)
        await until(lambda: process.failed, "it is given up")
        assert process.detail == "the truth is gone"
        assert process.pid is None
        assert not data_dir.exists()


async def test_truth_that_was_put_back_under_a_running_process_is_kept(stage: Stage) -> None:
    data_dir = stage.folder / "truth"
    spec = stage.spec("store", data_dir=data_dir, holds_truth=True)
    async with supervised(stage, [spec]) as supervisor:
        process = supervisor.processes["store"]
        await until_healthy_again(process, restarts=0)
        backup = stage.folder / "backup"
        backup.mkdir()
        (backup / "orders").touch()
        shutil.rmtree(data_dir)
        backup.rename(data_dir)
        await until_healthy_again(process, restarts=1)
        assert (data_dir / "orders").exists()


async def test_a_process_that_was_stopped_stays_so(stage: Stage) -> None:
    mark = stage.folder / "stopped" / "service"
    async with supervised(stage, [stage.spec("service")]) as supervisor:
        process = supervisor.processes["service"]
        await until_healthy_again(process, restarts=0)
        mark.touch()
        await until(lambda: process.pid is None, "it is stopped")
        assert stage.journal[-1] == "service ended"
        mark.unlink()
        await until_healthy_again(process, restarts=1)


async def test_a_replica_that_is_added_runs_beside_the_others_and_one_that_is_removed_ends_in_order(
    stage: Stage,
) -> None:
    nodes = [stage.spec("store"), stage.spec("service", needs=("store",))]
    async with supervised(stage, nodes) as supervisor:
        await until(lambda: supervisor.healthy, "all is healthy")
        pids = {name: process.pid for name, process in supervisor.processes.items()}
        supervisor.add(stage.spec("service-2", needs=("store",), replica_of="service"))
        assert not supervisor.healthy, "it is waited for"
        await until(lambda: supervisor.healthy, "the new one is healthy, too")
        supervisor.remove("service-2")
        supervisor.remove("service-2")
        await until(lambda: "service-2" not in supervisor.processes, "it is forgotten")
        assert stage.journal[-1] == "service-2 ended"
        assert supervisor.healthy
        assert {name: process.pid for name, process in supervisor.processes.items()} == pids


async def test_a_replica_that_was_stopped_and_removed_runs_when_it_is_added_again(stage: Stage) -> None:
    mark = stage.folder / "stopped" / "service-2"
    async with supervised(stage, [stage.spec("service")]) as supervisor:
        await until(lambda: supervisor.healthy, "all is healthy")
        for _ in range(2):
            supervisor.add(stage.spec("service-2", replica_of="service"))
            await until(lambda: supervisor.healthy, "the new one is healthy")
            mark.touch()
            await until(lambda: supervisor.processes["service-2"].pid is None, "it is stopped")
            supervisor.remove("service-2")
            await until(lambda: "service-2" not in supervisor.processes, "it is forgotten")


async def test_whoever_needs_a_process_ends_before_its_replicas_do_and_they_are_not_waited_for(
    stage: Stage,
) -> None:
    """Each is told that everything ends, and so has no reason to pause."""
    nodes = [
        stage.spec("service", down_signal=signal.SIGINT),
        stage.spec("edge", needs=("service",)),
    ]
    async with supervised(stage, nodes) as supervisor:
        await until(lambda: supervisor.healthy, "all is healthy")
        supervisor.add(stage.spec("service-2", replica_of="service", down_signal=signal.SIGINT))
        await until(lambda: supervisor.healthy, "the new one is healthy, too")
    assert stage.journal[-3] == "edge ended"
    assert sorted(stage.journal[-2:]) == ["service ended with all", "service-2 ended with all"]


async def test_a_failed_setup_is_told_and_keeps_back_what_needs_it(stage: Stage) -> None:
    async def migrate() -> None:
        raise SetupFailed("column exists already", detail="SQL")

    nodes: list[Node] = [
        Setup(name="migration", run=migrate),
        stage.spec("service", needs=("migration",)),
    ]
    async with supervised(stage, nodes) as supervisor:
        await until(lambda: supervisor.error is not None, "the error is told")
        assert supervisor.error == Trouble("migration: column exists already.", detail="SQL")
        assert not supervisor.healthy
    assert stage.journal == []


async def test_a_mistake_of_ours_takes_the_system_down_instead_of_half_of_it(stage: Stage) -> None:
    async def mistaken() -> None:
        raise KeyError("typo")

    nodes: list[Node] = [stage.spec("service"), Setup(name="step", run=mistaken)]
    stopped_dir = stage.folder / "stopped"
    with pytest.raises(KeyError):
        await Supervisor(nodes, stopped_dir=stopped_dir).run(asyncio.Event())


async def test_stopping_while_things_still_start_leaves_nothing(stage: Stage) -> None:
    stage.sick_file("store").touch()
    nodes = [stage.spec("store"), stage.spec("service", needs=("store",))]
    async with supervised(stage, nodes) as supervisor:
        await until(lambda: "store started" in stage.journal, "the store is started")
    assert stage.journal == ["store started", "store ended"]
    assert all(process.pid is None for process in supervisor.processes.values())


def test_a_table_with_holes_or_circles_is_refused(stage: Stage) -> None:
    with pytest.raises(AssertionError, match="not in the table"):
        Supervisor([stage.spec("a", needs=("b",))], stopped_dir=stage.folder)
    circle = [stage.spec("a", needs=("b",)), stage.spec("b", needs=("a",))]
    with pytest.raises(AssertionError, match="need one another"):
        Supervisor(circle, stopped_dir=stage.folder)


async def test_what_has_worked_and_cannot_be_started_now_is_tried_again(stage: Stage) -> None:
    """A full disk, say: the file that a start writes is a real one, and cannot be written."""
    folder = stage.folder / "run"
    folder.mkdir()

    async def configure() -> None:
        (folder / "store.conf").write_text("port 1")

    async with supervised(stage, [stage.spec("store", prepare=configure)]) as supervisor:
        process = supervisor.processes["store"]
        await until(lambda: process.healthy, "it works")
        shutil.rmtree(folder)
        folder.touch()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        await until(lambda: "Not a directory" in process.detail, "it says why it cannot start")
        folder.unlink()
        folder.mkdir()
        await until(lambda: process.healthy, "it works again")
