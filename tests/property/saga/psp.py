"""A PSP that keeps its word about keys and nothing else: answers get lost, webhooks come as they like."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from itertools import count
from typing import Any, Final

from payment_svc.adapters.stripe.intents import fact_of_intent
from payment_svc.application.ports import PspUnavailable, PspUndecided, Webhook
from payment_svc.domain.payment import Payment, PspFact, Source


class Card(Enum):
    """How a buyer's bank reacts; the values are payment methods."""

    PAYS = "pm_pays"
    DECLINED = "pm_declined"
    NEEDS_AUTHENTICATION = "pm_needs_authentication"
    DECIDED_LATER = "pm_decided_later"


class Fate(Enum):
    """What becomes of a call to the PSP."""

    ANSWERED = "answered"
    LOST_BEFORE = "nothing happened, and no answer"
    LOST_AFTER = "it happened, and no answer"
    REFUSED = "429: nothing happened"
    # Stripe's search is behind by up to a minute: what exists is not found yet.
    NOT_FOUND_YET = "what exists is not found"


@dataclass(frozen=True, slots=True)
class Intent:
    """A payment as the PSP knows it."""

    id: str
    payment_id: str
    order_id: str
    amount: int
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
            "metadata": {"payment_id": self.payment_id, "order_id": self.order_id},
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
    """A call that waits for its fate."""

    happen: Callable[[], PspFact | None]
    by_search: bool
    answer: asyncio.Future[PspFact | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def meet(self, fate: Fate) -> None:
        """Let the call happen, or not, and be answered, or not; its caller may be gone."""
        fact = self.happen() if fate in (Fate.ANSWERED, Fate.LOST_AFTER) else None
        if self.answer.done():
            return
        match fate:
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
        self._numbers = count(1)

    async def charge(self, payment: Payment) -> PspFact:
        fact = await self._call(lambda: self._charge(payment), by_search=False)
        assert fact is not None, "a charge is answered with what it did"
        return fact

    async def find(self, payment: Payment) -> PspFact | None:
        return await self._call(lambda: self._find(payment), by_search=not payment.psp_reference)

    async def cancel(self, payment: Payment) -> PspFact:
        fact = await self._call(lambda: self._cancel(payment), by_search=False)
        assert fact is not None, "a cancellation is answered with what it did"
        return fact

    def waiting(self) -> list[Intent]:
        """Return the intents that their buyer or the bank has to decide."""
        return [i for i in self.intents.values() if i.status in ("requires_action", "processing")]

    def captured(self, order_id: str = "") -> list[Intent]:
        """Return what was taken: from the buyer of an order, or from all of them."""
        taken = [intent for intent in self.intents.values() if intent.status == "succeeded"]
        return [intent for intent in taken if order_id in ("", intent.order_id)]

    def decide(self, intent: Intent, *, paid: bool) -> None:
        """End an intent: its buyer has passed or failed 3-D Secure, or the bank has decided at last."""
        self._put(intent, "succeeded" if paid else "requires_payment_method")

    async def _call(self, happen: Callable[[], PspFact | None], *, by_search: bool) -> PspFact | None:
        call = Call(happen, by_search)
        self.calls.append(call)
        return await call.answer

    def _cancel(self, payment: Payment) -> PspFact | None:
        """Cancel an intent that nobody has decided yet; any other says what it is."""
        intent = self.intents[payment.psp_reference]
        if intent.status == "requires_action":
            intent = self._put(intent, "canceled")
        return fact_of_intent(intent.document(), Source.LOOKUP)

    def _charge(self, payment: Payment) -> PspFact | None:
        """Charge once per key; a known key is answered as the first time, whatever has happened since."""
        if payment.psp_key not in self._answers:
            intent = Intent(f"pi_{next(self._numbers)}", payment.id, payment.order_id, payment.amount, "")
            self._answers[payment.psp_key] = self._put(intent, _FIRST_STATUS[Card(payment.payment_method_id)])
        return fact_of_intent(self._answers[payment.psp_key].document(), Source.ANSWER)

    def _find(self, payment: Payment) -> PspFact | None:
        known = [intent for intent in self.intents.values() if intent.payment_id == payment.id]
        assert len(known) <= 1, f"{payment.id} was begun twice at the PSP"
        return fact_of_intent(known[0].document(), Source.LOOKUP) if known else None

    def _put(self, intent: Intent, status: str) -> Intent:
        after = Intent(intent.id, intent.payment_id, intent.order_id, intent.amount, status)
        self.intents[after.id] = after
        fact = fact_of_intent(after.document(), Source.WEBHOOK)
        number = next(self._numbers)
        self.webhooks.append(Webhook(f"evt_psp_{number}", f"payment_intent.{status}", b"{}", fact))
        return after
