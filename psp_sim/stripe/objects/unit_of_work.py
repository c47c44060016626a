"""One request at work: what it reads, what it changes, what it announces."""

import secrets
from collections.abc import Callable
from typing import Final

from psp_sim.memory.kept_json import kept
from psp_sim.stripe.errors import no_such
from psp_sim.stripe.objects.rendering import Document, Renderer, payment_method
from psp_sim.stripe.objects.rows import (
    BalanceTransaction,
    Charge,
    Dispute,
    Event,
    PaymentIntent,
    Refund,
    Row,
)
from psp_sim.stripe.objects.store import Change, Store
from psp_sim.stripe.tokens import TOKENS
from psp_sim.webhooks import Manner

# 96 random bits: no two ids are the same in the life of a simulator.
_ID_BYTES: Final = 12


def random_id(prefix: str) -> str:
    """Return a new id such as `pi_5f0c…`."""
    return f"{prefix}_{secrets.token_hex(_ID_BYTES)}"


class UnitOfWork:
    """A unit of work over the store: its changes take effect together, or not at all.

    Domain functions read through it (and so see their own changes), put rows and announce
    events; the caller commits `change` when they are done.
    """

    def __init__(
        self,
        store: Store,
        renderer: Renderer,
        *,
        subscribed: frozenset[str],
        now_ms: int,
        request_id: str | None = None,
        idempotency_key: str | None = None,
        delivers: Callable[[], bool] = lambda: True,
        new_id: Callable[[str], str] = random_id,
    ) -> None:
        self.change = Change()
        self.now = now_ms // 1000
        self.now_ms = now_ms
        self.new_id = new_id
        self.events: list[Event] = []
        self._store = store
        self._renderer = renderer
        self._subscribed = subscribed
        self._request_id = request_id
        self._idempotency_key = idempotency_key
        self._delivers = delivers
        self._put: dict[str, PaymentIntent | Charge | Refund | Dispute | BalanceTransaction] = {}
        self._encoded: dict[str, bytes] = {}

    def put(self, row: PaymentIntent | Charge | Refund | Dispute | BalanceTransaction) -> None:
        """Make a row, new or changed, part of the unit."""
        self.change.rows.append(row)
        self._put[row.id] = row
        self._encoded.pop(row.id, None)

    def announce(
        self,
        event_type: str,
        row: PaymentIntent | Charge | Refund | Dispute,
        *,
        manner: Manner = "",
    ) -> None:
        """Record an event about a row as it is now, if the endpoint subscribes to its type."""
        if event_type not in self._subscribed and "*" not in self._subscribed:
            return
        event = Event(
            id=self.new_id("evt"),
            created=self.now,
            type=event_type,
            body=self.encoded(row),
            request_id=self._request_id,
            idempotency_key=self._idempotency_key,
            awaits_delivery=manner != "never" and self._delivers(),
            manner=manner,
        )
        self.change.rows.append(event)
        self.events.append(event)

    def encoded(self, row: PaymentIntent | Charge | Refund | Dispute | BalanceTransaction) -> bytes:
        """Return a row's JSON; once rendered it serves the event and the answer alike."""
        if self._put.get(row.id) is not row:
            return kept(self.document(row))
        body = self._encoded.get(row.id)
        if body is None:
            body = self._encoded[row.id] = kept(self.document(row))
        return body

    def document(self, row: Row) -> Document:
        """Return a row's JSON document, for an answer that changes or embeds it."""
        return self._renderer.document(row, self.now)

    def resolve(self, object_id: str) -> Document | None:
        """Return the JSON document of any object by its id, or None."""
        token = TOKENS.get(object_id)
        if token is not None:
            return payment_method(token, self.now)
        row = self._put.get(object_id) or self._store.find(object_id)
        return None if row is None else self._renderer.document(row, self.now)

    def intent(self, intent_id: str, *, param: str = "intent", status: int = 404) -> PaymentIntent:
        """Return a payment intent.

        Raises:
            ApiError: `resource_missing` if there is none.
        """
        row = self._put.get(intent_id) or self._store.intents.get(intent_id)
        if isinstance(row, PaymentIntent):
            return row
        raise no_such("payment_intent", intent_id, param=param, status=status)

    def charge(self, charge_id: str, *, param: str = "charge", status: int = 404) -> Charge:
        """Return a charge, likewise."""
        row = self._put.get(charge_id) or self._store.charges.get(charge_id)
        if isinstance(row, Charge):
            return row
        raise no_such("charge", charge_id, param=param, status=status)

    def refund(self, refund_id: str) -> Refund:
        """Return a refund, likewise."""
        row = self._put.get(refund_id) or self._store.refunds.get(refund_id)
        if isinstance(row, Refund):
            return row
        raise no_such("refund", refund_id, param="refund", status=404)

    def dispute(self, dispute_id: str) -> Dispute:
        """Return a dispute, likewise."""
        row = self._put.get(dispute_id) or self._store.disputes.get(dispute_id)
        if isinstance(row, Dispute):
            return row
        raise no_such("dispute", dispute_id, param="dispute", status=404)
