"""Under which key something is asked for, and what exactly that is."""

from __future__ import annotations

import hashlib
from typing import Final

from google.protobuf.message import Message

from kit.rpc.call import Call
from kit.rpc.contract import MethodContract
from kit.rpc.idempotency import RequestKey
from kit.rpc.reasons import IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_MISSING
from kit.values.errors import InvalidRequest
from kit.values.reasons import CARD_NUMBER_REFUSED
from kit.values.redaction import contains_card_number

MAX_KEY_LENGTH: Final = 255


def request_key(call: Call, contract: MethodContract, request: Message) -> RequestKey:
    """Return the idempotency key of a call, from its header or its message.

    Raises:
        InvalidRequest: there is none, there are two, or it cannot be kept.
    """
    header = call.metadata.get("idempotency-key", "")
    in_message = str(getattr(request, "request_id", "")) if contract.has_request_id else ""
    key = header or in_message
    if not key:
        raise InvalidRequest(
            IDEMPOTENCY_KEY_MISSING,
            "send an `Idempotency-Key` header (or `request_id`), for instance a UUID",
        )
    if header and in_message and header != in_message:
        raise InvalidRequest(
            IDEMPOTENCY_KEY_INVALID, "`Idempotency-Key` and `request_id` differ; send one of them"
        )
    if len(key) > MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise InvalidRequest(
            IDEMPOTENCY_KEY_INVALID,
            f"the idempotency key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters",
        )
    if contains_card_number(key):
        raise InvalidRequest(CARD_NUMBER_REFUSED, "the idempotency key looks like a card number; use a UUID")
    return RequestKey(str(call.principal), call.method, key, _fingerprint(call.method, request, contract))


def _fingerprint(method: str, request: Message, contract: MethodContract) -> bytes:
    """Return the SHA-256 of what is asked, the key itself left out."""
    if contract.has_request_id and getattr(request, "request_id", None):
        stripped = type(request)()
        stripped.CopyFrom(request)
        stripped.ClearField("request_id")
        request = stripped
    return hashlib.sha256(method.encode() + b"\0" + request.SerializeToString(deterministic=True)).digest()
