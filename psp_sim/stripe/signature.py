"""Webhooks as Stripe signs them."""

import hmac
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from psp_sim.stripe.objects.rendering import Renderer
from psp_sim.stripe.objects.rows import Event
from psp_sim.webhooks import Letter

# What every webhook carries besides its signature.
HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
}

# What a forger without the secret signs with.
_FORGED_SECRET: Final = b"whsec_not_the_secret"


def signature(secret: bytes, body: bytes, timestamp: int) -> str:
    """Return the `Stripe-Signature` header of a body: HMAC-SHA256 over `<timestamp>.<body>`."""
    digest = hmac.digest(secret, b"%d.%s" % (timestamp, body), "sha256").hex()
    return f"t={timestamp},v1={digest}"


class Signer:
    """Makes letters of events, signed with the secret of the endpoint."""

    def __init__(self, secret: str, renderer: Renderer) -> None:
        self._secret = secret.encode()
        self._renderer = renderer

    def sign(self, event: Event) -> Letter:
        """Return the letter of an event."""
        return self._letter(event, self._secret)

    def forge(self, event: Event) -> Letter:
        """Return a letter about an event that does not exist, by somebody without the secret."""
        return self._letter(replace(event, id=f"{event.id}_forged"), _FORGED_SECRET)

    def _letter(self, event: Event, secret: bytes) -> Letter:
        now = int(time.time())
        body = self._renderer.encoded(event, now)
        return Letter(body, {"Stripe-Signature": signature(secret, body, now)})
