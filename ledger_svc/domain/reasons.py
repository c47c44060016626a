"""Reasons for which the ledger service refuses."""

from __future__ import annotations

from typing import Final

from kit.values.errors import NotFound, Reason, Unavailable

ACCOUNT_NOT_FOUND: Final = Reason(
    "ACCOUNT_NOT_FOUND", NotFound, "Nothing was ever posted to this account.", "Check the account code."
)

POSTING_HALTED: Final = Reason(
    "POSTING_HALTED",
    Unavailable,
    "The books do not sum to zero, so nothing is posted; reads go on.",
    "Find out what happened (`florin prove`), then lift the halt.",
)

REASONS: Final = (ACCOUNT_NOT_FOUND, POSTING_HALTED)
