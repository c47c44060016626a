"""Only what Stripe has signed, and lately, is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from kit.values.errors import InvalidRequest
from payment_svc.adapters.stripe.webhooks import TOLERANCE_S, read_webhook
from payment_svc.domain.payment import Source, Status
from psp_sim.stripe.signature import signature
from tests.unit.payment_svc.test_facts_of_intents import document

SECRET = "whsec_test"


def event(type_: str, document: dict[str, Any]) -> bytes:
    return orjson.dumps({"id": "evt_1", "object": "event", "type": type_, "data": {"object": document}})


def signed(body: bytes, *, secret: str = SECRET, age_s: float = 0) -> str:
    return signature(secret.encode(), body, int(time.time() - age_s))


def refusal(body: bytes, header: str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        read_webhook(body, header, SECRET)
    assert refused.value.reason == "WEBHOOK_SIGNATURE_INVALID"
    assert refused.value.http_status == 400
    return refused.value.message


PAID = event("payment_intent.succeeded", document("pm_card_visa"))


def test_a_signed_event_is_read_with_its_fact_and_its_exact_bytes() -> None:
    webhook = read_webhook(PAID, signed(PAID), SECRET)
    assert (webhook.event_id, webhook.type, webhook.payload) == ("evt_1", "payment_intent.succeeded", PAID)
    assert webhook.fact is not None
    assert (webhook.fact.status, webhook.fact.source) == (Status.CAPTURED, Source.WEBHOOK)


def test_an_event_about_something_else_has_no_fact() -> None:
    refund = event("charge.refunded", {"id": "ch_1", "metadata": {"payment_id": "pay_1"}})
    assert read_webhook(refund, signed(refund), SECRET).fact is None


def test_an_event_of_somebody_elses_payment_has_no_fact() -> None:
    foreign = event("payment_intent.succeeded", document("pm_card_visa", metadata={}))
    assert read_webhook(foreign, signed(foreign), SECRET).fact is None


@pytest.mark.parametrize(
    "forge",
    [
        lambda: "",
        lambda: "nonsense",
        lambda: "t=1,v1=",
        lambda: "v1=" + "0" * 64,
        lambda: signed(PAID, secret="whsec_other"),
        lambda: signed(PAID + b" "),
        lambda: signed(PAID).replace("v1=", "v0="),
    ],
    ids=["missing", "nonsense", "empty", "untimed", "other-secret", "other-body", "other-scheme"],
)
def test_a_forged_or_missing_signature_is_refused(forge: Callable[[], str]) -> None:
    header = forge()
    assert "signature" in refusal(PAID, header)


def test_one_changed_byte_is_a_forgery() -> None:
    header = signed(PAID)
    assert "signature" in refusal(PAID.replace(b"2000", b"2001"), header)


def test_an_old_signature_is_refused_lest_it_be_replayed() -> None:
    assert "five minutes" in refusal(PAID, signed(PAID, age_s=TOLERANCE_S + 5))
    read_webhook(PAID, signed(PAID, age_s=TOLERANCE_S - 60), SECRET)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"{}",
        b"[]",
        b'"text"',
        b"null",
        b'{"id": "evt_1"}',
        b'{"id": "evt_1", "type": 7}',
        b'{"id": "evt_1", "type": "payment_intent.succeeded"}',
        b'{"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": "pi_1"}}',
        event("payment_intent.succeeded", {"status": "succeeded", "metadata": {"payment_id": "pay_1"}}),
    ],
)
def test_a_signed_body_that_is_no_event_is_refused_and_breaks_nothing(body: bytes) -> None:
    refusal(body, signed(body))
