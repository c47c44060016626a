"""A merchant and its buyers at the edge of a running system, and what can be seen of their purchases.

Everything that changes something goes through Envoy or the simulator's controls; the looks behind the
scenes (journals, mailbox, the PSP's own list) only read.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import psycopg

from runner.access import tokens
from runner.testing import System
from tests.support.waiting import eventually

Json = dict[str, Any]

# Longer than the edge's own limit of 15 s, so that it is the edge that gives up, with an answer.
_REQUEST_TIMEOUT_S: Final = 20.0

# An order whose events have to be sent again after a fault ends in some ten seconds; on a busy machine later.
END_DEADLINE_S: Final = 60.0

# A connection that broke, and what the edge answers while a service restarts.
_NOT_NOW: Final = frozenset({0, 503, 504})

ENDED: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED"})

# The price of one unit, in cents, where a test does not care.
UNIT_AMOUNT: Final = 1990


@dataclass(frozen=True, slots=True)
class Answer:
    """What the edge answered; `status` 0 if it did not."""

    status: int
    body: Json = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """The `ErrorInfo` reason of a refusal; empty if there is none."""
        details: list[Json] = self.body.get("details", [])
        return next((detail["reason"] for detail in details if "reason" in detail), "")


@dataclass(frozen=True, slots=True)
class Order:
    """An order as its buyer saw it at one moment."""

    body: Json

    @property
    def id(self) -> str:
        return str(self.body["id"])

    @property
    def status(self) -> str:
        return str(self.body["status"])

    @property
    def reason(self) -> str:
        return str(self.body["reason"])

    @property
    def customer_id(self) -> str:
        return str(self.body["customer_id"])

    @property
    def total_amount(self) -> int:
        return int(self.body["total_amount"])

    @property
    def correlation_id(self) -> str:
        return str(self.body["correlation_id"])

    @property
    def action_url(self) -> str:
        """Where the buyer has to go; empty if nowhere."""
        return str((self.body.get("next_action") or {}).get("redirect_url", ""))


class Psp:
    """The simulator from its operator's side: its own list of charges, its faults, its 3-D Secure page."""

    def __init__(self, system: System, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._url = f"http://127.0.0.1:{system.settings.psp_sim_port}"
        self._key = system.secrets.psp_api_key

    async def intents_of(self, order_id: str) -> list[Json]:
        """All payment intents that were ever made for an order."""
        query = {"query": f"metadata['order_id']:'{order_id}'"}
        async with self._session.get(
            f"{self._url}/v1/payment_intents/search",
            params=query,
            headers={"Authorization": f"Bearer {self._key}"},
        ) as response:
            found: list[Json] = (await response.json())["data"]
        return found

    async def charges_of(self, order_id: str) -> list[Json]:
        """The intents of an order that took money."""
        return [intent for intent in await self.intents_of(order_id) if intent["amount_received"]]

    async def stats(self) -> Json:
        """What the simulator has counted since its start."""
        return await self._control("GET", "stats")

    @asynccontextmanager
    async def behaving(self, **config: Any) -> AsyncIterator[None]:
        """The simulator behaves like this while the block runs, then normally again."""
        await self._control("POST", "config", config)
        try:
            yield
        finally:
            await self._control("POST", "reset")

    async def answer_challenge(self, order: Order, *, passed: bool) -> None:
        """Press a button on the 3-D Secure page that an order has sent its buyer to."""
        action = "complete" if passed else "fail"
        async with self._session.post(f"{order.action_url}/{action}") as response:
            assert response.status == 200, await response.text()

    async def _control(self, method: str, path: str, body: Json | None = None) -> Json:
        async with self._session.request(method, f"{self._url}/_sim/{path}", json=body) as response:
            answer: Json = await response.json()
            assert response.status == 200, answer
        return answer


class Shop:
    """One merchant of a running system, with as many buyers as a test names."""

    def __init__(self, system: System, session: aiohttp.ClientSession) -> None:
        self.system = system
        self._name = uuid.uuid4().hex[:12]
        self.merchant_id = f"mer_{self._name}"
        self.psp = Psp(system, session)
        self._session = session
        self._edge = f"http://127.0.0.1:{system.settings.edge_port}"
        self._tokens: dict[tuple[str, str], str] = {}

    # -- talking to the edge -------------------------------------------------------------------------------

    def buyer(self, name: str) -> str:
        """The customer id of one of this shop's buyers: nobody else's, and their keys are theirs, too."""
        return f"cus_{name}_{self._name}"

    def token(self, role: tokens.Role, subject: str, merchant_id: str | None = None) -> str:
        """A token of this system's own key."""
        merchant = merchant_id or (self.merchant_id if role == "merchant" else None)
        key = (role, f"{subject}@{merchant}")
        if key not in self._tokens:
            self._tokens[key] = tokens.mint(
                self.system.settings, role=role, subject=subject, merchant_id=merchant
            )
        return self._tokens[key]

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        body: Json | bytes | None = None,
        key: str = "",
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request at the edge; a broken connection is an answer with status 0."""
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if key:
            sent["Idempotency-Key"] = key
        content: Any = {"data": body} if isinstance(body, bytes) else {"json": body}
        try:
            async with self._session.request(
                method, self._edge + path, params=params, headers=sent, **content
            ) as response:
                answer = await response.json() if response.content_type == "application/json" else {}
                return Answer(response.status, answer, response.headers)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Answer(0)

    async def as_merchant(
        self, method: str, path: str, body: Json | None = None, *, params: Mapping[str, str] | None = None
    ) -> Answer:
        """One request of this shop's merchant, under a fresh key."""
        token = self.token("merchant", "usr_owner")
        return await self.call(method, path, token=token, body=body, key=uuid.uuid4().hex, params=params)

    async def read(self, path: str, token: str, params: Mapping[str, str] | None = None) -> Json:
        """What there is at `path`; asked again while the edge says that nobody can answer just now."""
        answer = Answer(0)

        async def is_answered() -> bool:
            nonlocal answer
            answer = await self.call("GET", path, token=token, params=params)
            return answer.status not in _NOT_NOW

        await eventually(is_answered, f"GET {path} is answered")
        assert answer.status == 200, answer
        return answer.body

    # -- what merchants do ---------------------------------------------------------------------------------

    async def put_product(
        self, sku: str, *, stock: int, unit_amount: int = UNIT_AMOUNT, currency: str = "EUR"
    ) -> str:
        """Offer a product with so many units in stock; returns its sku."""
        product = {"name": sku.title(), "unit_amount": unit_amount, "currency": currency}
        answer = await self.as_merchant("PUT", f"/v1/products/{sku}", product)
        assert answer.status == 200, answer
        if stock:
            delivery = {"delta": stock, "reason": "delivery"}
            answer = await self.as_merchant("POST", f"/v1/products/{sku}/stock:adjust", delivery)
            assert answer.status == 200, answer
        return sku

    async def stock_of(self, sku: str) -> dict[str, int]:
        """`{"available", "reserved", "sold"}` of a product."""
        product = await self.read(f"/v1/products/{sku}", self.token("merchant", "usr_owner"))
        return {name: int(product[name]) for name in ("available", "reserved", "sold")}

    async def orders(self, status: str = "") -> list[Order]:
        """All orders of this merchant (in one status), newest first, page by page."""
        found: list[Order] = []
        params = {"page_size": "100"} | ({"status": status} if status else {})
        while True:
            page = await self.read("/v1/orders", self.token("merchant", "usr_owner"), params)
            found += [Order(body) for body in page["orders"]]
            if not page["next_page_token"]:
                return found
            params["page_token"] = page["next_page_token"]

    # -- what buyers do ------------------------------------------------------------------------------------

    def cart(
        self, *skus: str, quantity: int = 1, card: str = "pm_card_visa", currency: str = "EUR", **more: Any
    ) -> Json:
        """The body of a checkout."""
        items = [{"sku": sku, "quantity": quantity} for sku in skus]
        return {
            "merchant_id": self.merchant_id,
            "items": items,
            "currency": currency,
            "payment_method_id": card,
        } | more

    async def checkout(
        self, cart: Json, *, buyer: str = "ada", key: str = "", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """`POST /v1/checkouts` once, without a key unless one is given."""
        token = self.token("buyer", self.buyer(buyer))
        return await self.call("POST", "/v1/checkouts", token=token, body=cart, key=key, headers=headers)

    async def buys(self, *skus: str, buyer: str = "ada", key: str = "", **cart: Any) -> Order:
        """A checkout that is accepted; returns the order as the 202 showed it."""
        answer = await self.checkout(self.cart(*skus, **cart), buyer=buyer, key=key or uuid.uuid4().hex)
        assert answer.status == 202, answer
        return Order(answer.body)

    async def get(self, order: Order) -> Order:
        """The order as it is now."""
        return Order(await self.read(f"/v1/orders/{order.id}", self.token("buyer", order.customer_id)))

    async def timeline_of(self, order: Order) -> list[str]:
        """The names of the order's steps, as its buyer may read them."""
        path, token = f"/v1/orders/{order.id}/timeline", self.token("buyer", order.customer_id)
        return [step["step"] for step in (await self.read(path, token))["steps"]]

    # -- waiting -------------------------------------------------------------------------------------------

    async def waits_until(self, order: Order, *statuses: str, deadline_s: float = END_DEADLINE_S) -> Order:
        """The order once it is in one of these states."""
        seen = order

        async def is_there() -> bool:
            nonlocal seen
            seen = await self.get(order)
            return seen.status in statuses

        await eventually(is_there, f"{order.id} is {' or '.join(statuses)}", deadline_s=deadline_s)
        return seen

    async def waits_until_ended(self, order: Order, *, deadline_s: float = END_DEADLINE_S) -> Order:
        """The order once it is COMPLETED, FAILED or CANCELLED."""
        return await self.waits_until(order, *ENDED, deadline_s=deadline_s)

    async def waits_until_all_ended(
        self, order_ids: Iterable[str], *, deadline_s: float = END_DEADLINE_S
    ) -> dict[str, Order]:
        """These orders by id once every one of them has ended; cheap for many."""
        wanted = set(order_ids)

        async def none_is_open() -> bool:
            open_orders = [
                order for status in ("PROCESSING", "REQUIRES_ACTION") for order in await self.orders(status)
            ]
            return not wanted & {order.id for order in open_orders}

        await eventually(none_is_open, f"all {len(wanted)} orders have ended", deadline_s=deadline_s)
        known = {order.id: order for order in await self.orders()}
        missing = wanted - known.keys()
        assert not missing, f"accepted, and then gone: {sorted(missing)}"
        ended = {order_id: known[order_id] for order_id in wanted}
        assert all(order.status in ENDED for order in ended.values())
        return ended

    # -- looks behind the scenes ---------------------------------------------------------------------------

    async def journals_of(self, order: Order) -> list[str]:
        """The kinds of the journals of an order, each of which sums to zero."""
        async with await psycopg.AsyncConnection.connect(self.system.auditor_url("ledger_svc")) as books:
            cursor = await books.execute(
                "SELECT j.kind, sum(e.amount) FROM journals j JOIN entries e ON e.journal_id = j.id"
                " WHERE j.order_id = %s GROUP BY j.id",
                (order.id,),
            )
            rows = await cursor.fetchall()
        assert all(total == 0 for _, total in rows), rows
        return [kind for kind, _ in rows]

    async def ended_at(self, order_ids: Iterable[str]) -> dict[str, float]:
        """When these orders ended, by id, in seconds of the epoch."""
        async with await psycopg.AsyncConnection.connect(self.system.auditor_url("order_svc")) as orders:
            cursor = await orders.execute(
                "SELECT id, extract(epoch FROM ended_at)::float8 FROM orders WHERE id = ANY(%s)",
                (list(order_ids),),
            )
            return dict(await cursor.fetchall())

    def mails_about(self, order: Order) -> list[str]:
        """Every e-mail in the mailbox that names the order."""
        mails = [path.read_text() for path in self.system.settings.mailbox.rglob("*.eml")]
        return [mail for mail in mails if order.id in mail]


@asynccontextmanager
async def open_shop(system: System) -> AsyncIterator[Shop]:
    """A new merchant's shop at a running system."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Shop(system, session)
