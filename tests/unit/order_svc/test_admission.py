"""No more orders are promised than can be finished, and nobody waits for those who wait for somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kit.values.errors import FlorinError, InvalidRequest, Unavailable
from kit.values.trail import Trail
from order_svc.application.checkout.admission import OURS_S, Admission
from order_svc.application.checkout.place_orders import Checkout, PricedCheckout
from order_svc.domain.order import Status
from order_svc.domain.pricing import Quote
from order_svc.domain.reasons import PRICE_CHANGED
from tests.unit.order_svc.orders import order

REFUSED = InvalidRequest(PRICE_CHANGED, "the total is another")
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


class Shop:
    """An admission of ten orders at a time, at whatever time a test wants.

    Attributes:
        placed: when the orders were placed that the database has as open.
        away: whether the database can be read.
        late_s: how late the service is with the events of its orders.
    """

    def __init__(self, placed: int = 0) -> None:
        self.seconds = 0.0
        self.placed = [self.now] * placed
        self.away = False
        self.late_s = 0.0
        self.admission = Admission(
            self._count_open,
            late_s=lambda: self.late_s,
            limit=10,
            clock=lambda: self.now,
            seconds=lambda: self.seconds,
        )

    @property
    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.seconds)

    def admitted(self, wanted: int) -> int:
        """Return how many of so many checkouts there is room for now."""
        return refusals(self.admission.admit(quotes(wanted))).count(None)

    async def _count_open(self, since: datetime, at_most: int) -> int:
        if self.away:
            raise ConnectionError("the database is away")
        return min(at_most, sum(placed > since for placed in self.placed))


def checkouts(*outcomes: Quote | FlorinError) -> list[PricedCheckout]:
    checkout = Checkout("mer_1", "cus_1", (), "EUR", "pm_card_visa", None, {}, {}, "", Trail("cor_1"))
    return [PricedCheckout(checkout, outcome) for outcome in outcomes]


def quotes(count: int) -> list[PricedCheckout]:
    return checkouts(*[Quote((), 2_000, 319)] * count)


def refusals(admitted: Sequence[PricedCheckout]) -> list[FlorinError | None]:
    return [item.outcome if isinstance(item.outcome, FlorinError) else None for item in admitted]


async def test_orders_are_admitted_up_to_the_limit() -> None:
    shop = Shop(placed=8)
    await shop.admission.refresh()
    *admitted, refusal = refusals(shop.admission.admit(quotes(3)))
    assert admitted == [None, None]
    assert isinstance(refusal, Unavailable)
    assert refusal.reason == "TOO_MANY_OPEN_ORDERS"
    assert refusal.metadata == {"open_orders": "10", "limit": "10"}
    assert refusal.retry_after_s == 1.0


async def test_orders_are_counted_when_they_are_committed_and_a_step_that_runs_again_counts_once() -> None:
    shop = Shop(placed=8)
    await shop.admission.refresh()
    for _ in range(3):
        assert shop.admitted(2) == 2
    shop.admission.placed(1)
    assert shop.admitted(2) == 1


async def test_a_checkout_that_is_refused_already_takes_no_place() -> None:
    shop = Shop(placed=9)
    await shop.admission.refresh()
    admitted = shop.admission.admit([*checkouts(REFUSED), *quotes(1)])
    assert refusals(admitted) == [REFUSED, None]


async def test_an_order_that_ends_or_waits_for_its_buyer_gives_its_place_back_at_once() -> None:
    shop = Shop(placed=10)
    await shop.admission.refresh()
    assert shop.admitted(1) == 0
    shop.seconds = 1.0
    young = replace(order(), created_at=BEGIN)
    ended = replace(young, status=Status.FAILED, reason="out_of_stock", ended_at=shop.now)
    waiting = young.require_action("pay_1", "redirect", "", shop.now)
    shop.admission.changed([ended, waiting, young])
    assert shop.admitted(5) == 2


async def test_what_ends_late_gives_no_place_back_a_second_time() -> None:
    shop = Shop(placed=10)
    await shop.admission.refresh()
    old = replace(order(), created_at=BEGIN - timedelta(seconds=OURS_S))
    shop.admission.changed([old.fail("card_declined", BEGIN)])
    assert shop.admitted(1) == 0


async def test_orders_that_wait_for_somebody_else_keep_nobody_out() -> None:
    """A bank that takes days, a PSP that takes minutes, a consumer that is away: no order ends."""
    shop = Shop()
    for _ in range(5):
        await shop.admission.refresh()
        assert shop.admitted(99) == 10
        shop.placed += [shop.now] * 10
        shop.admission.placed(10)
        await shop.admission.refresh()
        assert shop.admitted(99) == 0
        shop.seconds += OURS_S


@pytest.mark.parametrize("orders", [0, 10])
async def test_a_number_that_cannot_be_read_neither_closes_the_shop_for_ever_nor_leaves_it_open(
    orders: int,
) -> None:
    shop = Shop(placed=orders)
    await shop.admission.refresh()
    shop.away = True
    with pytest.raises(ConnectionError):
        await shop.admission.refresh()
    assert shop.admitted(99) == 10 - orders
    for _ in range(3):
        shop.seconds += OURS_S
        assert shop.admitted(99) == 10
        shop.admission.placed(10)
        assert shop.admitted(99) == 0


async def test_what_is_placed_while_the_number_is_read_is_counted() -> None:
    shop = Shop(placed=5)
    admission = shop.admission

    async def slow(since: datetime, at_most: int) -> int:
        admission.placed(3)
        return 5

    admission = Admission(
        slow, late_s=lambda: 0.0, limit=10, clock=lambda: shop.now, seconds=lambda: shop.seconds
    )
    await admission.refresh()
    assert refusals(admission.admit(quotes(9))).count(None) == 2


@pytest.mark.parametrize(
    ("late_s", "admitted"), [(0.2, 8), (0.375, 6), (0.5, 4), (0.625, 2), (0.75, 0), (5, 0)]
)
async def test_the_later_a_service_is_with_what_it_has_promised_the_less_it_promises(
    late_s: float, admitted: int
) -> None:
    shop = Shop()
    shop.late_s = late_s
    # One at a time: what is refused is a share of all, however small the batches are.
    assert sum(shop.admitted(1) for _ in range(8)) == admitted


async def test_who_is_late_still_tells_a_wrong_cart_what_is_wrong() -> None:
    shop = Shop()
    shop.late_s = 5.0
    assert refusals(shop.admission.admit(checkouts(REFUSED))) == [REFUSED]
