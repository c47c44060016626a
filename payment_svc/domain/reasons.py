"""Reasons for which the payment service refuses, and two that it keeps for direct payments."""

from __future__ import annotations

from typing import Final

from kit.values.errors import Conflict, Declined, IllegalMove, InvalidRequest, NotFound, Reason, Unavailable

PAYMENT_NOT_FOUND: Final = Reason(
    "PAYMENT_NOT_FOUND", NotFound, "No payment of yours has this id.", "Check the id."
)

WEBHOOK_SIGNATURE_INVALID: Final = Reason(
    "WEBHOOK_SIGNATURE_INVALID",
    InvalidRequest,
    "The webhook's signature is missing, wrong or too old, or its body is no event.",
    "Check the signing secret; real senders try again by themselves.",
)

PSP_SAYS_OTHERWISE: Final = Reason(
    "PSP_SAYS_OTHERWISE",
    IllegalMove,
    "A payment was to be decided otherwise than its PSP says, or while the PSP may still decide it: for a day"
    " after a call, what the PSP has never heard of may still be charged under its key.",
    "Leave it to the PSP; or, if you know better than it does, decide with `against_psp`.",
)

CALL_UNDER_WAY: Final = Reason(
    "CALL_UNDER_WAY",
    Conflict,
    "A payment was to be decided as failed while its PSP may be charging it.",
    "Decide again after the time in the answer; if it happens again, the look-ups are still at it.",
)

PSP_REFERENCE_MISSING: Final = Reason(
    "PSP_REFERENCE_MISSING",
    InvalidRequest,
    "A payment was to be decided as captured, and nobody has said what the PSP calls it.",
    "Give `psp_reference`, as it stands in the PSP's own list.",
)

CARD_DECLINED: Final = Reason(
    "CARD_DECLINED",
    Declined,
    "Kept for direct payments: the PSP refused; `decline_code` in the metadata says why. An order whose"
    " card is declined ends in `FAILED` instead.",
    "Ask the buyer for another payment method.",
)

PSP_UNAVAILABLE: Final = Reason(
    "PSP_UNAVAILABLE",
    Unavailable,
    "Kept for direct payments: the PSP does not answer; the outcome is looked up, never assumed.",
    "Read the payment again later.",
)

REASONS: Final = (
    PAYMENT_NOT_FOUND,
    WEBHOOK_SIGNATURE_INVALID,
    PSP_SAYS_OTHERWISE,
    CALL_UNDER_WAY,
    PSP_REFERENCE_MISSING,
    CARD_DECLINED,
    PSP_UNAVAILABLE,
)
