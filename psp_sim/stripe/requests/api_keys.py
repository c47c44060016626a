"""Who may call the API: a test key, as Bearer or as the user name of Basic."""

import base64
import binascii
from typing import Final

from psp_sim.stripe.errors import unauthenticated

TEST_KEY_PREFIX: Final = "sk_test_"


class ApiKeys:
    """Checks the `Authorization` header of API calls."""

    def __init__(self, only: str = "") -> None:
        """Accept only this key, or every test key if it is empty."""
        self._only = only
        # Decoding is the same for every call of one caller.
        self._last_accepted: str | None = None

    def check(self, authorization: str) -> None:
        """Let a call with an accepted key pass.

        Raises:
            ApiError: 401 for any other.
        """
        if authorization and authorization == self._last_accepted:
            return
        key = api_key(authorization)
        if not key:
            raise unauthenticated(
                "You did not provide an API key. You need to provide your API key in the "
                "Authorization header, using Bearer auth (e.g. 'Authorization: Bearer "
                "YOUR_SECRET_KEY')."
            )
        if not key.startswith(TEST_KEY_PREFIX) or (self._only and key != self._only):
            raise unauthenticated(f"Invalid API Key provided: {key[:8]}{'*' * 12}")
        self._last_accepted = authorization


def api_key(authorization: str) -> str:
    """Return the key in an `Authorization` header, or an empty string if it holds none."""
    scheme, _, credentials = authorization.partition(" ")
    credentials = credentials.strip()
    match scheme.lower():
        case "bearer":
            return credentials
        case "basic":
            try:
                return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                return ""
    return ""
