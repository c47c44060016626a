"""What is known about the RPC that is being answered."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum

from kit.rpc.idempotency import RequestKey
from kit.rpc.reasons import NOT_YOURS
from kit.values.errors import PermissionDenied, Unauthenticated
from kit.values.reasons import UNAUTHENTICATED
from kit.values.trail import Trail


class Role(Enum):
    """Roles of a token; the names are those of `florin.common.v1.Role`."""

    BUYER = "buyer"
    MERCHANT = "merchant"
    OPS = "ops"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, as the edge has read it from the signed token."""

    role: Role
    subject: str
    merchant_id: str

    def may_see(self, *, customer_id: str, merchant_id: str) -> bool:
        """Return whether something of this customer and merchant is the caller's to see."""
        match self.role:
            case Role.BUYER:
                return customer_id == self.subject
            case Role.MERCHANT:
                return bool(self.merchant_id) and merchant_id == self.merchant_id
            case Role.OPS:
                return True

    def __str__(self) -> str:
        """The caller in one word, e.g. `buyer:ada` or `merchant:bob@mer_demo`: who owns idempotency keys."""
        merchant = f"@{self.merchant_id}" if self.merchant_id else ""
        return f"{self.role.value}:{self.subject}{merchant}"


@dataclass(slots=True)
class Call:
    """One RPC.

    Attributes:
        method: full name, e.g. `/florin.order.v1.OrderService/GetOrder`.
        metadata: of the request, lower-case names.
        trail: correlation id and trace of this call's own span.
        reply_metadata: sent with the answer, before its first message.
        begun: whether the answer has begun, so that nothing can be added to its metadata.
        outcome: OK, CANCELLED or the reason of its refusal.
        waited_s: how long it has waited in this process before anybody looked at it; 0 if nobody knows.
    """

    method: str
    metadata: Mapping[str, str]
    trail: Trail
    caller: Principal | None = None
    request_key: RequestKey | None = None
    reply_metadata: dict[str, str] = field(default_factory=dict)
    begun: bool = False
    outcome: str = "OK"
    waited_s: float = 0.0

    @property
    def principal(self) -> Principal:
        """The caller; raises `Unauthenticated` for an anonymous one."""
        if self.caller is None:
            raise Unauthenticated(UNAUTHENTICATED, "send a token: `Authorization: Bearer …`")
        return self.caller

    @property
    def key(self) -> RequestKey:
        """The idempotency key; there is one on every RPC whose contract says `mutation`."""
        assert self.request_key is not None, f"{self.method} is not declared a mutation"
        return self.request_key

    @property
    def merchant_id(self) -> str:
        """The merchant the caller acts for; raises `PermissionDenied` if the token names none."""
        if not self.principal.merchant_id:
            raise PermissionDenied(NOT_YOURS, "the token names no merchant")
        return self.principal.merchant_id

    def reply_with(self, **metadata: str) -> None:
        """Send metadata with the answer; underscores in names become dashes."""
        self.reply_metadata.update({k.replace("_", "-"): v for k, v in metadata.items()})


_current: ContextVar[Call] = ContextVar("florin_call")


def current_call() -> Call:
    """Return the RPC that is being answered; for transport code only."""
    return _current.get()


def enter(call: Call) -> None:
    """Make `call` the current one of this task."""
    _current.set(call)
