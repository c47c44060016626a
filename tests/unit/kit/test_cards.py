"""No request may hold a card number, in whichever field."""

from __future__ import annotations

from typing import Any

import pytest
from florin.common.v1.charge_pb2 import StockLine
from florin.order.v1 import order_pb2
from florin.order.v1.order_service_pb2 import CreateCheckoutRequest

from kit.rpc.cards import refuse_card_numbers
from kit.values.errors import InvalidRequest

CARD_NUMBERS = ["4242424242424242", "4242 4242 4242 4242", "my card 4242-4242-4242-4242, thanks"]


@pytest.mark.parametrize("number", CARD_NUMBERS)
@pytest.mark.parametrize(
    ("where", "fields"),
    [
        ("shipping_address.line2", lambda text: {"shipping_address": order_pb2.Address(line2=text)}),
        ("attribution", lambda text: {"attribution": {"note": text}}),
        ("attribution", lambda text: {"attribution": {text: "note"}}),
        ("payment_method_id", lambda text: {"payment_method_id": f"pm_{text}"}),
        ("receipt_email", lambda text: {"receipt_email": f"{text}@example.com"}),
        ("request_id", lambda text: {"request_id": text}),
    ],
)
def test_a_card_number_is_refused_wherever_it_is_typed(number: str, where: str, fields: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        refuse_card_numbers(CreateCheckoutRequest(**fields(number)))
    assert refused.value.reason == "CARD_NUMBER_REFUSED"
    assert [problem.field for problem in refused.value.fields] == [where]
    assert "4242" not in refused.value.message


def test_an_article_number_is_no_card() -> None:
    refuse_card_numbers(CreateCheckoutRequest(items=[StockLine(sku="4006381333931", quantity=1)]))
    refuse_card_numbers(CreateCheckoutRequest(items=[StockLine(sku="4242424242424242", quantity=1)]))


def test_a_long_number_that_is_no_card_is_only_a_number() -> None:
    refuse_card_numbers(CreateCheckoutRequest(attribution={"campaign": "4242424242424241"}))
