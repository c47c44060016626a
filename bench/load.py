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
from pathlib import Path
from typing import Final

import aiohttp
import orjson
import uvloop

from bench import carts
from bench.window import Window

# More requests under way than this, and the system has long been overloaded; the edge's default
# limit on connections and this process's on open files are both above it.
_CONNECTIONS: Final = 900

# Containers made and not yet freed before the collector looks for cycles; some megabytes.
_COLLECT_AFTER: Final = 100_000

# The edge gives up on a request after 15 s; what is not answered by then will not be.
ANSWER_DEADLINE_S: Final = 20.0

# One shopper who looks whether the order is done yet, every so often: enough to see that the
# database's times are what buyers see, too few to be a load.
_LOOKS_PER_S: Final = 0.5
_LOOK_AGAIN_S: Final = 0.1
_LOOK_DEADLINE_S: Final = 30.0

_OK: Final = 200
_ACCEPTED: Final = 202
# In place of a status, when the connection ended or the deadline passed before the answer.
_NO_ANSWER: Final = 0
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
    declined: list[bool]
    # From being due to being seen COMPLETED from outside, for the few that were watched.
    watched_ms: list[float] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Answers:
        """The answers that the load generator wrote."""
        return cls(**orjson.loads(path.read_bytes()))


class Load:
    """One window of load.

    aiohttp's client costs 60 microseconds of CPU a checkout, a hundredth of what the system needs
    for it; one of our own would save most of that and have to be maintained.
    """

    def __init__(self, assignment: Assignment, session: aiohttp.ClientSession) -> None:
        count = assignment.window.checkouts
        self._assignment = assignment
        self._session = session
        self._checkouts = f"http://{assignment.host}:{assignment.port}/v1/checkouts"
        self._orders = f"http://{assignment.host}:{assignment.port}/v1/orders/"
        self._authorizations = [f"Bearer {token}" for token in assignment.tokens]
        self._carts = carts.fill(assignment.mix, seed=assignment.seed)
        self._start_s = 0.0
        self._sent_s = [0.0] * count
        self._answered_s: list[float | None] = [None] * count
        self._status = [_NO_ANSWER] * count
        self._bodies: list[bytes] = [b""] * count
        self._watch_every = max(1, round(assignment.window.rate_per_s / _LOOKS_PER_S))
        self._watched_ms: list[float] = []

    async def run(self, start_s: float) -> None:
        """Sends everything from `start_s` of the monotonic clock on, and waits for the answers."""
        self._start_s = start_s
        window = self._assignment.window
        async with asyncio.TaskGroup() as buyers:
            for number in range(window.checkouts):
                wait_s = start_s + window.due_s(number) - time.monotonic()
                if wait_s > _TOGETHER_S:
                    await asyncio.sleep(wait_s)
                buyers.create_task(self._buy(number))

    async def _buy(self, number: int) -> None:
        """Check out once, whatever comes of it, and be one of the few who look what became of the order."""
        self._sent_s[number] = time.monotonic() - self._start_s
        authorization = self._authorizations[number % len(self._authorizations)]
        headers = {
            "authorization": authorization,
            "content-type": "application/json",
            "idempotency-key": f"{self._assignment.name}-{number}",
        }
        cart = carts.chosen(self._carts, number)
        try:
            async with self._session.post(self._checkouts, data=cart.body, headers=headers) as answer:
                self._bodies[number] = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return
        self._answered_s[number] = time.monotonic() - self._start_s
        self._status[number] = answer.status
        looks = number % self._watch_every == 0 and self._assignment.window.counts(number)
        if looks and answer.status == _ACCEPTED:
            await self._watch(number, orjson.loads(self._bodies[number])["id"], authorization)

    async def _watch(self, number: int, order_id: str, authorization: str) -> None:
        due_s = self._start_s + self._assignment.window.due_s(number)
        headers = {"authorization": authorization}
        while time.monotonic() - due_s < _LOOK_DEADLINE_S:
            await asyncio.sleep(_LOOK_AGAIN_S)
            try:
                async with self._session.get(self._orders + order_id, headers=headers) as answer:
                    body = await answer.read()
            except (aiohttp.ClientError, TimeoutError):
                continue
            if answer.status == _OK and orjson.loads(body)["status"] in _ENDED:
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
            declined=[carts.chosen(self._carts, number).declined for number in range(len(self._status))],
            watched_ms=self._watched_ms,
        )


async def _main(assignment: Assignment) -> Answers:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
        timeout=aiohttp.ClientTimeout(total=ANSWER_DEADLINE_S),
    ) as session:
        load = Load(assignment, session)
        # A walk through everything that was imported would be a pause that looks like the system's.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER)
        print("ready", flush=True)
        await load.run(float(await asyncio.to_thread(sys.stdin.readline)))
    return load.answers()


def main() -> None:
    """Do one assignment."""
    assignment_path, answers_path = (Path(argument) for argument in sys.argv[1:3])
    answers = uvloop.run(_main(Assignment.read(assignment_path)))
    answers_path.write_bytes(orjson.dumps(answers))


if __name__ == "__main__":
    main()
