"""Reasons for which the order service refuses."""

from __future__ import annotations

from typing import Final

from kit.values.errors import InvalidRequest, NotFound, Reason, Unavailable

UNKNOWN_PRODUCT: Final = Reason(
    "UNKNOWN_PRODUCT",
    InvalidRequest,
    "The merchant does not sell one of the products.",
    "Take the sku from the merchant's catalogue.",
)

PRICE_CHANGED: Final = Reason(
    "PRICE_CHANGED",
    InvalidRequest,
    "`expected_total_amount` is not what the server computes; the metadata has both.",
    "Show the new total to the buyer and ask again.",
)

AMOUNT_OUT_OF_RANGE: Final = Reason(
    "AMOUNT_OUT_OF_RANGE",
    InvalidRequest,
    "The total is above the limit of one payment (99,999,999 minor units).",
    "Split the purchase.",
)

CAPTURE_METHOD_UNSUPPORTED: Final = Reason(
    "CAPTURE_METHOD_UNSUPPORTED",
    InvalidRequest,
    "`MANUAL` capture is not offered for checkouts.",
    "Leave `capture_method` out, or send `AUTOMATIC`.",
)

ORDER_NOT_FOUND: Final = Reason(
    "ORDER_NOT_FOUND", NotFound, "No order of yours has this id.", "Check the id."
)

TOO_MANY_OPEN_ORDERS: Final = Reason(
    "TOO_MANY_OPEN_ORDERS",
    Unavailable,
    "More orders are being worked on than can be finished soon; accepting more would break a promise."
    " Orders that wait for the PSP, a bank or their buyer do not count for long.",
    "Send it again, with the same key, after the time in `RetryInfo`.",
)

REASONS: Final = (
    UNKNOWN_PRODUCT,
    PRICE_CHANGED,
    AMOUNT_OUT_OF_RANGE,
    CAPTURE_METHOD_UNSUPPORTED,
    ORDER_NOT_FOUND,
    TOO_MANY_OPEN_ORDERS,
)
