"""What the payment service does by itself: when the PSP is asked about payments that nobody has decided."""

from __future__ import annotations

from typing import Final

from kit.values.pauses import Pauses
from kit.values.schedule import Schedule
from payment_svc.domain.attempt import State
from payment_svc.domain.payment import Payment, Status

# How soon it is noticed that a payment is due; each has its own time, as follows.
LOOK_UP_DUE: Final = Schedule("payments.look_up", every_s=0.5)

# No call to a PSP takes longer; gateways have shorter time-outs of their own.
LONGEST_CALL_S: Final = 8.0

# Nobody asks while the answer may still come.
FIRST_LOOK_UP_S: Final = LONGEST_CALL_S

# How long a charge may be made once it is on record that it may be: half of it to begin, half for the call.
LEAVE_TO_CALL_S: Final = 2 * LONGEST_CALL_S

# A payment without an answer is looked up soon, then less and less often.
AFTER_NO_ANSWER: Final = Pauses.doubling(0.25, longest_s=60.0)

# One that waits for its buyer is looked up, too: its webhook may have been lost, and the buyer may never come
# back.
WHILE_WAITING_S: Final = 60.0

# Between look-ups that bring no news; never less than a look-up may take.
BETWEEN_LOOK_UPS: Final = Pauses.doubling(1.0, longest_s=60.0)


# A PSP that breaks on a payment is given time to mend itself before it is asked with another key.
BEFORE_ANOTHER_ATTEMPT: Final = Pauses((0.25, 5.0, 30.0, 120.0, 300.0))


def next_look_up_s(payment: Payment) -> float | None:
    """Return how long after its move a payment is looked up; None if nothing is to be asked."""
    current = payment.current
    match current.state:
        case State.DONE | State.ENDED:
            return None
        case State.SPENT:
            return BEFORE_ANOTHER_ATTEMPT.after(current.number - 1)
        case State.CLOSING:
            return AFTER_NO_ANSWER.after(current.look_ups)
        case State.OPEN:
            return _while_open_s(payment)


def _while_open_s(payment: Payment) -> float | None:
    match payment.status:
        case Status.UNKNOWN:
            return AFTER_NO_ANSWER.after(payment.current.look_ups)
        case Status.PROCESSING | Status.REQUIRES_ACTION:
            return WHILE_WAITING_S
        case _:
            return None
