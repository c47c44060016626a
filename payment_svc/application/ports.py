"""What the use cases need from the outside world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from kit.values.clock import Clock
from kit.values.ids import NewId
from payment_svc.domain.decision import Decided
from payment_svc.domain.payment import Payment, PspFact


class PspUndecided(Exception):
    """A call to the PSP had no usable answer: the money may have moved or not. Ask before anything else."""


class PspKeySpent(PspUndecided):
    """The PSP repeats an error of its own under this key, and would as often as it is asked."""


class PspUnavailable(Exception):
    """The PSP refused to look at the call; no money has moved. The same call may be made again later."""


class PspRejected(Exception):
    """The PSP refuses such a call for good, whatever the card; no money has moved by this call."""


class Psp(Protocol):
    """A payment service provider; each method is about the payment's current attempt."""

    @property
    def name(self) -> str:
        """What it is called on payments and in the books."""

    @property
    def key_lifetime(self) -> timedelta:
        """How long a key protects from a second charge."""

    async def charge(self, payment: Payment) -> PspFact:
        """Create and confirm the payment at the PSP under its key, and return what the PSP says.

        Raises:
            PspRejected, PspUndecided, PspKeySpent, PspUnavailable.
        """

    async def find(self, payment: Payment) -> PspFact | None:
        """Look the payment's current attempt up at the PSP; None if the PSP does not know it.

        Of an attempt whose key is spent, None is proof: the PSP has nothing of it and never will.

        Raises:
            PspUndecided, PspUnavailable: the look-up itself had no answer, or none that can be read.
        """

    async def cancel(self, payment: Payment) -> PspFact:
        """Cancel the current attempt, so that nobody can pay it any more, and return what has become of it.

        It may be made as often as one likes; what was paid just now says so.

        Raises:
            PspUndecided, PspUnavailable: no usable answer.
        """


@dataclass(frozen=True, slots=True)
class Webhook:
    """One event of a PSP whose signature was checked.

    Attributes:
        event_id: the PSP's; another PSP may have an event of the same id.
        fact: what it says of one of our payments; None if it is about something else.
    """

    psp: str
    event_id: str
    type: str
    payload: bytes
    fact: PspFact | None


class Payments(Protocol):
    """Payments inside a step."""

    async def add(self, payments: Sequence[Payment]) -> list[Payment]:
        """Insert new payments and return those that are new; an order has one."""

    async def lock(self, payment_ids: Sequence[str]) -> dict[str, Payment]:
        """Return payments by id, locked until the step ends; ids that do not exist are left out."""

    async def save(self, before: Mapping[str, Payment], after: Sequence[Payment]) -> None:
        """Write what moves of the payments have changed, and the attempts that they have begun."""

    async def store_webhooks(self, webhooks: Sequence[Webhook]) -> frozenset[tuple[str, str]]:
        """Store webhooks and return the (PSP, event id) of those that were not seen before."""

    async def note_outcomes(self, outcomes: Sequence[tuple[Webhook, str]]) -> None:
        """Note what came of webhooks, as (webhook, outcome), where it is not `applied`."""

    async def record(self, decisions: Sequence[Decided]) -> None:
        """Write down what people have decided, and why."""


class PaymentReader(Protocol):
    """Payments outside of a step."""

    async def get(self, payment_id: str) -> Payment | None:
        """Return one payment."""

    async def claim_undecided(self, *, limit: int, lease_s: float) -> list[Payment]:
        """Return payments whose time to be looked up has come, and put off their next time by the lease.

        Each has its current attempt only. The next time is further away with each look-up: see
        `BETWEEN_LOOK_UPS`.
        """

    async def take_leave(
        self, payments: Sequence[Payment], key_lifetimes: Mapping[str, timedelta]
    ) -> Sequence[bool]:
        """Put on record that payments are about to be charged, and return which of them may be.

        Those may whose current attempt is still open, of which no PSP has told anything, and whose key its
        PSP remembers. The leave holds for `LEAVE_TO_CALL_S`.
        """


@dataclass(frozen=True, slots=True)
class Scope:
    """What a use case is given for one step.

    Attributes:
        charge: takes payments to charge once the step is committed; what it adds has leave to be called.
        fee_bp: the platform's fee in basis points.
        psp: name of the PSP that new payments go to.
    """

    payments: Payments
    new_id: NewId
    clock: Clock
    charge: Callable[[Sequence[Payment]], None]
    fee_bp: int
    psp: str
