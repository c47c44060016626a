"""Names of accounts: `kind:owner[:detail]:CCY`."""

from __future__ import annotations

import hashlib
from typing import Final, NewType
from urllib.parse import quote

AccountCode = NewType("AccountCode", str)

# Owner of the accounts that are our own.
PLATFORM: Final = "florin"

# Of the kinds of the chart, those whose owner is a merchant, who may look at them.
MERCHANT_KINDS: Final = frozenset({"merchant", "merchant_reserve"})

# Leaves room for kind, detail and currency in a code of at most 200 characters.
_MAX_OWNER_LENGTH: Final = 150

# What an owner may be called as it is; anything else could be taken for a separator.
_SAFE: Final = "@.+=/,;!*'()|"


def account_code(kind: str, owner: str, currency: str) -> AccountCode:
    """Return the code of an account.

    An owner is whatever a token's subject was, so characters that have a meaning in a code are
    percent-encoded, and a name that is too long is replaced by its SHA-256: captured money is never left
    unposted because of what a customer is called.
    """
    name = quote(owner, safe=_SAFE)
    if len(name) > _MAX_OWNER_LENGTH:
        name = hashlib.sha256(owner.encode()).hexdigest()
    return AccountCode(f"{kind}:{name}:{currency}")


def belongs_to_merchant(code: str, merchant_id: str) -> bool:
    """Return whether a merchant may look at this account."""
    kind, _, rest = code.partition(":")
    return kind in MERCHANT_KINDS and rest.split(":")[0] == quote(merchant_id, safe=_SAFE)
