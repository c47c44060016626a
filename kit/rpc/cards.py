"""Keeps card numbers out at the door: no request may hold one, in whichever field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.message import Message

from kit.values.errors import FieldProblem, InvalidRequest
from kit.values.reasons import CARD_NUMBER_REFUSED
from kit.values.redaction import contains_card_number


def refuse_card_numbers(message: Message, path: str = "") -> None:
    """Refuse a request that holds something that looks like a card number, wherever it is.

    Raises:
        InvalidRequest: CARD_NUMBER_REFUSED, naming the field and never its value.
    """
    for field, value in message.ListFields():
        # Product codes are often 13-digit article numbers, a tenth of which look like a card number.
        if field.name == "sku":
            continue
        where = f"{path}{field.name}"
        if isinstance(value, str):
            texts: Iterable[str] = (value,)
        elif isinstance(value, Message):
            refuse_card_numbers(value, f"{where}.")
            continue
        elif isinstance(value, Mapping):
            texts = (text for pair in value.items() for text in pair if isinstance(text, str))
        elif isinstance(value, Iterable) and not isinstance(value, bytes):
            for item in value:
                if isinstance(item, Message):
                    refuse_card_numbers(item, f"{where}.")
            texts = (item for item in value if isinstance(item, str))
        else:
            continue
        if any(contains_card_number(text) for text in texts):
            raise InvalidRequest(
                CARD_NUMBER_REFUSED,
                f"{where} holds something that looks like a card number; never send card data",
                fields=(FieldProblem(where, "looks like a card number"),),
            )
