"""Any sequence of deliveries, orders, payments and failures keeps every unit accounted for."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from inventory_svc.domain.reservation import Reservation, Status
from inventory_svc.domain.stock import (
    Lines,
    ProductKey,
    StockChange,
    StockLevel,
    allot,
    combined,
    give_back,
    hold,
    sell,
    total,
)
from tests.unit.inventory_svc.strategies import PRODUCTS, lines


class Warehouse(RuleBasedStateMachine):
    """A shop of three products, changed only by what the domain says."""

    held = Bundle("held")
    released = Bundle("released")

    def __init__(self) -> None:
        super().__init__()
        self.on_hand = dict.fromkeys(PRODUCTS, 0)
        self.reserved = dict.fromkeys(PRODUCTS, 0)
        self.sold = dict.fromkeys(PRODUCTS, 0)
        self.received = dict.fromkeys(PRODUCTS, 0)
        self.reservations: dict[str, Reservation] = {}

    def levels(self) -> dict[ProductKey, StockLevel]:
        return {key: StockLevel(self.on_hand[key], self.reserved[key], version=1) for key in PRODUCTS}

    def apply(self, changes: list[StockChange]) -> None:
        for change in combined(changes):
            self.on_hand[change.product] += change.on_hand
            self.reserved[change.product] += change.reserved
            self.sold[change.product] += change.sold

    def place(self, wanted: Lines) -> Reservation:
        number = len(self.reservations) + 1
        reservation = Reservation(f"rsv_{number}", f"ord_{number}", "mer_1", wanted)
        self.reservations[reservation.id] = reservation
        return reservation

    def move(self, before: Reservation, target: Status) -> Reservation:
        after = before.move(target)
        self.reservations[after.id] = after
        return after

    @rule(product=st.sampled_from(PRODUCTS), units=st.integers(1, 8))
    def goods_arrive(self, product: ProductKey, units: int) -> None:
        self.on_hand[product] += units
        self.received[product] += units

    @rule(target=held, wanted=lines)
    def an_order_is_placed(self, wanted: Lines) -> Reservation | None:
        levels = self.levels()
        if allot(levels, [wanted]) != [None]:
            return None
        self.apply(hold(levels, [wanted]))
        return self.place(wanted)

    @rule(reservation=consumes(held))
    def it_is_paid(self, reservation: Reservation | None) -> None:
        if reservation is not None:
            self.apply(sell([self.move(reservation, Status.SOLD).lines]))

    @rule(target=released, reservation=consumes(held))
    def its_payment_fails(self, reservation: Reservation | None) -> Reservation | None:
        if reservation is None:
            return None
        self.apply(give_back([reservation.lines]))
        return self.move(reservation, Status.RELEASED)

    @rule(reservation=consumes(released))
    def late_money_comes(self, reservation: Reservation | None) -> None:
        levels = self.levels()
        if reservation is not None and allot(levels, [reservation.lines]) == [None]:
            self.apply(hold(levels, [reservation.lines]) + sell([reservation.lines]))
            self.move(reservation, Status.SOLD)

    def units(self, state: Status) -> dict[ProductKey, int]:
        units = total(r.lines for r in self.reservations.values() if r.status is state)
        return {product: units.get(product, 0) for product in PRODUCTS}

    @invariant()
    def every_unit_is_accounted_for(self) -> None:
        for product in PRODUCTS:
            assert self.received[product] == self.on_hand[product] + self.sold[product]
            assert 0 <= self.reserved[product] <= self.on_hand[product]

    @invariant()
    def reservations_and_products_agree(self) -> None:
        assert self.units(Status.HELD) == self.reserved
        assert self.units(Status.SOLD) == self.sold


TestWarehouse = Warehouse.TestCase
