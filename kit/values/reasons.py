"""Reasons that a domain shares with the layers around it, or the services with the edge."""

from __future__ import annotations

from typing import Final

from kit.values.errors import IllegalMove, Internal, InvalidRequest, Reason, Unauthenticated, Unavailable

FIELD_INVALID: Final = Reason(
    "FIELD_INVALID",
    InvalidRequest,
    "A field is missing or breaks a rule; `BadRequest` names each.",
    "Correct the fields and send the request again, with the same key if you like.",
)

CARD_NUMBER_REFUSED: Final = Reason(
    "CARD_NUMBER_REFUSED",
    InvalidRequest,
    "A field holds something that looks like a card number.",
    "Send the token that stands for the card; never card data.",
)

CURRENCY_MISMATCH: Final = Reason(
    "CURRENCY_MISMATCH",
    InvalidRequest,
    "The currency is another than the one that is needed, or none of ISO 4217.",
    "Use the currency that the message names.",
)

ILLEGAL_STATE: Final = Reason(
    "ILLEGAL_STATE",
    IllegalMove,
    "The thing is in a state that does not allow this; the metadata has both states.",
    "Read it again and decide anew.",
)

UNAUTHENTICATED: Final = Reason(
    "UNAUTHENTICATED",
    Unauthenticated,
    "There is no valid token.",
    "Send `Authorization: Bearer …`; `florin token` makes one.",
)

SERVICE_UNAVAILABLE: Final = Reason(
    "SERVICE_UNAVAILABLE",
    Unavailable,
    "Another part of Florin does not answer.",
    "Send it again, with the same key, after the time in `RetryInfo`.",
)

INTERNAL: Final = Reason(
    "INTERNAL",
    Internal,
    "A mistake of ours, in a service or at the edge; the request may have taken effect.",
    "Report the `x-correlation-id` of the answer. Sending the same again does not help.",
)

REASONS: Final = (
    FIELD_INVALID,
    CARD_NUMBER_REFUSED,
    CURRENCY_MISMATCH,
    ILLEGAL_STATE,
    UNAUTHENTICATED,
    SERVICE_UNAVAILABLE,
    INTERNAL,
)
