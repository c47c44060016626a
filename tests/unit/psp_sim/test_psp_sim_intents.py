"""What payment intents may do, and what they leave behind."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psp_sim.control.faults import Fault
from psp_sim.stripe import tokens
from psp_sim.stripe.errors import ApiError
from psp_sim.stripe.objects.rows import PaymentIntent
from psp_sim.stripe.payments import disputes, intents, money, refunds

from .conftest import Sim


def pay(sim: Sim, method: str = "pm_card_visa", **params: Any) -> PaymentIntent:
    return sim.do(
        intents.create,
        {
            "amount": "2000",
            "currency": "eur",
            "payment_method": method,
            "confirm": "true",
            **params,
        },
    )


def balance(sim: Sim) -> int:
    return sum(row.amount - row.fee for row in sim.store.transactions.oldest_first())


def test_a_payment_is_one_charge_one_movement_and_its_events(sim: Sim) -> None:
    intent = pay(sim)
    (charge,) = sim.store.charges_of(intent.id)
    assert (charge.status, charge.amount_captured) == ("succeeded", 2000)
    assert balance(sim) == 2000 - money.fee(2000)
    assert sim.event_types() == ["payment_intent.created", "payment_intent.succeeded"]


def test_a_decline_leaves_a_failed_charge_and_no_money(sim: Sim) -> None:
    with pytest.raises(ApiError) as declined:
        pay(sim, "pm_card_chargeDeclined")
    assert declined.value.executed
    (intent,) = sim.store.intents.oldest_first()
    (charge,) = sim.store.charges_of(intent.id)
    assert (intent.status, charge.status) == ("requires_payment_method", "failed")
    assert balance(sim) == 0


def test_an_intent_without_confirm_waits(sim: Sim) -> None:
    intent = pay(sim, confirm="false")
    assert intent.status == "requires_confirmation"
    assert sim.do(intents.confirm, {}, intent.id).status == "succeeded"
    bare = sim.do(intents.create, {"amount": "5", "currency": "EUR"})
    assert (bare.status, bare.currency) == ("requires_payment_method", "eur")
    with pytest.raises(ApiError, match="missing a payment method"):
        sim.do(intents.confirm, {}, bare.id)


@pytest.mark.parametrize("status", ["succeeded", "canceled", "processing"])
@pytest.mark.parametrize("action", ["confirm", "capture", "cancel"])
def test_an_ended_intent_stays_as_it_is(sim: Sim, status: str, action: str) -> None:
    method = "pm_usBankAccount_processing" if status == "processing" else "pm_card_visa"
    intent = pay(sim, method, capture_method="manual" if status == "canceled" else "automatic")
    if status == "canceled":
        intent = sim.do(intents.cancel, {}, intent.id)
    act = {"confirm": intents.confirm, "capture": intents.capture, "cancel": intents.cancel}
    with pytest.raises(ApiError) as refused:
        sim.do(act[action], {}, intent.id)
    assert refused.value.code == "payment_intent_unexpected_state"
    assert sim.store.intents.get(intent.id) == intent


def test_the_reordered_token_gives_an_older_event_to_be_overtaken(sim: Sim) -> None:
    pay(sim, "pm_sim_webhook_reordered")
    manners = {event.type: event.manner for event in sim.events}
    assert manners["payment_intent.processing"] == "late"
    assert manners["payment_intent.succeeded"] == ""


def test_the_never_token_announces_without_delivery(sim: Sim) -> None:
    pay(sim, "pm_sim_webhook_never")
    assert sim.events[-1].type == "payment_intent.succeeded"
    assert not sim.events[-1].awaits_delivery
    assert sim.events[-1].id not in sim.store.undelivered


def test_every_fault_has_its_token() -> None:
    assert {token.fault for token in tokens.TOKENS.values()} == {None, *Fault}


@given(amounts=st.lists(st.integers(1, 1500), max_size=8), captured=st.integers(1, 2000))
def test_refunds_never_exceed_the_capture(amounts: list[int], captured: int) -> None:
    sim = Sim()
    intent = pay(sim, capture_method="manual")
    sim.do(intents.capture, {"amount_to_capture": str(captured)}, intent.id)
    for amount in amounts:
        try:
            sim.do(refunds.create, {"payment_intent": intent.id, "amount": str(amount)})
        except ApiError as error:
            assert error.executed, "a refusal for what is left is an executed one"  # noqa: PT017
    (charge,) = sim.store.charges_of(intent.id)
    refunded = sum(refund.amount for refund in sim.store.refunds_of(charge.id))
    assert charge.amount_refunded == refunded <= captured
    assert balance(sim) == captured - money.fee(captured) - refunded


def test_a_failed_refund_gives_the_money_back_once(sim: Sim) -> None:
    intent = pay(sim, "pm_card_refundFail")
    refund = sim.do(refunds.create, {"payment_intent": intent.id})
    for _ in range(2):
        assert sim.do(refunds.settle, refund.id).status == "failed"
    assert balance(sim) == 2000 - money.fee(2000)
    (charge,) = sim.store.charges_of(intent.id)
    assert charge.amount_refunded == 0


@pytest.mark.parametrize(
    ("words", "verdict", "change"),
    [("winning_evidence", "won", 0), ("losing_evidence", "lost", -2000)],
)
def test_test_evidence_decides_a_dispute(sim: Sim, words: str, verdict: str, change: int) -> None:
    pay(sim, "pm_card_createDispute")
    (dispute,) = sim.store.disputes.oldest_first()
    decided = sim.do(disputes.update, {"evidence": {"uncategorized_text": words}}, dispute.id)
    assert decided.status == verdict
    assert balance(sim) == 2000 - money.fee(2000) - money.DISPUTE_FEE + change
    assert sim.event_types()[-1] == "charge.dispute.closed"
    with pytest.raises(ApiError, match="already closed"):
        sim.do(disputes.close, {}, dispute.id)


@pytest.mark.parametrize(
    ("amount", "currency", "chargeable"),
    [
        (1, "eur", True),
        (5, "jpy", True),
        (1230, "kwd", True),
        (1234, "kwd", False),
        (500, "isk", True),
        (550, "isk", False),
        (1, "xxx", False),
        (10**8, "usd", False),
    ],
)
def test_amounts_follow_stripes_minor_units(amount: int, currency: str, chargeable: bool) -> None:
    if chargeable:
        money.check_charge(amount, currency)
    else:
        with pytest.raises(ApiError):
            money.check_charge(amount, currency)
