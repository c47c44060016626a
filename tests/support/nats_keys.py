"""Keys and credentials for NATS, as `nsc` makes them."""

from __future__ import annotations

import json
import os
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import nkeys

_PREFIXES: Final = {
    "operator": nkeys.PREFIX_BYTE_OPERATOR,
    "account": nkeys.PREFIX_BYTE_ACCOUNT,
    "user": nkeys.PREFIX_BYTE_USER,
}

# As much as there is.
_NO_LIMITS: Final = dict.fromkeys(["subs", "data", "payload", "imports", "exports", "conn", "leaf"], -1) | {
    "wildcards": True
}
_JETSTREAM: Final = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}


@dataclass(frozen=True, slots=True)
class Key:
    """A pair of keys; what it is for is part of it."""

    role: str
    seed: bytes

    @classmethod
    def new(cls, role: str) -> Key:
        """Return a new one for an operator, an account or a user."""
        return cls(role, bytes(nkeys.encode_seed(os.urandom(32), _PREFIXES[role])))

    @property
    def public(self) -> str:
        """What others know of it."""
        return str(nkeys.from_seed(bytearray(self.seed)).public_key.decode())

    def signs(self, subject: Key, says: Mapping[str, Any], **claims: Any) -> str:
        """Return a JWT about another key."""
        now = int(time.time())
        body = {
            "jti": os.urandom(16).hex(),
            "iat": now,
            "iss": self.public,
            "sub": subject.public,
            "name": "florin",
            "nats": {**says, "type": subject.role, "version": 2},
            **claims,
        }
        text = f"{_encoded({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_encoded(body)}"
        return f"{text}.{_plain(nkeys.from_seed(bytearray(self.seed)).sign(text.encode()))}"


class Operator:
    """Somebody who runs NATS servers, with an account for Florin and one for the servers themselves."""

    def __init__(self) -> None:
        self._revoked: dict[str, int] = {}
        self._key, self._account, self._system = Key.new("operator"), Key.new("account"), Key.new("account")

    def rules(self) -> str:
        """Return what a server has to know of it."""
        limits = {"limits": {**_NO_LIMITS, **_JETSTREAM}}
        accounts = {
            self._account.public: self._key.signs(self._account, {**limits, "revocations": self._revoked}),
            self._system.public: self._key.signs(self._system, {"limits": _NO_LIMITS}),
        }
        preloaded = "\n".join(f"{public}: {jwt}" for public, jwt in accounts.items())
        return (
            f"operator: {self._key.signs(self._key, {})}\nsystem_account: {self._system.public}\n"
            f"resolver: MEMORY\nresolver_preload: {{\n{preloaded}\n}}"
        )

    def revoke(self) -> None:
        """Have all users of Florin's account let in no more that are older than half an hour."""
        self._revoked = {"*": int(time.time()) - 1800}

    def credentials(self, *, age_s: int = 0) -> str:
        """Return a new user's of Florin's account, as they stand in a `.creds` file."""
        user = Key.new("user")
        unlimited = {"subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}}
        jwt = self._account.signs(user, unlimited, iat=int(time.time()) - age_s)
        return (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
        )


def _encoded(value: Mapping[str, Any]) -> str:
    return _plain(json.dumps(value).encode())


def _plain(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
