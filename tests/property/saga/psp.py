"""A PSP that keeps its word about keys and nothing else: answers get lost, webhooks come as they like."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from itertools import count
from typing import Any, Final

from payment_svc.adapters.stripe.intents import fact_of_intent
from payment_svc.application.ports import PspKeySpent, PspRejected, PspUnavailable, PspUndecided, Webhook
from payment_svc.domain.attempt import State
from payment_svc.domain.payment import Payment, PspFact, Source


class Card(Enum):
    """How a buyer's bank reacts; the values are payment methods."""

    PAYS = "pm_pays"
    DECLINED = "pm_declined"
    NEEDS_AUTHENTICATION = "pm_needs_authentication"
    DECIDED_LATER = "pm_decided_later"
    # Refused for good, whatever the card.
    UNKNOWN_TO_PSP = "pm_unknown_to_psp"


class Fate(Enum):
    """What becomes of a call to the PSP."""

    ANSWERED = "answered"
    LOST_BEFORE = "nothing happened, and no answer"
    LOST_AFTER = "it happened, and no answer"
    REFUSED = "429: nothing happened"
    # Stripe's search is behind by up to a minute: what exists is not found yet.
    NOT_FOUND_YET = "what exists is not found"
    # An error of the PSP's own is kept under the key: the same call is answered with it from now on.
    BROKEN = "500, kept under the key; nothing happened"
    BROKEN_HALFWAY = "500, kept under the key; created and never confirmed"


@dataclass(frozen=True, slots=True)
class Intent:
    """A payment as the PSP knows it."""

    id: str
    payment_id: str
    order_id: str
    amount: int
    attempt: int
    status: str

    def document(self) -> dict[str, Any]:
        """Return it in Stripe's JSON."""
        declined = {"code": "card_declined", "decline_code": "insufficient_funds"}
        challenge = {"type": "redirect_to_url", "redirect_to_url": {"url": f"https://bank.example/{self.id}"}}
        return {
            "id": self.id,
            "status": self.status,
            "currency": "eur",
            "amount_received": self.amount if self.status == "succeeded" else 0,
            "metadata": {
                "payment_id": self.payment_id,
                "order_id": self.order_id,
                "attempt": str(self.attempt),
            },
            "last_payment_error": declined if self.status == "requires_payment_method" else None,
            "next_action": challenge if self.status == "requires_action" else None,
        }


_FIRST_STATUS = {
    Card.PAYS: "succeeded",
    Card.DECLINED: "requires_payment_method",
    Card.NEEDS_AUTHENTICATION: "requires_action",
    Card.DECIDED_LATER: "processing",
}


@dataclass(slots=True)
class Call:
    """A call that waits for its fate.

    Attributes:
        by_search: whether it looks for what may not be found yet.
        breaks: what becomes of it at the PSP if that breaks: halfway, or before.
        charges: the payment that it charges, if it does.
    """

    happen: Callable[[], PspFact | None]
    by_search: bool
    breaks: Callable[[bool], None]
    charges: str = ""
    answer: asyncio.Future[PspFact | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def meet(self, fate: Fate) -> None:
        """Let the call happen, or not, and be answered, or not; its caller may be gone."""
        fact: PspFact | None = None
        refusal: PspRejected | PspKeySpent | None = None
        if fate in (Fate.ANSWERED, Fate.LOST_AFTER):
            try:
                fact = self.happen()
            except (PspRejected, PspKeySpent) as error:
                refusal = error
        elif fate in (Fate.BROKEN, Fate.BROKEN_HALFWAY):
            self.breaks(fate is Fate.BROKEN_HALFWAY)
        if self.answer.done():
            return
        match fate:
            case Fate.ANSWERED if refusal is not None:
                self.answer.set_exception(refusal)
            case Fate.ANSWERED:
                self.answer.set_result(fact)
            case Fate.NOT_FOUND_YET if self.by_search:
                self.answer.set_result(None)
            case Fate.REFUSED:
                self.answer.set_exception(PspUnavailable("too many requests"))
            case _:
                self.answer.set_exception(PspUndecided("no answer"))


class Psp:
    """The other side of the payment service.

    Attributes:
        calls: those that nothing has become of yet.
        webhooks: those that have not arrived yet.
    """

    name: Final = "stripe"
    key_lifetime: Final = timedelta(days=1)

    def __init__(self) -> None:
        self.intents: dict[str, Intent] = {}
        self.calls: list[Call] = []
        self.webhooks: list[Webhook] = []
        self._answers: dict[str, Intent] = {}
        self._spent: set[str] = set()
        self._numbers = count(1)

    async def charge(self, payment: Payment) -> PspFact:
        fact = await self._call(
            lambda: self._charge(payment),
            breaks=lambda halfway: self._break(payment, halfway=halfway),
            charges=payment.id,
        )
        assert fact is not None, "a charge is answered with what it did"
        return fact

    async def find(self, payment: Payment) -> PspFact | None:
        return await self._call(lambda: self._find(payment), by_search=_by_search(payment))

    async def cancel(self, payment: Payment) -> PspFact:
        fact = await self._call(lambda: self._cancel(payment))
        assert fact is not None, "a cancellation is answered with what it did"
        return fact

    def says(self, payment: Payment, *, lags: bool) -> PspFact | None:
        """Return at once what a look-up finds; nothing if the search lags behind."""
        return None if lags and _by_search(payment) else self._find(payment)

    def charging(self, payment_id: str) -> bool:
        """Return whether a call that charges a payment may still happen."""
        return any(call.charges == payment_id for call in self.calls)

    def waiting(self) -> list[Intent]:
        """Return the intents that their buyer or the bank has to decide."""
        return [i for i in self.intents.values() if i.status in ("requires_action", "processing")]

    def still_payable(self) -> list[Intent]:
        """Return the intents that were declined or never confirmed, and are not cancelled."""
        return [
            i
            for i in self.intents.values()
            if i.status in ("requires_payment_method", "requires_confirmation")
        ]

    def captured(self, order_id: str = "") -> list[Intent]:
        """Return what was taken: from the buyer of an order, or from all of them."""
        taken = [intent for intent in self.intents.values() if intent.status == "succeeded"]
        return [intent for intent in taken if order_id in ("", intent.order_id)]

    def decide(self, intent: Intent, *, paid: bool) -> None:
        """End an intent: its buyer has passed or failed 3-D Secure, or the bank has decided at last."""
        self._put(intent, "succeeded" if paid else "requires_payment_method")

    async def _call(
        self,
        happen: Callable[[], PspFact | None],
        *,
        by_search: bool = False,
        breaks: Callable[[bool], None] = lambda halfway: None,
        charges: str = "",
    ) -> PspFact | None:
        call = Call(happen, by_search, breaks, charges)
        self.calls.append(call)
        return await call.answer

    def _cancel(self, payment: Payment) -> PspFact | None:
        """Cancel an intent that could still be paid; any other says what it is."""
        intent = self.intents[payment.current.psp_reference]
        if intent.status == "requires_action" or intent in self.still_payable():
            intent = self._put(intent, "canceled")
        return fact_of_intent(intent.document(), Source.LOOKUP)

    def _charge(self, payment: Payment) -> PspFact | None:
        """Charge once per key; a known key is answered as the first time, whatever has happened since."""
        key = payment.current.psp_key
        if key in self._spent:
            raise PspKeySpent("500, as before")
        card = Card(payment.payment_method_id)
        if card is Card.UNKNOWN_TO_PSP:
            raise PspRejected("no such payment method")
        if key not in self._answers:
            self._answers[key] = self._make(payment, _FIRST_STATUS[card])
        return fact_of_intent(self._answers[key].document(), Source.ANSWER)

    def _break(self, payment: Payment, *, halfway: bool) -> None:
        """Keep an error under a key, unless the key has an answer."""
        key = payment.current.psp_key
        if key in self._answers or key in self._spent:
            return
        self._spent.add(key)
        if halfway:
            self._make(payment, "requires_confirmation")

    def _find(self, payment: Payment) -> PspFact | None:
        made_by = (payment.id, payment.current.number)
        known = [each for each in self.intents.values() if (each.payment_id, each.attempt) == made_by]
        assert len(known) <= 1, f"{payment.id} was begun twice at the PSP"
        return fact_of_intent(known[0].document(), Source.LOOKUP) if known else None

    def _make(self, payment: Payment, status: str) -> Intent:
        number = payment.current.number
        intent = Intent(
            f"pi_{next(self._numbers)}", payment.id, payment.order_id, payment.amount, number, status
        )
        return self._put(intent, status)

    def _put(self, intent: Intent, status: str) -> Intent:
        after = replace(intent, status=status)
        self.intents[after.id] = after
        if status == "requires_confirmation":
            return after  # Nobody is told of it.
        fact = fact_of_intent(after.document(), Source.WEBHOOK)
        number = next(self._numbers)
        self.webhooks.append(Webhook("stripe", f"evt_psp_{number}", f"payment_intent.{status}", b"{}", fact))
        return after


def _by_search(payment: Payment) -> bool:
    return not payment.current.psp_reference and payment.current.state is not State.SPENT
