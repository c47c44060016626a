"""The simulator's domain without its process: a store, and requests that are applied to it."""

from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

import pytest

from psp_sim.stripe.errors import ApiError
from psp_sim.stripe.objects.rendering import Renderer
from psp_sim.stripe.objects.rows import Event
from psp_sim.stripe.objects.store import Change, Store
from psp_sim.stripe.objects.unit_of_work import UnitOfWork

T = TypeVar("T")

# A fixed moment: 2026-01-01 00:00:00 UTC.
NOW = 1_767_225_600


class Sim:
    """Applies domain functions one after the other, as requests would."""

    def __init__(self) -> None:
        self.store = Store()
        self.renderer = Renderer("http://sim.example")
        self.now = NOW
        self.lines: list[bytes] = []
        self.events: list[Event] = []
        self._numbers = count(1)

    def unit(self) -> UnitOfWork:
        return UnitOfWork(
            self.store,
            self.renderer,
            subscribed=frozenset("*"),
            now_ms=self.now * 1000,
            request_id="req_1",
            new_id=lambda prefix: f"{prefix}_{next(self._numbers)}",
        )

    def do(self, act: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Return what a domain function returns, with its changes applied even if it declines."""
        unit = self.unit()
        try:
            return act(unit, *arguments, **named)
        except ApiError as error:
            if not error.executed:
                unit.change = Change()
            raise
        finally:
            if unit.change:
                self.lines.append(unit.change.encoded())
                self.store.apply(unit.change)
                self.events += unit.events

    def event_types(self) -> list[str]:
        return [event.type for event in self.events]


@pytest.fixture
def sim() -> Sim:
    return Sim()
