"""Page tokens: opaque, signed, and bound to the filters they were made for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from kit.errors import InvalidRequest

# 128 bits of HMAC-SHA-256: far beyond guessing, short enough for a URL.
_TAG_BYTES = 16


class PageTokens:
    """Seals positions in lists.

    Args:
        key: secret shared by all replicas of a service.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, position: str, filters: str) -> str:
        """Return the token for the page after `position` of the list with these filters."""
        tag = self._tag(position, filters)
        return base64.urlsafe_b64encode(tag + position.encode()).decode().rstrip("=")

    def open(self, token: str, filters: str) -> str:
        """Return the position of a token; an empty token is the start.

        Raises:
            InvalidRequest: PAGE_TOKEN_INVALID, for a token that is not ours or has other filters.
        """
        if not token:
            return ""
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            position = raw[_TAG_BYTES:].decode()
        except (binascii.Error, ValueError):
            position, raw = "", b""
        if not hmac.compare_digest(raw[:_TAG_BYTES], self._tag(position, filters)):
            raise InvalidRequest(
                "PAGE_TOKEN_INVALID",
                "the page token is not one of ours, or was made for other filters; start without one",
            )
        return position

    def _tag(self, position: str, filters: str) -> bytes:
        message = filters.encode() + b"\0" + position.encode()
        return hmac.new(self._key, message, hashlib.sha256).digest()[:_TAG_BYTES]
