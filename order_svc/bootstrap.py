"""Puts the order service together: the only place that knows all its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from florin.order.v1 import order_pb2, order_service_pb2_grpc

from kit.messaging.step import Step
from kit.rpc.pages import PageTokens
from kit.runtime.context import Runtime
from kit.store.database import Connection
from order_svc.adapters.catalogue import RemoteCatalogue
from order_svc.adapters.postgres.orders import PostgresOrderReader, PostgresOrders
from order_svc.application.checkout.admission import Admission
from order_svc.application.ports import Catalogue, OrderReader, Orders, Scope
from order_svc.application.progress.watching import Watchers
from order_svc.domain import schedule
from order_svc.domain.order import Order
from order_svc.settings import Settings
from order_svc.transport.events import SUBSCRIPTIONS
from order_svc.transport.grpc import OrderServicer
from order_svc.transport.intake import Intake, placing

# A batch is a wait, too: this many take a tenth of a second at full speed, and a commit for fewer would cost
# each of them more (docs/decisions/0015).
MAX_ITEMS: Final = 64


def build(
    settings: Settings,
    runtime: Runtime,
    *,
    orders: Callable[[Connection], Orders] = PostgresOrders,
    reader: OrderReader | None = None,
    catalogue: Catalogue | None = None,
    watchers: Watchers | None = None,
) -> None:
    """Put the order service onto its runtime; what a test gives takes the place of the real thing."""
    reader = reader or PostgresOrderReader(runtime.database)
    watchers = watchers or Watchers(reader.changed)
    admission = Admission(
        reader.count_open,
        late_s=runtime.lateness.least_s,
        limit=settings.max_open_orders,
        clock=runtime.clock,
    )
    if catalogue is None:
        catalogue = remote = RemoteCatalogue(settings.inventory_target, max_age_s=settings.prices_max_age_s)
        runtime.closers.append(remote.close)

    def scope(step: Step) -> Scope:
        def changed(orders: Sequence[Order]) -> None:
            step.after_commit(lambda: watchers.tell(orders))
            step.after_commit(lambda: admission.changed(orders))

        return Scope(orders(step.connection), runtime.new_id, runtime.clock, changed)

    intake = runtime.gather(
        "checkouts",
        Intake(catalogue, runtime.once(placing(admission, scope), order_pb2.Order)),
        max_items=MAX_ITEMS,
        linger_s=settings.intake_linger_ms / 1000,
        patience_s=settings.intake_patience_ms / 1000,
    )
    servicer = OrderServicer(
        intake=intake,
        reader=reader,
        watchers=watchers,
        page_tokens=PageTokens(settings.page_token_key),
        email_domain=settings.customer_email_domain,
    )
    runtime.consume(SUBSCRIPTIONS, scope)
    runtime.keep("timeline", days=settings.timeline_days)
    runtime.every(schedule.COUNT_OPEN_ORDERS, admission.refresh)
    runtime.every(schedule.TELL_WATCHERS, watchers.look)
    runtime.serve(
        "florin.order.v1.OrderService",
        order_service_pb2_grpc.add_OrderServiceServicer_to_server,
        servicer,
    )
