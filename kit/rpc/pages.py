"""Page tokens: opaque to the caller, signed, and good only for the list they were made for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from kit.rpc.reasons import PAGE_TOKEN_INVALID
from kit.values.errors import InvalidRequest

# 128 bits of the SHA-256 HMAC: out of reach of guessing, and the token stays short.
_SIGNATURE_BYTES: Final = 16


class PageTokens:
    """Makes and reads the page tokens of a service; every replica has the same key.

    Args:
        key: secret of the installation (`FLORIN_PAGE_TOKEN_KEY`).
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def sign(self, position: str, filters: str) -> str:
        """Return the token of the page that begins after `position`.

        Args:
            position: key of the last item of the page before.
            filters: everything the list depends on, caller included, in one text.
        """
        return (
            base64.urlsafe_b64encode(self._signature(position, filters) + position.encode())
            .decode()
            .rstrip("=")
        )

    def open(self, token: str, filters: str) -> str:
        """Return the position that was signed in a token.

        Raises:
            InvalidRequest: the token is not one of ours, or was made for other filters.
        """
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            signature, position = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:].decode()
        except (binascii.Error, ValueError):
            raise _not_ours() from None
        if not hmac.compare_digest(signature, self._signature(position, filters)):
            raise _not_ours()
        return position

    def _signature(self, position: str, filters: str) -> bytes:
        # The length keeps (filters, position) apart: ("a", "bc") is not ("ab", "c").
        text = f"{len(filters)}:{filters}{position}"
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def _not_ours() -> InvalidRequest:
    return InvalidRequest(
        PAGE_TOKEN_INVALID,
        "the page token is not one of ours or was made for other filters; start without a page token",
    )
