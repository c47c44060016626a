"""Reasons of errors that come from waiting and writing together with others."""

from __future__ import annotations

from typing import Final

from kit.values.errors import Conflict, Exhausted, Reason, Unavailable

TOO_MANY_WAITING: Final = Reason(
    "TOO_MANY_WAITING",
    Exhausted,
    "No place came free in time: more is asked than can be answered soon. Nothing has happened.",
    "Send it again, with the same key, after the time in `RetryInfo`.",
)

CONCURRENT_CHANGE: Final = Reason(
    "CONCURRENT_CHANGE",
    Conflict,
    "Too many others changed the same thing at the same time.",
    "Send it again after the time in `RetryInfo`.",
)

STORE_UNAVAILABLE: Final = Reason(
    "STORE_UNAVAILABLE",
    Unavailable,
    "The database does not answer; nothing is accepted without it.",
    "Send it again, with the same key, after the time in `RetryInfo`.",
)

REASONS: Final = (TOO_MANY_WAITING, CONCURRENT_CHANGE, STORE_UNAVAILABLE)
