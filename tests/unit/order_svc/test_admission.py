"""No more orders are promised than can be finished."""

from __future__ import annotations

from order_svc.application.admission import Admission


class Counter:
    """The number of open orders as the database has it."""

    def __init__(self, count: int) -> None:
        self.count = count

    async def __call__(self) -> int:
        return self.count


async def test_orders_are_admitted_up_to_the_limit_and_counted_meanwhile() -> None:
    admission = Admission(Counter(8), limit=10)
    await admission.refresh()
    answers = [admission.admit() for _ in range(3)]
    assert answers[:2] == [None, None]
    refusal = answers[2]
    assert refusal is not None
    assert refusal.reason == "TOO_MANY_OPEN_ORDERS"
    assert refusal.metadata == {"open_orders": "10", "limit": "10"}
    assert refusal.retry_after_s == 1.0


async def test_a_refusal_takes_no_place_and_finished_orders_make_room() -> None:
    open_orders = Counter(10)
    admission = Admission(open_orders, limit=10)
    await admission.refresh()
    assert admission.admit() is not None
    open_orders.count = 9
    await admission.refresh()
    assert admission.admit() is None
    assert admission.admit() is not None
