"""One numbered try of an operation at a PSP: on record before the call, decided once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Final


class Kind(Enum):
    """What an operation asks of a PSP."""

    # The money of a payment, taken at once.
    CHARGE = "CHARGE"


class State(Enum):
    """What has become of an attempt."""

    # The PSP is called, or was, and has not decided.
    OPEN = "OPEN"
    # The PSP keeps an error of its own under the key and would only repeat it.
    SPENT = "SPENT"
    # It is to end without money, and the PSP could still take some: it is cancelled there first.
    CLOSING = "CLOSING"
    # The money is taken.
    DONE = "DONE"
    # Nothing was taken, and nothing can be any more.
    ENDED = "ENDED"


# States in which the PSP has to be asked.
UNDECIDED: Final = frozenset({State.OPEN, State.SPENT, State.CLOSING})

# An attempt is followed by another only if the PSP broke and has left nothing. With the pauses between them
# these take twenty minutes; what breaks for longer is not going to be paid.
MAX_ATTEMPTS: Final = 8


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt; all that a PSP has said of it is here.

    Attributes:
        number: among the payment's attempts of this kind.
        operation: number of the operation that it is a try of, among the payment's.
        amount: minor units of the payment's currency.
        psp: whom it was made at, and who alone can be asked about it.
        psp_reference: the PSP's id of what came of it; empty until known.
        reason: Florin's reason, if it ended without money or is about to.
        look_ups: how often the PSP was asked what became of it.
        has_leave: whether a process had leave to charge it when this was read.
    """

    payment_id: str
    psp: str
    amount: int
    started_at: datetime
    number: int = 1
    operation: int = 1
    kind: Kind = Kind.CHARGE
    state: State = State.OPEN
    psp_reference: str = ""
    reason: str = ""
    decline_code: str = ""
    message: str = ""
    next_action_type: str = ""
    next_action_url: str = ""
    look_ups: int = 0
    has_leave: bool = False

    @property
    def psp_key(self) -> str:
        """The idempotency key of its call: payment, kind, number."""
        return f"{self.payment_id}:{self.kind.value.lower()}:{self.number}"

    @property
    def may_be_charging(self) -> bool:
        """Whether a call may be under way that takes money; under a key that has a result no call does."""
        return self.has_leave and self.state is State.OPEN and not self.psp_reference

    def after_it(self, at: datetime) -> Attempt:
        """Return the next attempt of the same operation, with a key of its own."""
        return Attempt(self.payment_id, self.psp, self.amount, at, self.number + 1, self.operation, self.kind)

    def ended(self, reason: str) -> Attempt:
        """Return it without money and over."""
        return replace(self, state=State.ENDED, reason=reason)
