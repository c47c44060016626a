"""A delivery: one message about one order to one recipient, and what may become of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from kit.values.errors import IllegalMove
from kit.values.reasons import ILLEGAL_STATE
from kit.values.trail import Trail


class Status(StrEnum):
    """Where a delivery is on its way; the names are those of `Delivery.Status`."""

    PENDING = "PENDING"
    SENT = "SENT"
    FAILED = "FAILED"


class Template(StrEnum):
    """What can be told; one text each in `templates`."""

    ORDER_COMPLETED = "order_completed"
    ORDER_FAILED = "order_failed"


EMAIL: Final = "email"

TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    # PENDING to PENDING is another attempt.
    Status.PENDING: frozenset({Status.PENDING, Status.SENT, Status.FAILED}),
    Status.SENT: frozenset(),
    Status.FAILED: frozenset(),
}

# Pauses after the first, second, … attempt. Short ones for a hiccup, long ones for a mail server that is
# being repaired: together about a day, after which a receipt is looked up rather than awaited.
RETRY_PAUSES_S: Final = (10.0, 60.0, 300.0, 1_800.0, 7_200.0, 21_600.0, 54_000.0)

MAX_ATTEMPTS: Final = len(RETRY_PAUSES_S) + 1

# What the mail server says is kept for people; the first lines are enough.
_MAX_ERROR_LENGTH: Final = 500

# RFC 5321 §4.5.3.1.3: a path has at most 256 octets, angle brackets included.
_MAX_ADDRESS_LENGTH: Final = 254

# Addresses that need no quoting and no SMTPUTF8, which is all that checkout forms produce. Nothing that
# could end a header line or an SMTP command is let through.
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")

NO_ADDRESS: Final = "the recipient is no e-mail address that mail servers take"


@dataclass(frozen=True, slots=True)
class Line:
    """A quantity of one product."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the templates need to know, as it was when the order ended.

    Attributes:
        amount: what was charged, or would have been, in minor units of `currency`.
        tax_amount: tax contained in it.
        reason: why the order failed; empty if it did not.
    """

    merchant_id: str
    amount: int
    tax_amount: int
    currency: str
    payment_id: str = ""
    reason: str = ""
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one recipient.

    Attributes:
        id: `dlv_…`; the message's id and file name derive from it, so that a second send is recognised.
        attempts: how often it was tried, the attempt under way included.
        requested_at: when it was asked for.
    """

    id: str
    order_id: str
    channel: str
    template: Template
    recipient: str
    facts: Facts
    trail: Trail
    status: Status
    attempts: int
    last_error: str
    requested_at: datetime
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """The mail server (or the mailbox) has the message."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It was not taken.

    Attributes:
        for_good: whether another attempt makes no sense: the address does not exist, say.
    """

    error: str
    for_good: bool


Answer = Taken | Refused


@dataclass(frozen=True, slots=True)
class Move:
    """What an attempt makes of a delivery.

    Attributes:
        pause_s: until the next attempt; only for PENDING.
    """

    delivery_id: str
    order_id: str
    attempt: int
    to: Status
    error: str = ""
    pause_s: float = 0.0


def is_deliverable(address: str) -> bool:
    """Return whether mail servers take this address as a recipient."""
    return len(address) <= _MAX_ADDRESS_LENGTH and _ADDRESS.fullmatch(address) is not None


def check_move(current: Status, to: Status) -> None:
    """Raise `IllegalMove` if a delivery may not go from `current` to `to`."""
    if to not in TRANSITIONS[current]:
        raise IllegalMove(
            ILLEGAL_STATE,
            f"a delivery that is {current} cannot become {to}",
            metadata={"current": current.value, "wanted": to.value},
        )


def after_attempt(delivery: Delivery, answer: Answer) -> Move:
    """Return what becomes of a delivery that was tried.

    Raises:
        IllegalMove: it had ended already.
    """
    if isinstance(answer, Taken):
        move = Move(delivery.id, delivery.order_id, delivery.attempts, Status.SENT)
    else:
        error = answer.error[:_MAX_ERROR_LENGTH]
        if answer.for_good or delivery.attempts >= MAX_ATTEMPTS:
            move = Move(delivery.id, delivery.order_id, delivery.attempts, Status.FAILED, error)
        else:
            pause_s = RETRY_PAUSES_S[delivery.attempts - 1]
            move = Move(delivery.id, delivery.order_id, delivery.attempts, Status.PENDING, error, pause_s)
    check_move(delivery.status, move.to)
    return move
