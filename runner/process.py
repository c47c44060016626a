"""One supervised process: started, watched, started again, stopped."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from runner import program
from runner.health import NotServing, Unhealthy
from runner.spec import DataLost, ProcessSpec

# How often a healthy process is asked, and one that is still starting: `up` should not wait for
# our next look, and a look costs a millisecond.
_POLL_S: Final = 1.0
_STARTING_POLL_S: Final = 0.05

# Alive but without an answer for this long is a deadlock, not a busy moment. One that says itself that it
# cannot serve is alive: it waits for its store, say, and would wait for it after a new start, too.
UNHEALTHY_LIMIT_S: Final = 30.0

# The very first answer may take longer than a running process may stay silent: Postgres first
# replays up to max_wal_size of log after a crash.
_FIRST_ANSWER_LIMIT_S: Final = 120.0

# The first restart is immediate; a process that keeps dying must not eat the machine.
_BACKOFF_S: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)

# Healthy for this long, and the next death counts as a first one again.
_STEADY_S: Final = 10.0

# Dying this often without ever having been healthy is a mistake in the set-up, which waiting
# does not mend: a port in use, a bad configuration.
_HOPELESS_DEATHS: Final = 5

# Put into a data directory at each start. If it is gone, the directory was emptied or replaced
# under the running process, which now writes into files that nobody will read again.
_MARKER: Final = "supervised"


log = logging.getLogger("florin.supervisor")


class SupervisedProcess:
    """Keeps one process running and knows, at any moment, whether it does its work."""

    def __init__(
        self,
        spec: ProcessSpec,
        *,
        stopped_file: Path,
        on_change: Callable[[], None],
        unhealthy_limit_s: float = UNHEALTHY_LIMIT_S,
    ) -> None:
        self.spec = spec
        self.pid: int | None = None
        self.healthy = False
        self.restarts = 0
        # Why it is not healthy, or what there is to remark though it is.
        self.detail = "waiting for " + ", ".join(spec.needs) if spec.needs else "not started"
        # Set when it is given up for good; `detail` says why.
        self.failed = False
        self.was_healthy = asyncio.Event()
        self._stopped_file = stopped_file
        self._on_change = on_change
        self._unhealthy_limit_s = unhealthy_limit_s
        self._stopping = False
        self._process: asyncio.subprocess.Process | None = None
        self._deaths_in_a_row = 0

    @property
    def hopeless(self) -> bool:
        """Whether waiting for it to become healthy makes no sense any more."""
        keeps_dying = self._deaths_in_a_row >= _HOPELESS_DEATHS and not self.was_healthy.is_set()
        return self.failed or keeps_dying

    async def run(self) -> None:
        """Keeps it running until it is stopped, or cannot be started ever again."""
        if not self.spec.command:
            await self._watch_elsewhere()
        while not self._stopping:
            await self._wait_while_stopped()
            try:
                process = await self._start()
            except (DataLost, OSError) as error:
                self._report(str(error))
                if isinstance(error, OSError) and self.was_healthy.is_set():
                    # It has worked here before, so it is not the set-up that is wrong: a full disk, say.
                    log.warning("%s cannot be started now: %s", self.spec.name, error)
                    await self._pause()
                    continue
                log.error("%s is given up: %s", self.spec.name, error)
                self.failed = True
                return
            reason = await self._watch(process)
            log.info("%s (pid %d): %s", self.spec.name, process.pid, reason)
            self.pid = None
            self._report(reason)
            if not self._stopping:
                await self._pause()

    async def stop(self, *, with_all: bool = False) -> None:
        """Ends it, politely first; `run` returns after that.

        Args:
            with_all: everything else ends, too.
        """
        self._stopping = True
        if self._process is not None:
            await self._end(self._process, with_all=with_all)
        self.pid = None
        self._report("stopped")

    async def _pause(self) -> None:
        """Waits before the next start, the longer the more often it has died."""
        self._deaths_in_a_row += 1
        self.restarts += 1
        await asyncio.sleep(_BACKOFF_S[min(self._deaths_in_a_row, len(_BACKOFF_S)) - 1])

    async def _start(self) -> asyncio.subprocess.Process:
        spec = self.spec
        self._report("starting")
        await spec.prepare()
        if spec.data_dir is not None:
            self._claim(spec.data_dir)
        self._process = await program.start(
            spec.command,
            env=spec.env,
            cwd=spec.cwd,
            log_path=spec.log_path,
            user=spec.user,
            reaches=spec.reaches,
            death_signal=spec.death_signal,
        )
        self.pid = self._process.pid
        log.info("%s started as pid %d", spec.name, self.pid)
        self._on_change()
        return self._process

    def _claim(self, data_dir: Path) -> None:
        marker = data_dir / _MARKER
        if self.restarts and not self.spec.holds_truth and not marker.exists():
            # The remains of a directory that is being deleted would only confuse its owner.
            shutil.rmtree(data_dir, ignore_errors=True)
        data_dir.mkdir(parents=True, exist_ok=True)
        marker.touch()

    async def _watch(self, process: asyncio.subprocess.Process) -> str:
        """Watches the running process until it has ended; returns why it has."""
        loop = asyncio.get_running_loop()
        exited = asyncio.ensure_future(process.wait())
        heard_at, healthy_since, answered = loop.time(), None, False
        while not exited.done():
            problem, remark = await self._look()
            if exited.done():
                break
            now = loop.time()
            if problem is None:
                heard_at, healthy_since, answered = now, healthy_since or now, True
                self._deaths_in_a_row *= now - healthy_since < _STEADY_S
            else:
                healthy_since = None
                heard_at = now if isinstance(problem, NotServing) else heard_at
            self._report(None if problem is None else str(problem), remark)
            limit_s = self._unhealthy_limit_s if answered else _FIRST_ANSWER_LIMIT_S
            reason = self._reason_to_end(silent_s=now - heard_at, limit_s=limit_s)
            if reason is not None:
                self._report(reason)
                await self._end(process)
                return reason
            await asyncio.wait({exited}, timeout=_POLL_S if answered else _STARTING_POLL_S)
        return f"ended with {program.exit_text(await exited)}"

    def _reason_to_end(self, *, silent_s: float, limit_s: float) -> str | None:
        if self._stopped_file.exists():
            return "stopped"
        data_dir = self.spec.data_dir
        if data_dir is not None and not (data_dir / _MARKER).exists():
            return f"its data in {data_dir} is gone"
        return f"no answer for {limit_s:g} s" if silent_s > limit_s else None

    async def _look(self) -> tuple[Unhealthy | None, str]:
        """Returns what is wrong, and what there is to remark if nothing is."""
        try:
            return None, await self.spec.check() or ""
        except Unhealthy as unhealthy:
            return unhealthy, ""

    async def _end(self, process: asyncio.subprocess.Process, *, with_all: bool = False) -> None:
        spec = self.spec
        stop_signal = (with_all and spec.down_signal) or spec.stop_signal
        await program.end(process, stop_signal=stop_signal, grace_s=spec.stop_grace_s)

    async def _wait_while_stopped(self) -> None:
        while self._stopped_file.exists() and not self._stopping:
            self._report("stopped; `florin start` lets it run again")
            await asyncio.sleep(_STARTING_POLL_S)

    async def _watch_elsewhere(self) -> None:
        while not self._stopping:
            problem, remark = await self._look()
            self._report(None if problem is None else str(problem), remark)
            await asyncio.sleep(_POLL_S if self.healthy else _STARTING_POLL_S)

    def _report(self, problem: str | None, remark: str = "") -> None:
        """Takes note of its health: None is healthy, anything else says why it is not."""
        changed = self.healthy != (problem is None) or (problem is None and self.detail != remark)
        self.healthy, self.detail = problem is None, problem or remark
        if self.healthy:
            self.was_healthy.set()
        if changed:
            self._on_change()
