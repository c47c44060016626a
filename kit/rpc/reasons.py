"""Reasons for which a call is refused whatever it asks for: role, key, page token, deadline."""

from __future__ import annotations

from typing import Final

from kit.values.errors import Conflict, InvalidRequest, KeyReused, PermissionDenied, Reason, Unavailable

ROLE_NOT_ALLOWED: Final = Reason(
    "ROLE_NOT_ALLOWED",
    PermissionDenied,
    "The token's role may not call this.",
    "Use a token of one of the roles in the metadata.",
)

NOT_YOURS: Final = Reason(
    "NOT_YOURS",
    PermissionDenied,
    "The token's merchant is missing or another one.",
    "Use a token that names the merchant.",
)

IDEMPOTENCY_KEY_MISSING: Final = Reason(
    "IDEMPOTENCY_KEY_MISSING",
    InvalidRequest,
    "A request that changes something came without an idempotency key.",
    "Send the header `Idempotency-Key` (or `request_id`): 1 to 255 printable ASCII characters.",
)

IDEMPOTENCY_KEY_INVALID: Final = Reason(
    "IDEMPOTENCY_KEY_INVALID",
    InvalidRequest,
    "The idempotency key is longer than 255 characters or not printable ASCII.",
    "Use a UUID.",
)

IDEMPOTENCY_KEY_REUSED: Final = Reason(
    "IDEMPOTENCY_KEY_REUSED",
    KeyReused,
    "The same idempotency key was used with another body.",
    "Use a new key for a new request.",
)

REQUEST_IN_PROGRESS: Final = Reason(
    "REQUEST_IN_PROGRESS",
    Conflict,
    "A request with the same idempotency key is still running.",
    "Send it again after the time in `RetryInfo`; the answer will be the first one's.",
)

PAGE_TOKEN_INVALID: Final = Reason(
    "PAGE_TOKEN_INVALID",
    InvalidRequest,
    "The page token is not one of ours, or was made for other filters.",
    "Start again without a page token.",
)

DEADLINE_EXCEEDED: Final = Reason(
    "DEADLINE_EXCEEDED",
    Unavailable,
    "The caller's time was up before there was an answer; the request may still take effect.",
    "Send it again with the same key: it has effect once.",
)

REASONS: Final = (
    ROLE_NOT_ALLOWED,
    NOT_YOURS,
    IDEMPOTENCY_KEY_MISSING,
    IDEMPOTENCY_KEY_INVALID,
    IDEMPOTENCY_KEY_REUSED,
    REQUEST_IN_PROGRESS,
    PAGE_TOKEN_INVALID,
    DEADLINE_EXCEEDED,
)
