"""One window of load on a running system, from the first checkout to the audit of the last."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import carts, cpu
from bench.cpu import CpuTimes
from bench.load import ANSWER_DEADLINE_S, Answers, Assignment
from bench.orders import COMPLETED, Order, OrderDatabase
from bench.percentiles import Percentiles
from bench.search import Probe, mean_open
from bench.system import System
from bench.window import Window
from runner.settings import checkout_root
from terminal.errors import CommandError

_ACCEPTED: Final = 202

# From `go` to the first checkout, for the load generator to wake up in.
_LEAD_S: Final = 0.3

# Answers are out, watchers have given up, results are written.
_FINISH_DEADLINE_S: Final = ANSWER_DEADLINE_S + 60.0

# Admission lets no more orders be open than some seconds' work. What has not ended after this
# long is not late but stuck; the sweepers have had their turn by then, too.
DRAIN_DEADLINE_S: Final = 90.0


def assign(system: System, window: Window, *, mix: carts.Mix, tokens: Sequence[str], name: str) -> Assignment:
    """One window of load on a system; `name` is what its keys begin with."""
    return Assignment(
        host=system.settings.local_host,
        port=system.settings.edge_port,
        window=window,
        mix=mix,
        tokens=list(tokens),
        name=name,
        # Each window buys differently, and the same way in every run.
        seed=round(window.rate_per_s * 1000),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """What became of the orders that were answered 202."""

    accepted: int
    # By status, and by reason where they failed.
    outcomes: dict[str, int]
    # Not in the database at all.
    lost: list[str]
    # Not ended by the deadline.
    still_open: list[str]

    @property
    def kept(self) -> bool:
        """Whether each of them ended."""
        return not self.lost and not self.still_open


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one window showed. Latencies and counts are of its measured part, promises of all of it."""

    window: Window
    offered: int
    completed: int
    completed_per_s: float
    # Answers other than 202, by HTTP status; `no answer` among them.
    refused: dict[str, int]
    # The same answers by status and reason, and how long they took, from when their checkouts were due.
    reasons: dict[str, int]
    refusal_ms: Percentiles
    accept_ms: Percentiles
    completion_ms: Percentiles
    # From 202 to the end, whatever it was, of all orders of the window.
    end_ms: Percentiles
    # Completion as a few watchers saw it through the edge, from being due to being seen.
    watched_ms: Percentiles
    watched: int
    # How late the load generator was: its own share of the accept latency.
    send_delay_ms: Percentiles
    cpu: CpuTimes
    drain_s: float
    promises: Promises
    # The checkouts of the whole window that were not answered 202, by their numbers.
    turned_away: list[int]
    # Open orders, on average over the middle and over the last third.
    open_before: float
    open_at_end: float

    @property
    def cpu_ms_per_checkout(self) -> dict[str, float]:
        """CPU by process for each completed checkout."""
        if not self.completed:
            return {}
        return {
            name: round(used_s * 1000 / self.completed, 3) for name, used_s in self.cpu.by_process.items()
        }

    def as_probe(self) -> Probe:
        """What the search has to know of it."""
        return Probe(
            rate_per_s=self.window.rate_per_s,
            offered=self.offered,
            refused=sum(self.refused.values()),
            completed_per_s=self.completed_per_s,
            accept_p99_ms=self.accept_ms.p99,
            completion_p99_ms=self.completion_ms.p99,
            open_before=self.open_before,
            open_at_end=self.open_at_end,
        )


def measure(
    system: System,
    orders: OrderDatabase,
    assignment: Assignment,
    *,
    on_start: Callable[[float], None] = lambda _: None,
    on_drain: Callable[[int], None] = lambda _: None,
) -> Measured:
    """Loads the system for one window, waits until all it promised has ended, and audits that.

    `on_start` is told when the load begins, in seconds of the monotonic clock.

    Raises:
        CommandError: the load generator failed.
    """
    window = assignment.window
    with tempfile.TemporaryDirectory(prefix="florin-bench-") as folder:
        answers_path = Path(folder) / "answers.json"
        with _load_generator(assignment, Path(folder) / "assignment.json", answers_path) as generator:
            assert generator.stdin is not None
            start_s = time.monotonic() + _LEAD_S
            print(start_s, file=generator.stdin, flush=True)
            on_start(start_s)
            _sleep_until(start_s + window.warmup_s)
            before = cpu.look(system.settings, load_generator_pid=generator.pid)
            _sleep_until(start_s + window.length_s)
            used = cpu.look(system.settings, load_generator_pid=generator.pid).since(before)
            _finish(generator)
        answers = Answers.read(answers_path)
    order_ids = [order_id for order_id in answers.order_id if order_id]
    still_open = orders.wait_until_ended(order_ids, deadline_s=DRAIN_DEADLINE_S, on_look=on_drain)
    drain_s = time.monotonic() - start_s - window.length_s
    return judge(
        window,
        answers,
        orders.find(order_ids),
        still_open=still_open,
        used=used,
        drain_s=drain_s,
        start_s=start_s + orders.clock_offset_s(),
    )


def judge(
    window: Window,
    answers: Answers,
    orders: dict[str, Order],
    *,
    still_open: list[str],
    used: CpuTimes,
    drain_s: float,
    start_s: float,
) -> Measured:
    """Put together what the load generator and the database saw; `start_s` is database time."""
    counting = [number for number in range(len(answers.status)) if window.counts(number)]
    promised = [order_id for order_id in answers.order_id if order_id]
    counted = [orders[each] for number in counting if (each := answers.order_id[number]) in orders]
    first_s, last_s = start_s + window.warmup_s, start_s + window.length_s
    completed = [order for order in orders.values() if order.status == COMPLETED]
    in_window = sum(1 for order in completed if order.ended_s and first_s <= order.ended_s < last_s)
    created = [order.created_s for order in orders.values()]
    ended = [order.ended_s for order in orders.values()]
    third_s = window.measure_s / 3
    return Measured(
        window=window,
        offered=len(counting),
        completed=in_window,
        completed_per_s=round(in_window / window.measure_s, 1),
        refused=_refused(answers.status[number] for number in counting),
        reasons=dict(
            Counter(reason for number in counting if (reason := answers.reason[number])).most_common()
        ),
        refusal_ms=_took_ms(window, answers, [n for n in counting if answers.status[n] != _ACCEPTED]),
        accept_ms=_took_ms(window, answers, [n for n in counting if answers.status[n] == _ACCEPTED]),
        completion_ms=Percentiles.of(
            order.completion_ms
            for order in counted
            if order.status == COMPLETED and order.completion_ms is not None
        ),
        end_ms=Percentiles.of(
            took_ms for order in orders.values() if (took_ms := order.completion_ms) is not None
        ),
        watched_ms=Percentiles.of(answers.watched_ms),
        watched=len(answers.watched_ms),
        send_delay_ms=Percentiles.of(
            (answers.sent_s[number] - window.due_s(number)) * 1000 for number in counting
        ),
        cpu=used,
        drain_s=round(drain_s, 2),
        promises=Promises(
            accepted=len(promised),
            outcomes=_outcomes(orders.values()),
            lost=[order_id for order_id in promised if order_id not in orders],
            still_open=[order_id for order_id in still_open if order_id in orders],
        ),
        turned_away=[number for number, status in enumerate(answers.status) if status != _ACCEPTED],
        open_before=mean_open(created, ended, start_s=last_s - 2 * third_s, end_s=last_s - third_s),
        open_at_end=mean_open(created, ended, start_s=last_s - third_s, end_s=last_s),
    )


def _took_ms(window: Window, answers: Answers, numbers: Iterable[int]) -> Percentiles:
    """From when these checkouts were due to their answers, of those that had one."""
    return Percentiles.of(
        (answered_s - window.due_s(number)) * 1000
        for number in numbers
        if (answered_s := answers.answered_s[number]) is not None
    )


def _refused(statuses: Iterable[int]) -> dict[str, int]:
    counts = Counter(str(status) if status else "no answer" for status in statuses if status != _ACCEPTED)
    return dict(sorted(counts.items()))


def _outcomes(orders: Iterable[Order]) -> dict[str, int]:
    counts = Counter(f"{order.status} {order.reason}".strip() for order in orders)
    return dict(counts.most_common())


@contextmanager
def _load_generator(
    assignment: Assignment, assignment_path: Path, answers_path: Path
) -> Iterator[subprocess.Popen[str]]:
    """The load generator, ready to begin."""
    assignment.write(assignment_path)
    generator = subprocess.Popen(
        [sys.executable, "-m", "bench.load", str(assignment_path), str(answers_path)],
        cwd=checkout_root(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert generator.stdout is not None
        # It either gets ready or ends, which also ends the line; both well before anyone's patience.
        if generator.stdout.readline().strip() != "ready":
            raise CommandError(
                "The load generator did not get ready.",
                way_out="What it printed above says why.",
            )
        yield generator
    finally:
        if generator.poll() is None:
            generator.kill()
        generator.wait()


def _finish(generator: subprocess.Popen[str]) -> None:
    try:
        code = generator.wait(timeout=_FINISH_DEADLINE_S)
    except subprocess.TimeoutExpired:
        raise CommandError(f"The load generator did not end within {_FINISH_DEADLINE_S:g} s.") from None
    if code != 0:
        raise CommandError(f"The load generator ended with exit code {code}.")


def _sleep_until(monotonic_s: float) -> None:
    time.sleep(max(0.0, monotonic_s - time.monotonic()))
