"""Builds the order service: the only place that knows all its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from florin.order.v1 import order_pb2, order_service_pb2_grpc

from kit.messaging.pump import Pump
from kit.messaging.step import Step
from kit.rpc import Server, Servicer
from kit.rpc.idempotency import Answer, Apply, IdempotentBatch, Keyed, ReplayCache
from kit.rpc.pages import PageTokens
from kit.runtime.service import Runtime
from kit.store.batch import Gatherer
from kit.values.clock import system_clock
from kit.values.errors import FlorinError
from kit.values.ids import new_id
from order_svc.adapters.catalogue import RemoteCatalogue
from order_svc.adapters.postgres.orders import PostgresOrderReader, PostgresOrders
from order_svc.application.checkout.admission import Admission
from order_svc.application.checkout.place_orders import (
    Checkout,
    PricedCheckout,
    place_orders,
    price_checkouts,
)
from order_svc.application.ports import Catalogue, Scope
from order_svc.application.progress.watching import Watchers
from order_svc.domain.order import Order
from order_svc.settings import Settings
from order_svc.transport.events import EMITS, SUBSCRIPTIONS
from order_svc.transport.grpc import OrderServicer
from order_svc.transport.messages import order_message

NAME = "order_svc"

# The number of open orders may be this old; at full speed that is some hundred orders.
_ADMISSION_REFRESH_S = 0.25

# Checkouts that wait to be accepted: about two seconds' worth at full speed, and more than come at once in a
# flash sale's first instant.
_MAX_WAITING = 1_000

# Changes that another replica made are told to watchers at this interval.
_LOOK_S = 1.0


class Intake:
    """Takes a batch of checkouts: prices them, then places those that are new."""

    def __init__(
        self,
        catalogue: Catalogue,
        batch: IdempotentBatch[PricedCheckout, order_pb2.Order],
    ) -> None:
        self._catalogue = catalogue
        self._batch = batch

    async def __call__(self, calls: list[Keyed[Checkout]]) -> Sequence[Answer[order_pb2.Order] | Exception]:
        """Return an answer or refusal per checkout; a replay is answered whatever prices are today."""
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


async def build(settings: Settings) -> Runtime:
    """Return the order service, ready to serve."""
    runtime = Runtime.build(NAME, settings, EMITS)
    reader = PostgresOrderReader(runtime.database)
    watchers = Watchers(reader.changed)
    admission = Admission(reader.count_open, limit=settings.max_open_orders)

    def scope(step: Step) -> Scope:
        def changed(orders: Sequence[Order]) -> None:
            step.after_commit(lambda: watchers.tell(orders))

        return Scope(PostgresOrders(step.connection), new_id, system_clock, changed)

    cache = ReplayCache(settings.redis_url)
    catalogue = RemoteCatalogue(settings.inventory_target)
    batch = IdempotentBatch(
        steps=runtime.steps, cache=cache, apply=placing(admission, scope), response=order_pb2.Order
    )
    intake = Gatherer(
        Intake(catalogue, batch),
        name="checkouts",
        # Whoever comes when so many wait would wait for seconds: better told at once to come back.
        max_waiting=_MAX_WAITING,
        linger_s=settings.intake_linger_ms / 1000,
    )
    pump = Pump(
        bus=runtime.bus,
        steps=runtime.steps,
        consumer=NAME,
        subscriptions=SUBSCRIPTIONS,
        scope=scope,
        new_id=new_id,
        linger_s=settings.event_linger_ms / 1000,
        replica=settings.replica,
    )
    servicer = OrderServicer(
        intake=intake,
        reader=reader,
        watchers=watchers,
        page_tokens=PageTokens(settings.page_token_key),
        email_domain=settings.customer_email_domain,
    )
    server = Server(
        host=settings.bind_host,
        port=settings.port,
        servicers=[
            Servicer(
                "florin.order.v1.OrderService",
                order_service_pb2_grpc.add_OrderServiceServicer_to_server,
                servicer,
            )
        ],
    )
    runtime.worker("pump", pump.run)
    runtime.every("admission", _ADMISSION_REFRESH_S, admission.refresh)
    runtime.every("orders.look", _LOOK_S, watchers.look)
    runtime.gather(intake)
    runtime.closers += [cache.close, catalogue.close]
    runtime.serve_grpc(server)
    return runtime
