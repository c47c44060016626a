"""Tokens that the edge accepts, signed with this system's own key."""

from __future__ import annotations

import json
import time
import uuid
from typing import Final, Literal

from joserfc import jwt
from joserfc.jwk import ECKey

from runner.secrets import private_key_file
from runner.settings import Settings
from terminal.errors import CommandError

Role = Literal["buyer", "merchant", "ops"]

# What the edge's configuration checks tokens against.
ISSUER: Final = "florin"
AUDIENCE: Final = "florin-edge"
ALGORITHM: Final = "ES256"

# A working day at the terminal; the key never leaves this machine.
DEFAULT_TTL_S: Final = 8 * 3600


def mint(
    settings: Settings,
    *,
    role: Role,
    subject: str,
    merchant_id: str | None = None,
    ttl_s: int = DEFAULT_TTL_S,
) -> str:
    """A signed token that says who the caller is for the next `ttl_s` seconds.

    Raises:
        CommandError: there is no key yet, or a merchant's token lacks its merchant.
    """
    if role == "merchant" and not merchant_id:
        raise CommandError("A merchant's token has to say which merchant.", way_out="Add `--merchant mer_…`.")
    try:
        raw = json.loads(private_key_file(settings).read_text())
    except FileNotFoundError:
        raise CommandError(
            f"There is no signing key in {settings.keys_dir}.",
            way_out="Start the system once with `florin up`.",
        ) from None
    now_s = int(time.time())
    claims: dict[str, str | int] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "role": role,
        "iat": now_s,
        "exp": now_s + ttl_s,
        "jti": uuid.uuid4().hex,
    }
    if merchant_id:
        claims["merchant_id"] = merchant_id
    key = ECKey.import_key(raw)
    return jwt.encode({"alg": ALGORITHM, "kid": raw["kid"]}, claims, key)
