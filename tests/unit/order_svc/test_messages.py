"""Between what callers say and what the service means."""

from __future__ import annotations

from typing import Any

import protovalidate
import pytest
from florin.common.v1.charge_pb2 import MANUAL, StockLine
from florin.order.v1 import order_pb2
from florin.order.v1.order_service_pb2 import CreateCheckoutRequest

from kit.rpc import Call, Principal, Role
from kit.values.errors import InvalidRequest
from kit.values.trail import Trail
from order_svc.application.ports import TimelineStep
from order_svc.domain.order import Status
from order_svc.domain.pricing import CartLine
from order_svc.transport.messages import checkout_of, order_message, timeline_messages
from tests.unit.order_svc.orders import NOON, order, order_in

TRAIL = Trail("cor_1")
CALL = Call("/CreateCheckout", {}, TRAIL, caller=Principal(Role.BUYER, "cus_1", ""))
# Visa's published test number, and the same with the blanks people type.
CARD_NUMBERS = ["4242424242424242", "4242 4242 4242 4242", "my card 4242-4242-4242-4242, thanks"]


def request(**fields: Any) -> CreateCheckoutRequest:
    return CreateCheckoutRequest(
        merchant_id="mer_1",
        items=[StockLine(sku="mug", quantity=2)],
        currency="EUR",
        **{"payment_method_id": "pm_card_visa", **fields},
    )


def test_a_request_becomes_a_checkout_of_its_caller() -> None:
    checkout = checkout_of(
        request(shipping_address=order_pb2.Address(city="Köln", country="DE"), attribution={"utm": "a"}),
        CALL,
        email_domain="customers.example",
    )
    assert (checkout.customer_id, checkout.merchant_id) == ("cus_1", "mer_1")
    assert checkout.cart == (CartLine("mug", 2),)
    assert checkout.shipping_address == {"city": "Köln", "country": "DE"}
    assert checkout.attribution == {"utm": "a"}
    assert checkout.trail is TRAIL


@pytest.mark.parametrize(
    "token", ["pm_card_visa", "pm_1", "tok_visa", "stored_M5N7TQ4TG5PFWR50", "card_" + "a" * 80]
)
def test_a_payment_method_is_named_by_the_token_of_whichever_psp(token: str) -> None:
    protovalidate.validate(request(payment_method_id=token))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "pm_",
        "visa",
        "Pm_1",
        "pm_" + "a" * 81,
        "pm_card visa",
        "pm_card_vis\u00e4",
        "pm-1",
        "pm_card_visa\n",
        *CARD_NUMBERS,
    ],
)
def test_what_can_be_no_token_is_refused_at_the_door(token: str) -> None:
    with pytest.raises(protovalidate.ValidationError) as refused:
        protovalidate.validate(request(payment_method_id=token))
    assert {violation.field_value for violation in refused.value.violations} == {token}


def test_a_total_that_was_not_given_is_not_a_total_of_zero() -> None:
    assert checkout_of(request(), CALL, email_domain="x.example").expected_total_amount is None
    given = request(expected_total_amount=2_000)
    assert checkout_of(given, CALL, email_domain="x.example").expected_total_amount == 2_000


def test_the_receipt_goes_where_the_buyer_says_or_to_the_address_on_file() -> None:
    said = request(receipt_email="me@example.com")
    assert checkout_of(said, CALL, email_domain="x.example").receipt_email == "me@example.com"
    assert checkout_of(request(), CALL, email_domain="x.example").receipt_email == "cus_1@x.example"


def test_a_long_number_that_is_no_card_is_only_a_number() -> None:
    attribution = {"campaign": "4242424242424241"}
    assert checkout_of(request(attribution=attribution), CALL, email_domain="x").attribution == attribution


def test_manual_capture_is_refused_and_named() -> None:
    with pytest.raises(InvalidRequest) as refused:
        checkout_of(request(capture_method=MANUAL), CALL, email_domain="x.example")
    assert refused.value.reason == "CAPTURE_METHOD_UNSUPPORTED"
    assert [problem.field for problem in refused.value.fields] == ["capture_method"]


def test_an_order_shows_its_amounts_and_lines() -> None:
    message = order_message(order())
    assert (message.subtotal_amount, message.tax_amount, message.total_amount) == (1_681, 319, 2_000)
    [line] = message.lines
    assert (line.sku, line.quantity, line.unit_amount, line.total_amount) == ("mug", 2, 1_000, 2_000)
    assert message.create_time.ToDatetime() == NOON.replace(tzinfo=None)
    assert not message.HasField("end_time")
    assert not message.HasField("next_action")
    assert not message.HasField("shipping_address")


@pytest.mark.parametrize("status", Status)
def test_every_state_has_its_word_outside(status: Status) -> None:
    message = order_message(order_in(status))
    assert order_pb2.Order.Status.Name(message.status) == status.value
    assert message.HasField("end_time") == order_in(status).ended
    assert message.HasField("next_action") == (status is Status.REQUIRES_ACTION)


def test_timeline_steps_keep_their_order_and_their_trace() -> None:
    steps = [
        TimelineStep("ord_1", f"evt_{number}", NOON, "order_svc", "order.placed", "one line", "abc")
        for number in range(3)
    ]
    messages = timeline_messages(steps)
    assert [message.event_id for message in messages] == ["evt_0", "evt_1", "evt_2"]
    assert {message.trace_id for message in messages} == {"abc"}
