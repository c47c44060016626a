"""What a PSP's word does to a payment, for each state and each word."""

from __future__ import annotations

from itertools import permutations
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.values.errors import IllegalMove
from payment_svc.domain.attempt import MAX_ATTEMPTS, State
from payment_svc.domain.payment import TRANSITIONS, Payment, PspFact, Source, Status, platform_fee
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
    # Money that comes all the same is taken note of: it has to go back.
    Status.FAILED: (IS_OLD, IS_OLD, IS_OLD, IS_OLD, MOVES, IS_OLD, IS_OLD),
    Status.VOIDED: (IS_OLD, IS_OLD, IS_OLD, IS_OLD, MOVES, IS_OLD, IS_OLD),
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
    assert (known.current.psp_reference, known.status, known.version) == ("pi_7", Status.PROCESSING, 1)
    with pytest.raises(IllegalMove, match="pi_7 at the PSP, not pi_8"):
        known.learn(fact(Status.CAPTURED, psp_reference="pi_8"), LATER)


def test_a_challenge_is_kept_while_it_waits_and_forgotten_with_its_end() -> None:
    waiting = payment().learn(fact(Status.REQUIRES_ACTION), LATER)
    assert waiting.current.next_action_url == "https://bank.example/1"
    assert waiting.learn(fact(Status.CAPTURED), LATER).current.next_action_url == ""


def test_a_failure_says_why() -> None:
    failed = payment().learn(fact(Status.FAILED), LATER)
    assert (failed.current.reason, failed.current.decline_code) == ("card_declined", "generic_decline")


def test_a_fact_of_another_payment_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="belongs to its payment"):
        payment().learn(PspFact("pay_2", Status.CAPTURED, fact(Status.CAPTURED).source, "stripe"), LATER)


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
    assert payment().current.psp_key == "pay_1:charge:1"
    assert payment(number=2).current.psp_key == "pay_1:charge:2"


# A decline, and whatever else the PSP would still take money for.

DECLINED: Final = fact(Status.FAILED, still_payable=True)
VOIDED: Final = fact(Status.VOIDED)


@pytest.mark.parametrize("state", [Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION])
def test_a_decline_is_no_failure_before_nobody_can_pay_it_any_more(state: Status) -> None:
    declined = payment(state).learn(DECLINED, LATER)
    assert (declined.status, declined.current.state) == (Status.PROCESSING, State.CLOSING)
    assert declined.learn(DECLINED, LATER) is declined
    failed = declined.learn(VOIDED, LATER)
    assert (failed.status, failed.current.state) == (Status.FAILED, State.ENDED)
    assert (failed.current.reason, failed.current.decline_code) == ("card_declined", "generic_decline")


@pytest.mark.parametrize("word", [Status.UNKNOWN, Status.PROCESSING, Status.REQUIRES_ACTION])
def test_what_was_said_before_a_decline_does_not_take_it_back(word: Status) -> None:
    declined = payment().learn(DECLINED, LATER)
    assert declined.learn(fact(word), LATER) is declined


def test_what_is_paid_after_a_decline_and_before_its_cancellation_is_captured() -> None:
    paid = payment().learn(DECLINED, LATER).learn(fact(Status.CAPTURED), LATER)
    assert (paid.status, paid.current.state, paid.current.reason) == (Status.CAPTURED, State.DONE, "")
    assert paid.learn(DECLINED, LATER) is paid, "the decline was earlier"


def test_a_payment_that_had_failed_before_is_closed_and_stays_as_it_is() -> None:
    """Rows of the version that announced a decline and left the intent payable."""
    failed = payment(Status.FAILED, state=State.CLOSING, reason="card_declined")
    closed = failed.learn(VOIDED, LATER)
    assert (closed.status, closed.version, closed.current.state) == (Status.FAILED, 1, State.ENDED)


# A PSP that breaks, and keeps that under the key.

SPENT: Final = fact(Status.UNKNOWN, key_spent=True)
NOTHING: Final = fact(
    Status.FAILED, source=Source.LOOKUP, psp_reference="", reason="psp_error", left_nothing=True
)


def test_after_a_spent_key_that_left_nothing_there_is_another_attempt_with_another_key() -> None:
    spent = payment().learn(SPENT, LATER)
    assert (spent.status, spent.current.state) == (Status.UNKNOWN, State.SPENT)
    again = spent.learn(NOTHING, LATER)
    assert again.status is Status.PROCESSING
    assert [attempt.state for attempt in again.attempts] == [State.ENDED, State.OPEN]
    assert [attempt.psp_key for attempt in again.attempts] == ["pay_1:charge:1", "pay_1:charge:2"]
    assert again.current.operation == again.attempts[0].operation
    assert again.learn(fact(Status.CAPTURED, attempt=2), LATER).status is Status.CAPTURED


def test_a_spent_key_under_which_something_was_made_after_all_is_followed() -> None:
    spent = payment().learn(SPENT, LATER)
    found = spent.learn(fact(Status.PROCESSING), LATER)
    assert (found.status, found.current.state, len(found.attempts)) == (Status.PROCESSING, State.OPEN, 1)
    assert spent.learn(fact(Status.CAPTURED), LATER).status is Status.CAPTURED
    assert found.learn(SPENT, LATER) is found, "more is known now than that its call broke"


@pytest.mark.parametrize(
    "known",
    [
        payment().learn(SPENT, LATER).learn(fact(Status.REQUIRES_ACTION), LATER),
        payment().learn(SPENT, LATER).learn(fact(Status.PROCESSING), LATER),
        payment().learn(SPENT, LATER).learn(fact(Status.FAILED, still_payable=True), LATER),
        payment().learn(SPENT, LATER).learn(fact(Status.CAPTURED), LATER),
        payment(Status.UNKNOWN, state=State.SPENT, psp_reference="pi_1"),
        payment(),
    ],
    ids=lambda known: f"{known.status.value}-{known.current.state.value}",
)
def test_a_look_up_that_found_nothing_is_outdated_once_a_webhook_has_told_of_something(
    known: Payment,
) -> None:
    assert known.learn(NOTHING, LATER) is known


def test_a_psp_that_always_breaks_is_left_alone_in_the_end() -> None:
    known = payment()
    for _ in range(MAX_ATTEMPTS):
        assert not known.has_ended
        known = known.learn(SPENT, LATER).learn(NOTHING, LATER)
    assert (known.status, known.current.reason) == (Status.FAILED, "psp_error")
    assert len({attempt.psp_key for attempt in known.attempts}) == MAX_ATTEMPTS


def test_what_is_said_of_an_earlier_attempt_changes_nothing_and_its_money_contradicts() -> None:
    again = payment().learn(SPENT, LATER).learn(NOTHING, LATER)
    assert again.learn(fact(Status.VOIDED, attempt=1), LATER) is again
    with pytest.raises(IllegalMove, match="attempt 1 of payment pay_1 had left nothing"):
        again.learn(fact(Status.CAPTURED, attempt=1), LATER)


def test_only_the_psp_that_was_called_is_believed() -> None:
    with pytest.raises(IllegalMove, match="is at stripe, and adyen speaks of it"):
        payment().learn(fact(Status.CAPTURED, psp="adyen"), LATER)


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
