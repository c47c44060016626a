"""What a PSP's word does to a payment, for each state and each word."""

from __future__ import annotations

from itertools import permutations
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.values.errors import IllegalMove
from payment_svc.domain.payment import TRANSITIONS, Payment, PspFact, Status, platform_fee
from tests.unit.payment_svc.payments import AMOUNT, LATER, TAKEN, fact, payment

# What a PSP says; the rest of the states are our own.
WORDS: Final = (
    Status.UNKNOWN,
    Status.PROCESSING,
    Status.REQUIRES_ACTION,
    Status.AUTHORIZED,
    Status.CAPTURED,
    Status.FAILED,
    Status.VOIDED,
)

MOVES, IS_OLD, CONTRADICTS = "moves", "is old", "contradicts"

# One line per state, one column per word in the order of WORDS.
TABLE: Final = {
    Status.PROCESSING: (MOVES, IS_OLD, MOVES, MOVES, MOVES, MOVES, MOVES),
    Status.UNKNOWN: (IS_OLD, MOVES, MOVES, MOVES, MOVES, MOVES, MOVES),
    Status.REQUIRES_ACTION: (IS_OLD, IS_OLD, IS_OLD, MOVES, MOVES, MOVES, MOVES),
    Status.AUTHORIZED: (IS_OLD, IS_OLD, IS_OLD, IS_OLD, MOVES, CONTRADICTS, MOVES),
    Status.CAPTURED: (IS_OLD, IS_OLD, IS_OLD, IS_OLD, IS_OLD, CONTRADICTS, CONTRADICTS),
    # That nothing was taken is no news to a payment that has ended without money, whichever way.
    Status.FAILED: (IS_OLD, IS_OLD, IS_OLD, IS_OLD, CONTRADICTS, IS_OLD, IS_OLD),
    Status.VOIDED: (IS_OLD, IS_OLD, IS_OLD, IS_OLD, CONTRADICTS, IS_OLD, IS_OLD),
}
CASES = [(state, word, what) for state, row in TABLE.items() for word, what in zip(WORDS, row, strict=True)]


@pytest.mark.parametrize(("state", "word", "what"), CASES)
def test_each_word_in_each_state_moves_is_old_or_contradicts(state: Status, word: Status, what: str) -> None:
    before = payment(state, psp_reference="pi_1")
    if what == CONTRADICTS:
        with pytest.raises(IllegalMove) as refused:
            before.learn(fact(word), LATER)
        assert refused.value.metadata == {"from": state.value, "to": word.value}
        return
    after = before.learn(fact(word), LATER)
    if what == IS_OLD:
        assert after is before
        return
    assert after.status is word
    assert after.status in TRANSITIONS[state]
    assert after.version == before.version + 1
    assert after.updated_at == LATER
    assert after.amount_captured == (AMOUNT if word is Status.CAPTURED else 0)


def test_the_table_names_every_state_and_each_can_be_entered() -> None:
    assert TABLE.keys() == set(Status) == TRANSITIONS.keys()
    entered = {Status.PROCESSING}
    while more := {after for before in entered for after in TRANSITIONS[before]} - entered:
        entered |= more
    assert entered == set(Status)


@pytest.mark.parametrize("amount", [0, 1, AMOUNT - 1, AMOUNT + 1, 100 * AMOUNT])
def test_a_capture_of_another_amount_is_refused_with_both(amount: int) -> None:
    with pytest.raises(IllegalMove) as refused:
        payment().learn(fact(Status.CAPTURED, amount_captured=amount), LATER)
    assert refused.value.metadata == {"amount": str(AMOUNT), "captured": str(amount)}


def test_the_psps_id_is_learnt_with_any_word_and_another_one_contradicts() -> None:
    known = payment().learn(fact(Status.PROCESSING, psp_reference="pi_7"), LATER)
    assert (known.psp_reference, known.status, known.version) == ("pi_7", Status.PROCESSING, 1)
    with pytest.raises(IllegalMove, match="pi_7 at the PSP, not pi_8"):
        known.learn(fact(Status.CAPTURED, psp_reference="pi_8"), LATER)


def test_a_challenge_is_kept_while_it_waits_and_forgotten_with_its_end() -> None:
    waiting = payment().learn(fact(Status.REQUIRES_ACTION), LATER)
    assert waiting.next_action_url == "https://bank.example/1"
    assert waiting.learn(fact(Status.CAPTURED), LATER).next_action_url == ""


def test_a_failure_says_why() -> None:
    failed = payment().learn(fact(Status.FAILED), LATER)
    assert (failed.reason, failed.decline_code) == ("card_declined", "generic_decline")


def test_a_fact_of_another_payment_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="belongs to its payment"):
        payment().learn(PspFact("pay_2", Status.CAPTURED, fact(Status.CAPTURED).source), LATER)


STORIES = [
    [Status.UNKNOWN, Status.PROCESSING, Status.CAPTURED],
    [Status.REQUIRES_ACTION, Status.CAPTURED],
    [Status.REQUIRES_ACTION, Status.FAILED],
    [Status.UNKNOWN, Status.FAILED],
    [Status.UNKNOWN, Status.REQUIRES_ACTION, Status.PROCESSING, Status.CAPTURED],
]


@pytest.mark.parametrize("story", STORIES)
def test_what_a_psp_says_in_any_order_ends_as_it_said_last(story: list[Status]) -> None:
    for order in permutations(story):
        known = payment()
        for word in order:
            known = known.learn(fact(word), LATER)
        assert known.status is story[-1], f"in the order {order}"


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_whatever_is_said_money_is_taken_once_and_in_whole(words: list[Status]) -> None:
    known = payment()
    captures = 0
    for word in words:
        before: Payment = known
        try:
            known = before.learn(fact(word), LATER)
        except IllegalMove:
            continue
        captures += known.status is Status.CAPTURED and before.status is not Status.CAPTURED
        assert known.amount_captured == (AMOUNT if known.status in TAKEN else 0)
        assert known.version - before.version == (known.status is not before.status)
    assert captures <= 1


def test_a_key_names_payment_operation_and_attempt() -> None:
    assert payment().psp_key == "pay_1:charge:1"
    assert payment(attempt=2).psp_key == "pay_1:charge:2"


AMOUNTS = st.integers(1, 99_999_999)


@given(amount=AMOUNTS, share=st.integers(0, 10_000), rate_bp=st.integers(0, 10_000))
def test_a_fee_is_never_negative_nor_more_than_the_merchant_is_owed(
    amount: int, share: int, rate_bp: int
) -> None:
    tax = amount * share // 10_000
    fee = platform_fee(amount, tax, rate_bp)
    assert 0 <= fee <= amount - tax
    assert abs(fee * 10_000 - amount * rate_bp) <= 5_000 or fee == amount - tax


@pytest.mark.parametrize(
    ("amount", "tax", "rate_bp", "fee"),
    [
        (10_000, 0, 250, 250),
        (20, 0, 250, 1),  # 0.5, rounded half up
        (19, 0, 250, 0),
        (1, 0, 0, 0),
        (100, 95, 1_000, 5),  # what is owed is the bound
        (100, 100, 250, 0),
    ],
)
def test_fees_of_known_amounts(amount: int, tax: int, rate_bp: int, fee: int) -> None:
    assert platform_fee(amount, tax, rate_bp) == fee
