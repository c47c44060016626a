"""What the machine is worth at the moment: a fixed piece of work, the disk, and pgbench.

The same code did 385 checkouts a second on one machine and 170 on another of the same kind, so a figure says
little without that of its machine. A *loop* is the unit: a fixed piece of work of about a millisecond, taken
on all processors at once, because under load all of them are busy, too.

`python -m bench.machine SECONDS` works that long and prints loops and seconds of CPU; it is a process for
each processor.
"""

from __future__ import annotations

import bz2
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runner.settings import checkout_root
from terminal.errors import CommandError

# The library has been the same since 2019 in every build of Python and has no instructions of its own for any
# processor, so the loop tells machines apart and neither Pythons nor compilers by much. What it does, sorting
# and branching over a few hundred kilobytes, is nearer to our work than arithmetic.
_TEXT_BYTES: Final = 16_384
_WORDS: Final = ("order", "stock", "payment", "journal", "entry", "seal", "florin", "merchant")

# Long enough for some hundred loops on each processor.
_LOOP_S: Final = 1.0
_FSYNC_S: Final = 1.0
_SLACK_S: Final = 30.0
# Of loops and syncs together.
EXPECTED_S: Final = _LOOP_S + _FSYNC_S

# A page of Postgres's log, which is what it waits for at each commit.
_PAGE: Final = b"\0" * 8_192
# As many pages as a segment of that log has, written in turn.
_PAGES: Final = 2_048


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """The machine at one moment.

    Attributes:
        when: `before`, `between` or `after` the load.
        loop_ms: CPU of one loop while all processors are at it.
        loops_per_s: of all processors together.
        fsyncs_per_s: pages written and synced one after the other where the data is.
        pgbench_tps: transactions a second of TPC-B; None if not asked for.
    """

    when: str
    loop_ms: float
    loops_per_s: float
    fsyncs_per_s: float
    pgbench_tps: float | None = None

    def __str__(self) -> str:
        told = f"{self.loops_per_s:,.0f} loops/s of {self.loop_ms:.2f} ms, {self.fsyncs_per_s:,.0f} fsyncs/s"
        return told if self.pgbench_tps is None else f"{told}, pgbench {self.pgbench_tps:,.0f} transactions/s"


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of what was measured, because machines are not the same all day; None of nothing."""
    taken = [value for value in values if value is not None]
    return sum(taken) / len(taken) if taken else None


def loops() -> tuple[float, float]:
    """CPU milliseconds of a loop, and loops a second of the whole machine.

    Raises:
        CommandError: the work could not be done.
    """
    command = [sys.executable, "-m", "bench.machine", str(_LOOP_S)]
    workers = [
        subprocess.Popen(command, cwd=checkout_root(), stdout=subprocess.PIPE, text=True)
        for _ in range(_processors())
    ]
    try:
        told = [json.loads(worker.communicate(timeout=_LOOP_S + _SLACK_S)[0]) for worker in workers]
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise CommandError("The machine's speed could not be measured.", detail=str(error)) from error
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
    done = sum(each["loops"] for each in told)
    cpu_s = sum(each["cpu_s"] for each in told)
    return round(cpu_s * 1000 / done, 4), round(sum(each["loops"] / each["wall_s"] for each in told), 1)


def fsyncs_per_s(folder: Path) -> float:
    """How many pages a second a program can write and wait for, one after the other, in this folder."""
    sync = getattr(os, "fdatasync", os.fsync)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.truncate(len(_PAGE) * _PAGES)
        started, done = time.perf_counter(), 0
        while (elapsed_s := time.perf_counter() - started) < _FSYNC_S:
            os.pwrite(file.fileno(), _PAGE, done % _PAGES * len(_PAGE))
            sync(file.fileno())
            done += 1
    return round(done / elapsed_s, 1)


def _processors() -> int:
    """How many processors we may use, which is what matters in a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _text() -> bytes:
    dice = random.Random(1)  # noqa: S311 - the same text everywhere, not a secret
    words = (f"{dice.choice(_WORDS)}-{dice.randrange(1_000)}" for _ in range(_TEXT_BYTES))
    return " ".join(words).encode()[:_TEXT_BYTES]


def _work(seconds: float) -> dict[str, float]:
    text = _text()
    bz2.compress(text, 1)  # The first is slower than the others.
    done, started, cpu_started = 0, time.perf_counter(), time.process_time()
    while (wall_s := time.perf_counter() - started) < seconds:
        bz2.compress(text, 1)
        done += 1
    return {"loops": done, "cpu_s": time.process_time() - cpu_started, "wall_s": wall_s}


if __name__ == "__main__":
    print(json.dumps(_work(float(sys.argv[1]))))
