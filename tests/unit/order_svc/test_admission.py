"""No more orders are promised than can be finished."""

from __future__ import annotations

from collections.abc import Sequence

from kit.values.errors import FlorinError, InvalidRequest, Unavailable
from kit.values.trail import Trail
from order_svc.application.checkout.admission import Admission
from order_svc.application.checkout.place_orders import Checkout, PricedCheckout
from order_svc.domain.pricing import Quote
from order_svc.domain.reasons import PRICE_CHANGED

REFUSED = InvalidRequest(PRICE_CHANGED, "the total is another")


class Counter:
    """The number of open orders as the database has it."""

    def __init__(self, count: int) -> None:
        self.count = count

    async def __call__(self) -> int:
        return self.count


def checkouts(*outcomes: Quote | FlorinError) -> list[PricedCheckout]:
    checkout = Checkout("mer_1", "cus_1", (), "EUR", "pm_card_visa", None, {}, {}, "", Trail("cor_1"))
    return [PricedCheckout(checkout, outcome) for outcome in outcomes]


def quotes(count: int) -> list[PricedCheckout]:
    return checkouts(*[Quote((), 2_000, 319)] * count)


def refusals(admitted: Sequence[PricedCheckout]) -> list[FlorinError | None]:
    return [item.outcome if isinstance(item.outcome, FlorinError) else None for item in admitted]


async def test_orders_are_admitted_up_to_the_limit() -> None:
    admission = Admission(Counter(8), limit=10)
    await admission.refresh()
    *admitted, refusal = refusals(admission.admit(quotes(3)))
    assert admitted == [None, None]
    assert isinstance(refusal, Unavailable)
    assert refusal.reason == "TOO_MANY_OPEN_ORDERS"
    assert refusal.metadata == {"open_orders": "10", "limit": "10"}
    assert refusal.retry_after_s == 1.0


async def test_orders_are_counted_when_they_are_committed_and_a_step_that_runs_again_counts_once() -> None:
    admission = Admission(Counter(8), limit=10)
    await admission.refresh()
    for _ in range(3):
        assert refusals(admission.admit(quotes(2))) == [None, None]
    admission.placed(1)
    first, second = refusals(admission.admit(quotes(2)))
    assert first is None
    assert second is not None


async def test_a_checkout_that_is_refused_already_takes_no_place() -> None:
    admission = Admission(Counter(9), limit=10)
    await admission.refresh()
    admitted = admission.admit([*checkouts(REFUSED), *quotes(1)])
    assert refusals(admitted) == [REFUSED, None]


async def test_finished_orders_make_room() -> None:
    open_orders = Counter(10)
    admission = Admission(open_orders, limit=10)
    await admission.refresh()
    assert refusals(admission.admit(quotes(1))) != [None]
    open_orders.count = 9
    await admission.refresh()
    assert refusals(admission.admit(quotes(1))) == [None]
