"""Who calls, as the edge has read it from the signed token, and whether they may."""

from __future__ import annotations

from collections.abc import Mapping

from kit.rpc.call import Call, Principal, Role
from kit.rpc.contract import MethodContract
from kit.rpc.reasons import ROLE_NOT_ALLOWED
from kit.values.errors import PermissionDenied


def caller_of(metadata: Mapping[str, str]) -> Principal | None:
    """Return who calls; None for an anonymous caller."""
    subject, role = metadata.get("x-florin-subject"), metadata.get("x-florin-role", "")
    if not subject or role not in Role._value2member_map_:
        return None
    return Principal(Role(role), subject, metadata.get("x-florin-merchant", ""))


def require_role(call: Call, contract: MethodContract) -> None:
    """Refuse a caller that the contract does not name.

    Raises:
        Unauthenticated: nobody knows who is calling.
        PermissionDenied: ROLE_NOT_ALLOWED.
    """
    if not contract.roles or call.principal.role in contract.roles:
        return
    allowed = ", ".join(sorted(role.value for role in contract.roles))
    raise PermissionDenied(
        ROLE_NOT_ALLOWED,
        f"a {call.principal.role.value} may not call this; allowed: {allowed}",
        metadata={"allowed_roles": allowed},
    )
