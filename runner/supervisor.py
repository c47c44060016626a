"""Runs a table of programs and setups in the order of their needs, and keeps the programs up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from runner.process import UNHEALTHY_LIMIT_S, SupervisedProcess
from runner.spec import Node, ProcessSpec, Setup, SetupFailed
from runner.trouble import Trouble


class Supervisor:
    """Starts everything as early as its needs allow, and stops it in the opposite order."""

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        stopped_dir: Path,
        on_change: Callable[[], None] = lambda: None,
        unhealthy_limit_s: float = UNHEALTHY_LIMIT_S,
    ) -> None:
        _refuse_bad_table(nodes)
        self._nodes = nodes
        self._on_change = on_change
        self.processes = {
            node.name: SupervisedProcess(
                node,
                stopped_file=stopped_dir / node.name,
                on_change=on_change,
                unhealthy_limit_s=unhealthy_limit_s,
            )
            for node in nodes
            if isinstance(node, ProcessSpec)
        }
        self._done = {
            node.name: (
                self.processes[node.name].was_healthy if isinstance(node, ProcessSpec) else asyncio.Event()
            )
            for node in nodes
        }
        # Why the system cannot come up, when it cannot.
        self.error: Trouble | None = None

    @property
    def healthy(self) -> bool:
        """Whether every setup is done and every process does its work."""
        steps_done = all(done.is_set() for done in self._done.values())
        return steps_done and all(process.healthy for process in self.processes.values())

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps the system up until `stop` is set, then takes it down."""
        tasks = {node.name: asyncio.create_task(self._run_node(node), name=node.name) for node in self._nodes}
        for task in tasks.values():
            # A task that fails has met a mistake of ours, and half a system is worse than none.
            task.add_done_callback(lambda done: stop.set() if _failure(done) else None)
        try:
            await stop.wait()
        finally:
            await self._take_down(tasks)
        for task in tasks.values():
            if failure := _failure(task):
                raise failure

    async def _run_node(self, node: Node) -> None:
        for need in node.needs:
            await self._done[need].wait()
        match node:
            case ProcessSpec():
                await self.processes[node.name].run()
            case Setup():
                await self._run_setup(node)

    async def _run_setup(self, setup: Setup) -> None:
        try:
            await setup.run()
        except SetupFailed as failed:
            self.error = Trouble(f"{setup.name}: {failed}.", detail=failed.detail)
        else:
            self._done[setup.name].set()
        self._on_change()

    async def _take_down(self, tasks: dict[str, asyncio.Task[None]]) -> None:
        stopped = {node.name: asyncio.Event() for node in self._nodes}

        async def stop_node(node: Node) -> None:
            # Whoever needs it goes first, so that nobody's last work meets a closed door.
            for other in self._nodes:
                if node.name in other.needs:
                    await stopped[other.name].wait()
            task = tasks[node.name]
            if isinstance(node, ProcessSpec):
                await self.processes[node.name].stop()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            stopped[node.name].set()

        await asyncio.gather(*(stop_node(node) for node in self._nodes))


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


def _refuse_bad_table(nodes: Sequence[Node]) -> None:
    names = {node.name for node in nodes}
    assert len(names) == len(nodes), "two nodes have the same name"
    for node in nodes:
        missing = set(node.needs) - names
        assert not missing, f"{node.name} needs {missing}, which is not in the table"
    try:
        TopologicalSorter({node.name: node.needs for node in nodes}).prepare()
    except CycleError as error:
        raise AssertionError(f"these need one another: {error.args[1]}") from error
