"""Gathers neighbours into one batch, so that many callers share one commit."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog

from kit.observe.pulse import Pulse
from kit.store.database import STORE_UNAVAILABLE, Held
from kit.store.reasons import TOO_MANY_WAITING
from kit.values.errors import Exhausted

C = TypeVar("C")
R = TypeVar("R")

log = structlog.get_logger(__name__)


# The rate is averaged over about this time: a burst counts soon, and is soon forgotten.
_RATE_WINDOW_S = 1.0

# With fewer neighbours than this to come, waiting for them costs more time than a commit.
_WORTH_WAITING_FOR = 1.5

# With as many to come within the bound, all of it is waited for. A batch by itself costs what about two items
# do, as measured: among eight that is a fifth of the whole, and the bound goes on from there.
_FULL_NEIGHBOURS = 8.0


def wait_s(items_per_s: float, longest_s: float) -> float:
    """Return how long a batch should wait for neighbours after its first item.

    Nothing while fewer than one or two would come; then a part of the bound that grows with the load, up to
    all of it. So a service that has time answers soon, and one that has none makes fewer commits: processors
    are worth more the busier they are.
    """
    wanted_s = longest_s * min(1.0, items_per_s * longest_s / _FULL_NEIGHBOURS)
    return wanted_s if items_per_s * wanted_s >= _WORTH_WAITING_FOR else 0.0


class Linger:
    """How long a batch waits for neighbours, by what has come of late: `wait_s`.

    Args:
        longest_s: the bound.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._items_per_s = 0.0
        self._since = time.monotonic()

    def seconds(self) -> float:
        """Return how long the next batch should wait after its first item."""
        return wait_s(self._items_per_s, self._longest_s)

    def took(self, items: int) -> None:
        """Note the size of a batch."""
        now = time.monotonic()
        elapsed = max(now - self._since, 1e-6)
        self._since = now
        weight = 1.0 - math.exp(-elapsed / _RATE_WINDOW_S)
        self._items_per_s += weight * (items / elapsed - self._items_per_s)


def one_bad_item_fails_alone(
    handle: Callable[[list[C]], Awaitable[Sequence[R]]],
) -> Callable[[list[C]], Awaitable[Sequence[R | Exception]]]:
    """Return a handler that runs a failed batch in halves, unless that would help none of them.

    Down to single items: the bad ones are told their own exception, and a batch of 256 with one bad item
    costs eight steps more, not 256.
    """

    async def run(items: list[C]) -> Sequence[R | Exception]:
        try:
            return await handle(items)
        except (*STORE_UNAVAILABLE, Held):
            raise
        except Exception as error:  # the boundary of a batch
            if len(items) == 1:
                return [error]
            log.warning("batch.split", items=len(items), error=repr(error))
            middle = len(items) // 2
            return [*await run(items[:middle]), *await run(items[middle:])]

    return run


# Buyers who all come at one moment, to a shop that had little to do, are served in their order for so long.
BURST_S: Final = 2.0

# Whoever had too much to do within the last seconds gets less: with a burst every few seconds nobody would be
# told in time. Yet not nothing, or whoever stumbles once and again refuses for ever.
CALM_S: Final = 10.0
SHORT_BURST_S: Final = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[C, R]):
    """An item with its caller.

    Attributes:
        since: when it came, by the clock of the event loop.
        waited_s: for how long it had waited when it was submitted.
    """

    item: C
    answer: asyncio.Future[R]
    since: float
    waited_s: float


class Gatherer(Generic[C, R]):
    """Turns single calls into batches, each answered on its own.

    One batch runs at a time; what arrives meanwhile is the next one. So batches grow by themselves when
    the store is slow, and an idle system adds at most `linger_s` to a call.

    Who cannot be taken soon is told so soon: the queue is bounded by time, not by length, so the bound is
    right at any speed. A queue that has stood for `BURST_S` is too much load, and no burst: from then on
    whoever has waited for `patience_s` is refused, whatever the batch in front is doing, and the newest are
    taken first. The oldest are lost anyway, and those who are answered have hardly waited
    (docs/decisions/0015).

    Args:
        handle: takes a list and returns one result or exception per item, in order. If it raises, every
            item of the batch fails with that exception.
        max_items: bound of a batch.
        linger_s: how long a batch of a busy service waits for neighbours after its first item.
        patience_s: bound of the wait for a batch, after which `submit` raises `Exhausted`. None for work
            that has to be done however late; it is done in its order, and its own source must be bounded.
    """

    def __init__(
        self,
        handle: Callable[[list[C]], Awaitable[Sequence[R | Exception]]],
        *,
        name: str,
        max_items: int = 200,
        linger_s: float = 0.003,
        patience_s: float | None = None,
    ) -> None:
        self._handle = handle
        self._name = name
        self._max_items = max_items
        self._linger = Linger(linger_s)
        self._patience_s = patience_s
        # The oldest is on the left.
        self._queue: deque[_Waiting[C, R]] = deque()
        # Since when no batch has taken all that waited.
        self._standing_since: float | None = None
        # When somebody was last refused, or overtaken.
        self._overloaded_last = -math.inf
        self._taken_at = -math.inf
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._task: asyncio.Task[None] | None = None
        # Whether a batch is being handled, for which others wait.
        self._busy = False
        self._next_refusal: asyncio.TimerHandle | None = None
        # Nothing is due while nobody waits and no batch runs.
        self.pulse = Pulse()

    def start(self) -> None:
        """Start working; needs a running event loop."""
        self._task = asyncio.create_task(self._run(), name=f"gather {self._name}")

    async def stop(self) -> None:
        """Finish what was submitted, then stop."""
        if self._task is None:
            return
        await self._drained.wait()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def submit(self, item: C, *, waited_s: float = 0.0) -> R:
        """Return the result of one item, once its batch is done.

        A caller that goes away before the batch begins takes its item with it; afterwards the item has its
        effect all the same.

        Args:
            waited_s: for how long it has waited elsewhere in this process. There is one queue to a caller,
                wherever it stands: in the sockets, before the event loop, or here.

        Raises:
            Exhausted: TOO_MANY_WAITING.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        waiting: _Waiting[C, R] = _Waiting(item, loop.create_future(), now - waited_s, waited_s)
        if self._standing_since is None or self._is_idle(now):
            self._standing_since = waiting.since
        if self._is_too_late(waited_s) and now >= self._overloaded_at:
            self._overloaded_last = now
            raise self._refusal()
        self._queue.append(waiting)
        self._drained.clear()
        self._arrived.set()
        self.pulse.expect()
        if self._busy and self._next_refusal is None:
            self._refuse_late()
        return await waiting.answer

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            pause_s = self._linger.seconds()
            if pause_s > 0 and len(self._queue) < self._max_items:
                await asyncio.sleep(pause_s)
            batch = self._take()
            if not self._queue:
                self._arrived.clear()
                # Unless the queue is elsewhere, and this was all that has come through.
                if not batch or not all(self._is_too_late(waiting.waited_s) for waiting in batch):
                    self._standing_since = None
            self._linger.took(len(batch))
            if batch:
                self._busy = True
                self._refuse_late()
                await self._answer(batch)
                self._busy = False
            if self._queue:
                self.pulse.beat()
            else:
                self.pulse.rest()
                self._drained.set()

    def _take(self) -> list[_Waiting[C, R]]:
        """Return the next batch, in the order in which its items came."""
        batch: list[_Waiting[C, R]] = []
        self._taken_at = asyncio.get_running_loop().time()
        in_order = self._patience_s is None or self._taken_at < self._overloaded_at
        if not in_order:
            self._overloaded_last = self._taken_at
        while self._queue and len(batch) < self._max_items:
            waiting = self._queue.popleft() if in_order else self._queue.pop()
            if not waiting.answer.done():
                batch.append(waiting)
        return batch if in_order else batch[::-1]

    @property
    def _overloaded_at(self) -> float:
        """When the queue will have stood for too long to be a burst."""
        now = asyncio.get_running_loop().time()
        since = now if self._standing_since is None else self._standing_since
        return since + (SHORT_BURST_S if now - self._overloaded_last < CALM_S else BURST_S)

    def _is_idle(self, now: float) -> bool:
        return not self._queue and not self._busy and now - self._taken_at > BURST_S

    def _refuse_late(self) -> None:
        """Refuse those who have waited for too long, and come back when the next of them will have.

        Only while others are being served: where the event loop itself comes late, as on a machine that has
        too much to do, those who wait are late at once, and would all be refused just before their turn.
        """
        if self._next_refusal is not None:
            # There is one timer at most: each batch that begins asks anew.
            self._next_refusal.cancel()
            self._next_refusal = None
        if self._patience_s is None or not self._busy:
            return
        loop = asyncio.get_running_loop()
        while self._queue:
            oldest = self._queue[0]
            refused_at = max(oldest.since + self._patience_s, self._overloaded_at)
            if refused_at > loop.time():
                self._next_refusal = loop.call_at(refused_at, self._refuse_late)
                return
            self._queue.popleft()
            self._overloaded_last = loop.time()
            if not oldest.answer.done():
                oldest.answer.set_exception(self._refusal())

    def _is_too_late(self, waited_s: float) -> bool:
        return self._patience_s is not None and waited_s >= self._patience_s

    def _refusal(self) -> Exhausted:
        assert self._patience_s is not None, "who is patient is not refused"
        return Exhausted(
            TOO_MANY_WAITING,
            f"no place came free within {self._patience_s * 1000:.0f} ms;"
            " send the request again with the same key",
            retry_after_s=1.0,
        )

    async def _answer(self, batch: list[_Waiting[C, R]]) -> None:
        results: Sequence[R | Exception]
        try:
            results = await self._handle([waiting.item for waiting in batch])
            assert len(results) == len(batch), f"{self._name}: one result per item"
        except Exception as error:  # the boundary of the batch: every caller gets to know
            log.warning("batch.failed", batch=self._name, items=len(batch), error=repr(error))
            results = [error] * len(batch)
        for waiting, result in zip(batch, results, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(result, Exception):
                waiting.answer.set_exception(result)
            else:
                waiting.answer.set_result(result)
