"""What Stripe has made at a time, read from its list once for all payments that ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from payment_svc.adapters.stripe.pace import Pace
from payment_svc.application.ports import PspRejected, PspUnavailable, PspUndecided

Intent = Mapping[str, Any]
ReadPage = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]

# A look-up waits for its reading this long and then leaves its slot: reading goes on, for the next one.
_PATIENCE_S: Final = 2.0

# What was read and never asked for again has been settled by another process.
_MOST_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """The intents of a payment that were made between two Unix seconds."""

    payment_id: str
    since_s: int
    until_s: int


@dataclass(slots=True)
class _Stretch:
    """A time that is still to be read, from the newest intent in it or after one."""

    since_s: int
    until_s: int
    after: str = ""


@dataclass(slots=True)
class _Reading:
    """One way through the list, for all that waited when it began; it goes on where it was broken off."""

    found: dict[Wanted, list[Intent]]
    left: list[_Stretch]
    by_payment: dict[str, Wanted] = field(init=False)

    def __post_init__(self) -> None:
        self.by_payment = {wanted.payment_id: wanted for wanted in self.found}


class Listed:
    """Reads Stripe's list by time.

    An intent that exists when it is asked for is in the list, however many others are: so whoever asks while
    the list is being read waits for the next reading, and each reading serves all that wait.

    Args:
        read_page: asks for a page; raises `PspRejected` if Stripe refuses to give it.
    """

    def __init__(self, read_page: ReadPage, pace: Pace) -> None:
        self._read_page = read_page
        self._pace = pace
        self._waiting: set[Wanted] = set()
        self._reading: _Reading | None = None
        self._task: asyncio.Task[Exception | None] | None = None
        self._found: dict[Wanted, list[Intent]] = {}

    async def find(self, wanted: Wanted) -> Sequence[Intent]:
        """Return the intents that there are.

        Raises:
            PspUndecided, PspUnavailable: the list was not read to its end; ask again later.
        """
        give_up = asyncio.get_running_loop().time() + _PATIENCE_S
        while wanted not in self._found:
            if self._reading is None or wanted not in self._reading.found:
                self._waiting.add(wanted)
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._read())
            task = self._task
            remaining_s = give_up - asyncio.get_running_loop().time()
            done, _ = await asyncio.wait({task}, timeout=max(0.0, remaining_s))
            if not done:
                raise PspUndecided("Stripe's list of that time is still being read")
            if (failure := task.result()) is not None:
                raise failure
        return self._found.pop(wanted)

    async def close(self) -> None:
        """Read no further."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _read(self) -> Exception | None:
        """Read to the end, or return what came in the way."""
        if self._reading is None:
            self._reading = _Reading({wanted: [] for wanted in self._waiting}, _stretches(self._waiting))
            self._waiting = set()
        reading = self._reading
        while reading.left:
            stretch = reading.left[-1]
            await self._pace.wait()
            try:
                page = await self._read_page(_parameters(stretch))
            except PspRejected as error:
                # What it was to go on after may be gone: from the beginning, then.
                stretch.after = ""
                return PspUndecided(f"the list was refused: {error}")
            except (PspUndecided, PspUnavailable) as error:
                return error
            for intent in page["data"]:
                mine = reading.by_payment.get(payment_id_of(intent))
                if mine is not None:
                    reading.found[mine].append(intent)
            if page["has_more"]:
                stretch.after = page["data"][-1]["id"]
            else:
                reading.left.pop()
        self._reading = None
        self._found |= reading.found
        for old in list(self._found)[:-_MOST_KEPT]:
            del self._found[old]
        return None


def payment_id_of(intent: Intent) -> str:
    """Return our id of the payment that an intent was made for; empty if it carries none."""
    return str((intent.get("metadata") or {}).get("payment_id") or "")


def _parameters(stretch: _Stretch) -> dict[str, Any]:
    after = {"starting_after": stretch.after} if stretch.after else {}
    return {"created": {"gte": stretch.since_s, "lte": stretch.until_s}, "limit": 100, **after}


def _stretches(wanted: Iterable[Wanted]) -> list[_Stretch]:
    """Return the times of all, each second once."""
    joined: list[_Stretch] = []
    for since_s, until_s in sorted((each.since_s, each.until_s) for each in wanted):
        if joined and since_s <= joined[-1].until_s:
            joined[-1].until_s = max(joined[-1].until_s, until_s)
        else:
            joined.append(_Stretch(since_s, until_s))
    return joined
