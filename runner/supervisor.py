"""Runs a table of programs and setups in the order of their needs, and keeps the programs up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
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
        self._on_change = on_change
        self._stopped_dir = stopped_dir
        self._unhealthy_limit_s = unhealthy_limit_s
        self._nodes: dict[str, Node] = {}
        self.processes: dict[str, SupervisedProcess] = {}
        self._done: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # Those that were removed and have not ended yet.
        self._leaving: dict[str, asyncio.Task[None]] = {}
        # Set while it runs.
        self._stop: asyncio.Event | None = None
        for node in nodes:
            self._enter(node)
        # Why the system cannot come up, when it cannot.
        self.error: Trouble | None = None

    @property
    def healthy(self) -> bool:
        """Whether every setup is done and every process does its work."""
        steps_done = all(done.is_set() for done in self._done.values())
        return steps_done and all(process.healthy for process in self.processes.values())

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps the system up until `stop` is set, then takes it down."""
        self._stop = stop
        for node in self._nodes.values():
            self._begin(node, stop)
        try:
            await stop.wait()
        finally:
            await self._take_down()
        for task in self._tasks.values():
            if failure := _failure(task):
                raise failure

    def add(self, spec: ProcessSpec) -> None:
        """Starts one process more, while the others run on; none of its name may be there, leaving or not."""
        assert self._stop is not None, "it does not run"
        _refuse_bad_table([*self._nodes.values(), spec])
        if not self._stop.is_set():
            self._enter(spec)
            self._begin(spec, self._stop)
            self._on_change()

    def remove(self, name: str) -> None:
        """Begins to end a process that nobody needs, while the others run on; it is forgotten at its end."""
        assert self._stop is not None, "it does not run"
        if name not in self._leaving:
            self._leaving[name] = self._task(self._leave(name), self._stop, name=f"{name} leaves")

    async def _leave(self, name: str) -> None:
        await self.processes[name].stop()
        await self._end_task(name)
        for known in (self._nodes, self.processes, self._done, self._tasks, self._leaving):
            del known[name]
        (self._stopped_dir / name).unlink(missing_ok=True)
        self._on_change()

    def _enter(self, node: Node) -> None:
        self._nodes[node.name] = node
        match node:
            case ProcessSpec():
                process = self.processes[node.name] = SupervisedProcess(
                    node,
                    stopped_file=self._stopped_dir / node.name,
                    on_change=self._on_change,
                    unhealthy_limit_s=self._unhealthy_limit_s,
                )
                self._done[node.name] = process.was_healthy
            case Setup():
                self._done[node.name] = asyncio.Event()

    def _begin(self, node: Node, stop: asyncio.Event) -> None:
        self._tasks[node.name] = self._task(self._run_node(node), stop, name=node.name)

    def _task(
        self, run: Coroutine[None, None, None], stop: asyncio.Event, *, name: str
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(run, name=name)
        # A task that fails has met a mistake of ours, and half a system is worse than none.
        task.add_done_callback(lambda done: stop.set() if _failure(done) else None)
        return task

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

    async def _take_down(self) -> None:
        await asyncio.gather(*self._leaving.values())
        nodes = list(self._nodes.values())
        stopped = {node.name: asyncio.Event() for node in nodes}

        async def stop_node(node: Node) -> None:
            # Whoever needs it goes first, so that nobody's last work meets a closed door.
            names = {node.name, node.replica_of} if isinstance(node, ProcessSpec) else {node.name}
            for other in nodes:
                if names & set(other.needs):
                    await stopped[other.name].wait()
            if isinstance(node, ProcessSpec):
                await self.processes[node.name].stop(with_all=True)
            await self._end_task(node.name)
            stopped[node.name].set()

        await asyncio.gather(*(stop_node(node) for node in nodes))

    async def _end_task(self, name: str) -> None:
        task = self._tasks[name]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


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
