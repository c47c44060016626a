"""The load generator: a process of its own that sends each checkout when it is due.

`python -m bench.load ORDERS ANSWERS` reads its orders from one JSON file, says `ready` on standard
output, waits on standard input for the second of the machine's monotonic clock at which to begin,
and writes what came back to the other file. Everything that can be done before or after is.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import orjson
import uvloop

from bench import carts, http1
from bench.window import Window

# Enough for 500 checkouts a second that are answered in an eighth of a second.
_CONNECTIONS_OPENED: Final = 64

# More requests under way than this, and the system has long been overloaded; the edge's default
# limit on connections and this process's on open files are both above it.
_CONNECTIONS_MOST: Final = 900

# All of them are on this machine; the edge is healthy when we start.
_OPEN_DEADLINE_S: Final = 30.0

# Containers made and not yet freed before the collector looks for cycles; some megabytes.
_COLLECT_AFTER: Final = 100_000

# The edge gives up on a request after 15 s; what is not answered by then will not be.
ANSWER_DEADLINE_S: Final = 20.0

# One shopper who looks whether the order is done yet, every so often: enough to see that the
# database's times are what buyers see, too few to be a load.
_LOOKS_PER_S: Final = 0.5
_LOOK_AGAIN_S: Final = 0.1
_LOOK_DEADLINE_S: Final = 30.0

_ACCEPTED: Final = 202
_ENDED: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED"})

# asyncio wakes up a little late; a checkout this near is sent with the one before it.
_TOGETHER_S: Final = 0.0002


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """All that the load generator has to know."""

    host: str
    port: int
    window: Window
    mix: carts.Mix
    tokens: list[str]
    # Part of every idempotency key, so that no two windows share one.
    name: str
    seed: int

    @classmethod
    def read(cls, path: Path) -> Assignment:
        """The assignment that `write` wrote."""
        raw = orjson.loads(path.read_bytes())
        return cls(**raw | {"window": Window(**raw["window"]), "mix": carts.Mix(**raw["mix"])})

    def write(self, path: Path) -> None:
        """Write it for `read`."""
        path.write_bytes(orjson.dumps(self))


@dataclass(slots=True)
class Answers:
    """What became of each checkout, by its number. Times in seconds from the start of the load."""

    sent_s: list[float]
    # None: no answer at all.
    answered_s: list[float | None]
    # HTTP statuses; 0 for no answer.
    status: list[int]
    # Empty where there was no 202.
    order_id: list[str]
    # Why not, where there was none: status and reason.
    reason: list[str]
    declined: list[bool]
    # From being due to being seen COMPLETED from outside, for the few that were watched.
    watched_ms: list[float] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Answers:
        """The answers that the load generator wrote."""
        return cls(**orjson.loads(path.read_bytes()))


class Load:
    """One window of load."""

    def __init__(self, assignment: Assignment, client: http1.Client) -> None:
        count = assignment.window.checkouts
        self._assignment = assignment
        self._client = client
        host = f"{assignment.host}:{assignment.port}"
        self._heads = [carts.head(host=host, token=token) for token in assignment.tokens]
        self._carts = carts.fill(assignment.mix, seed=assignment.seed)
        self._host = host
        self._start_s = 0.0
        self._sent_s = [0.0] * count
        self._answered_s: list[float | None] = [None] * count
        self._status = [http1.NO_ANSWER] * count
        self._bodies: list[bytes] = [b""] * count
        self._watch_every = max(1, round(assignment.window.rate_per_s / _LOOKS_PER_S))
        self._watched_ms: list[float] = []
        self._watchers: set[asyncio.Task[None]] = set()
        self._unanswered = count
        self._all_answered = asyncio.Event()

    async def run(self, start_s: float) -> None:
        """Sends everything from `start_s` of the monotonic clock on, and waits for the answers."""
        self._start_s = start_s
        window = self._assignment.window
        for number in range(window.checkouts):
            wait_s = start_s + window.due_s(number) - time.monotonic()
            if wait_s > _TOGETHER_S:
                await asyncio.sleep(wait_s)
            self._send(number)
        try:
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                await self._all_answered.wait()
        except TimeoutError:
            pass  # What has no answer is reported as such.
        if self._watchers:
            await asyncio.wait(self._watchers, timeout=_LOOK_DEADLINE_S)

    def _send(self, number: int) -> None:
        assignment = self._assignment
        request = carts.request(
            self._heads[number % len(self._heads)],
            f"{assignment.name}-{number}",
            carts.chosen(self._carts, number),
        )
        self._sent_s[number] = time.monotonic() - self._start_s
        self._client.send(request, lambda status, body: self._answered(number, status, body))

    def _answered(self, number: int, status: int, body: bytes) -> None:
        self._status[number] = status
        self._bodies[number] = body
        if status != http1.NO_ANSWER:
            self._answered_s[number] = time.monotonic() - self._start_s
        self._unanswered -= 1
        if self._unanswered == 0:
            self._all_answered.set()
        if number % self._watch_every == 0 and status == _ACCEPTED and self._assignment.window.counts(number):
            watcher = asyncio.ensure_future(self._watch(number, orjson.loads(body)["id"]))
            self._watchers.add(watcher)
            watcher.add_done_callback(self._watchers.discard)

    async def _watch(self, number: int, order_id: str) -> None:
        token = self._assignment.tokens[number % len(self._assignment.tokens)]
        request = carts.look_up(host=self._host, token=token, order_id=order_id)
        due_s = self._start_s + self._assignment.window.due_s(number)
        while time.monotonic() - due_s < _LOOK_DEADLINE_S:
            await asyncio.sleep(_LOOK_AGAIN_S)
            answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
            self._client.send(request, partial(_give, answer))
            status, body = await answer
            if status == 200 and orjson.loads(body)["status"] in _ENDED:
                self._watched_ms.append((time.monotonic() - due_s) * 1000)
                return

    def answers(self) -> Answers:
        """What came back."""
        accepted = [status == _ACCEPTED for status in self._status]
        return Answers(
            sent_s=self._sent_s,
            answered_s=self._answered_s,
            status=self._status,
            order_id=[
                orjson.loads(body)["id"] if is_accepted else ""
                for body, is_accepted in zip(self._bodies, accepted, strict=True)
            ],
            reason=[
                "" if is_accepted else reason_of(status, body)
                for status, body, is_accepted in zip(self._status, self._bodies, accepted, strict=True)
            ],
            declined=[carts.chosen(self._carts, number).declined for number in range(len(self._status))],
            watched_ms=self._watched_ms,
        )


def reason_of(status: int, body: bytes) -> str:
    """Why a checkout was not accepted: its status, and the error's own word where it has one."""
    if status == http1.NO_ANSWER:
        return "no answer"
    try:
        details = orjson.loads(body)["details"]
        reason = next(detail["reason"] for detail in details if "reason" in detail)
    except (ValueError, LookupError, TypeError, StopIteration):
        return str(status)
    return f"{status} {reason}"


def _give(answer: asyncio.Future[tuple[int, bytes]], status: int, body: bytes) -> None:
    if not answer.done():
        answer.set_result((status, body))


async def _main(assignment: Assignment) -> Answers:
    client = http1.Client(
        assignment.host, assignment.port, opened=_CONNECTIONS_OPENED, most=_CONNECTIONS_MOST
    )
    load = Load(assignment, client)
    async with asyncio.timeout(_OPEN_DEADLINE_S):
        await client.open()
    # A walk through everything that was imported would be a pause that looks like the system's.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    print("ready", flush=True)
    start_s = float(await asyncio.to_thread(sys.stdin.readline))
    await load.run(start_s)
    client.close()
    return load.answers()


def main() -> None:
    """Do one assignment."""
    assignment_path, answers_path = (Path(argument) for argument in sys.argv[1:3])
    answers = uvloop.run(_main(Assignment.read(assignment_path)))
    answers_path.write_bytes(orjson.dumps(answers))


if __name__ == "__main__":
    main()
