"""How checkouts get in: gathered, priced together, each key once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from florin.order.v1 import order_pb2

from kit.messaging.step import Step
from kit.rpc.idempotency import Answer, Apply, IdempotentBatch, Keyed
from kit.values.errors import FlorinError
from order_svc.application.checkout.admission import Admission
from order_svc.application.checkout.place_orders import (
    Checkout,
    PricedCheckout,
    place_orders,
    price_checkouts,
)
from order_svc.application.ports import Catalogue, Scope
from order_svc.transport.messages import order_message


class Intake:
    """Takes a batch of checkouts: prices them, then places those that are new."""

    def __init__(self, catalogue: Catalogue, batch: IdempotentBatch[PricedCheckout, order_pb2.Order]) -> None:
        self._catalogue = catalogue
        self._batch = batch

    async def __call__(self, calls: list[Keyed[Checkout]]) -> Sequence[Answer[order_pb2.Order] | Exception]:
        """Return an answer or refusal for each checkout; a replay is answered whatever prices are today."""
        priced = await price_checkouts(self._catalogue, [call.command for call in calls])
        return await self._batch([Keyed(call.key, item) for call, item in zip(calls, priced, strict=True)])


def placing(admission: Admission, scope: Callable[[Step], Scope]) -> Apply[PricedCheckout, order_pb2.Order]:
    """Return what runs inside the step that takes new checkouts; the answer to a replay needs no room."""

    async def apply(step: Step, priced: Sequence[PricedCheckout]) -> list[order_pb2.Order | FlorinError]:
        results, events = await place_orders(scope(step), admission.admit(priced))
        step.emit(events)
        step.after_commit(lambda: admission.placed(len(events)))
        return [r if isinstance(r, FlorinError) else order_message(r) for r in results]

    return apply
