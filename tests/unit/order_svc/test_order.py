"""An order moves as its table says, and no other way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from florin.order.v1 import order_pb2

from kit.values.errors import IllegalMove
from order_svc.domain.order import TRANSITIONS, Order, Status
from tests.unit.order_svc.orders import LATER, NOON, order, order_in

PROCESSING, REQUIRES_ACTION = Status.PROCESSING, Status.REQUIRES_ACTION
COMPLETED, FAILED = Status.COMPLETED, Status.FAILED

URL = "https://bank.example/2"
Move = Callable[[Order], Order]


def asked_to_act(before: Order) -> Order:
    return before.require_action("pay_1", "redirect_to_url", URL, LATER)


def paid(before: Order) -> Order:
    return before.paid("pay_1", LATER)


def accounted(before: Order) -> Order:
    return before.accounted("pay_1", "jrn_1", LATER)


def failed(before: Order) -> Order:
    return before.fail("card_declined", LATER, "pay_1")


@pytest.mark.parametrize(
    ("before", "move", "after"),
    [
        (PROCESSING, asked_to_act, REQUIRES_ACTION),
        (PROCESSING, failed, FAILED),
        (REQUIRES_ACTION, paid, PROCESSING),
        (REQUIRES_ACTION, accounted, PROCESSING),
        (REQUIRES_ACTION, failed, FAILED),
    ],
)
def test_a_move_leads_where_the_table_says_and_counts_the_version(
    before: Status, move: Move, after: Status
) -> None:
    start = order_in(before)
    moved = move(start)
    assert moved.status is after
    assert after in TRANSITIONS[before]
    assert moved.version == start.version + 1
    assert moved.updated_at == LATER
    assert moved.ended_at == (LATER if after is FAILED else None)


@pytest.mark.parametrize(
    ("before", "move"),
    [
        (FAILED, paid),
        (FAILED, accounted),
        (COMPLETED, failed),
    ],
)
def test_an_order_that_has_ended_refuses_to_go_on_and_says_both_states(before: Status, move: Move) -> None:
    with pytest.raises(IllegalMove) as refused:
        move(order_in(before))
    assert refused.value.metadata["from"] == before.value
    assert before.value in refused.value.message


@pytest.mark.parametrize(
    ("before", "move"),
    [
        (REQUIRES_ACTION, asked_to_act),
        (COMPLETED, asked_to_act),
        (FAILED, asked_to_act),
        (FAILED, failed),
        (COMPLETED, paid),
        (COMPLETED, accounted),
        (COMPLETED, lambda before: before.sold(LATER)),
    ],
)
def test_what_is_done_already_changes_nothing(before: Status, move: Move) -> None:
    start = order_in(before)
    assert move(start) is start


def test_ends_are_ends() -> None:
    ends = {status for status, moves in TRANSITIONS.items() if not moves}
    assert ends == {COMPLETED, FAILED}
    assert all(order_in(status).ended == (status in ends) for status in Status)


def test_every_state_of_the_table_can_be_entered_and_is_one_of_the_contract() -> None:
    entered = {PROCESSING}
    while more := {after for before in entered for after in TRANSITIONS[before]} - entered:
        entered |= more
    assert entered == set(Status) == set(TRANSITIONS)
    assert {status.value for status in Status} <= set(order_pb2.Order.Status.keys())


def test_a_journal_alone_or_sold_stock_alone_completes_nothing() -> None:
    assert accounted(order()).status is PROCESSING
    assert order().sold(LATER).status is PROCESSING


@pytest.mark.parametrize("journal_first", [True, False])
def test_journal_and_sold_stock_complete_an_order_in_either_order(journal_first: bool) -> None:
    completed = accounted(order()).sold(LATER) if journal_first else accounted(order().sold(LATER))
    assert completed.status is COMPLETED
    assert completed.ended_at == LATER
    assert (completed.payment_id, completed.journal_id, completed.stock_sold) == ("pay_1", "jrn_1", True)
    assert completed.version == 2


def test_a_challenge_is_shown_only_while_it_waits() -> None:
    waiting = asked_to_act(order())
    assert (waiting.next_action_type, waiting.next_action_url) == ("redirect_to_url", URL)
    assert (paid(waiting).next_action_type, paid(waiting).next_action_url) == ("", "")
    assert (failed(waiting).next_action_type, failed(waiting).next_action_url) == ("", "")


def test_a_challenge_that_is_told_after_the_payment_is_old_news() -> None:
    after_payment = paid(order())
    assert asked_to_act(after_payment) is after_payment


@pytest.mark.parametrize("done", [accounted, lambda before: before.sold(LATER)])
def test_an_order_whose_money_is_booked_or_whose_goods_are_sold_cannot_fail(done: Move) -> None:
    with pytest.raises(IllegalMove, match="cannot become FAILED"):
        failed(done(order()))


def test_a_failed_order_cannot_have_its_goods_sold() -> None:
    with pytest.raises(IllegalMove, match="FAILED"):
        order_in(FAILED).sold(LATER)


def test_who_failed_keeps_the_payment_that_did() -> None:
    assert order().fail("out_of_stock", NOON).payment_id == ""
    assert failed(order()).payment_id == "pay_1"
    assert asked_to_act(order()).fail("authentication_failed", LATER).payment_id == "pay_1"


@pytest.mark.parametrize("said", ["use_stripe_sdk", ""])
def test_an_action_without_a_page_still_has_a_kind(said: str) -> None:
    waiting = order().require_action("pay_1", said, "", LATER)
    assert (waiting.status, waiting.next_action_type) == (REQUIRES_ACTION, said or "unknown")
    assert waiting.paid("pay_1", LATER).next_action_type == ""
