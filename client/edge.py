"""`EdgeClient`: Florin's REST API as one caller, a buyer, a merchant or ops, sees it."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp

from client.errors import ApiError, StillOpen, decode_error
from client.http import CALL_TIMEOUT_S, Answer, HttpConnection
from client.resources import ENDED, Order, OrderPage, Payment, Product, TimelineStep

# An order normally ends within a second; one whose PSP call timed out needs about seven.
DEFAULT_DEADLINE_S: Final = 60.0

# Orders are looked at soon after they were placed and then less and less often, so that many
# waiting callers do not become the load.
_FIRST_LOOK_S: Final = 0.05
_LONGEST_LOOK_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cart:
    """What a buyer sends to `POST /v1/checkouts`."""

    merchant_id: str
    # Quantity by sku.
    items: Mapping[str, int]
    currency: str
    payment_method_id: str = "pm_card_visa"
    receipt_email: str = ""
    # Decides the tax rate: `DE`, `FR`, …
    country: str = ""
    # What the buyer was shown, in minor units; None leaves it to the server.
    expected_total_amount: int | None = None
    attribution: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The request's body; what is not set is left out."""
        body: dict[str, Any] = {
            "merchant_id": self.merchant_id,
            "items": [{"sku": sku, "quantity": quantity} for sku, quantity in self.items.items()],
            "currency": self.currency,
            "payment_method_id": self.payment_method_id,
        }
        if self.receipt_email:
            body["receipt_email"] = self.receipt_email
        if self.country:
            body["shipping_address"] = {"country": self.country}
        if self.expected_total_amount is not None:
            body["expected_total_amount"] = str(self.expected_total_amount)
        if self.attribution:
            body["attribution"] = dict(self.attribution)
        return body


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a checkout."""

    order: Order
    # Whether this is the stored answer to an earlier request with the same key.
    replayed: bool


class EdgeClient:
    """Calls the edge with one token; `async with EdgeClient(url, token) as edge: …`.

    Every method raises `ApiError` if the call is refused or has no answer. Nothing is retried here:
    whoever calls has the idempotency key and decides.
    """

    def __init__(self, base_url: str, token: str, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        headers = {"authorization": f"Bearer {token}"}
        self._http = HttpConnection(base_url, headers=headers, timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._http.__aexit__(*exception)

    async def checkout(self, cart: Cart, *, key: str | None = None) -> Accepted:
        """Places an order; accepted means PROCESSING, not paid. Makes up a key if none is given."""
        answer = await self.send_checkout(cart.document(), key=key or str(uuid.uuid4()))
        return Accepted(
            Order.from_json(answer.json()), replayed=answer.headers.get("idempotent-replayed") == "true"
        )

    async def send_checkout(self, document: Mapping[str, Any], *, key: str | None) -> Answer:
        """Sends any body as a checkout, with a key or without, and returns any answer."""
        headers = {"idempotency-key": key} if key is not None else {}
        return await self._http.send("POST", "/v1/checkouts", document=document, headers=headers)

    async def get_order(self, order_id: str) -> Order:
        """One order."""
        return Order.from_json(await self._get(f"/v1/orders/{_segment(order_id)}"))

    async def list_orders(self, *, status: str = "", page_size: int = 20, page_token: str = "") -> OrderPage:
        """One page of the caller's orders, newest first."""
        params: dict[str, str | int] = {"page_size": page_size}
        params |= {"status": status} if status else {}
        params |= {"page_token": page_token} if page_token else {}
        page = await self._get("/v1/orders", params=params)
        orders = tuple(Order.from_json(document) for document in page["orders"])
        return OrderPage(orders, page["next_page_token"])

    async def timeline(self, order_id: str) -> list[TimelineStep]:
        """Every step of an order's way, oldest first."""
        document = await self._get(f"/v1/orders/{_segment(order_id)}/timeline")
        return [TimelineStep.from_json(step) for step in document["steps"]]

    async def wait_for_order(
        self,
        order_id: str,
        *,
        until: Collection[str] = ENDED,
        deadline_s: float = DEFAULT_DEADLINE_S,
    ) -> Order:
        """The order once its state is one of `until`, or once it has ended in another one.

        A service that restarts meanwhile is waited for, too.

        Raises:
            StillOpen: it did not come so far in time.
            ApiError: there is no such order, or it is not the caller's.
        """
        deadline = time.monotonic() + deadline_s
        pause_s = _FIRST_LOOK_S
        last = "never seen"
        while True:
            try:
                order = await self.get_order(order_id)
                if order.status in until or order.ended:
                    return order
                last = order.outcome
            except ApiError as error:
                if not error.is_transient:
                    raise
                last = str(error)
            if time.monotonic() + pause_s > deadline:
                raise StillOpen(
                    f"{order_id} is not {' or '.join(sorted(until))} after {deadline_s:g} s: {last}"
                )
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_LOOK_S)

    async def watch_order(
        self, order_id: str, *, deadline_s: float = DEFAULT_DEADLINE_S
    ) -> AsyncIterator[Order]:
        """The order now and at each change until it has ended, pushed by the server.

        Raises:
            ApiError: refused, or the stream broke off.
        """
        path = f"/v1/orders/{_segment(order_id)}:watch"
        timeout = aiohttp.ClientTimeout(total=deadline_s)
        try:
            async with self._http.session.get(self._http.url(path), timeout=timeout) as answer:
                if answer.status >= 400:
                    headers = {name.lower(): value for name, value in answer.headers.items()}
                    raise decode_error(answer.status, headers, await answer.read())
                async for line in answer.content:
                    text = line.decode().strip()
                    if text.startswith("data:"):
                        yield Order.from_json(json.loads(text.removeprefix("data:")))
                    elif text:
                        # The stream had begun, and with it its status, before the error was known.
                        raise decode_error(answer.status, {}, text.encode())
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._http.unreachable(error) from error

    async def put_product(
        self, sku: str, *, name: str, unit_amount: int, currency: str, key: str | None = None
    ) -> Product:
        """Creates a product or replaces its name and price, in minor units, tax included."""
        body = {"name": name, "unit_amount": str(unit_amount), "currency": currency}
        return Product.from_json(await self._change("PUT", f"/v1/products/{_segment(sku)}", body, key))

    async def adjust_stock(self, sku: str, *, delta: int, reason: str, key: str | None = None) -> Product:
        """Adds units to the stock, or removes them."""
        body = {"delta": str(delta), "reason": reason}
        path = f"/v1/products/{_segment(sku)}/stock:adjust"
        return Product.from_json(await self._change("POST", path, body, key))

    async def get_product(self, sku: str, *, merchant_id: str = "") -> Product:
        """One product with its stock; callers who are no merchant name the merchant."""
        params = {"merchant_id": merchant_id} if merchant_id else {}
        return Product.from_json(await self._get(f"/v1/products/{_segment(sku)}", params=params))

    async def get_payment(self, payment_id: str) -> Payment:
        """One payment."""
        return Payment.from_json(await self._get(f"/v1/payments/{_segment(payment_id)}"))

    async def decide_payment(
        self,
        payment_id: str,
        *,
        outcome: str,
        reason: str,
        psp_reference: str = "",
        against_psp: bool = False,
        key: str | None = None,
    ) -> Payment:
        """Settles an undecided payment as `CAPTURED` or `FAILED`, for a reason."""
        body = {
            "outcome": outcome,
            "reason": reason,
            "psp_reference": psp_reference,
            "against_psp": against_psp,
        }
        path = f"/v1/payments/{_segment(payment_id)}:decide"
        return Payment.from_json(await self._change("POST", path, body, key))

    async def _get(self, path: str, *, params: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        return (await self._http.send("GET", path, params=params)).json()

    async def _change(
        self, method: str, path: str, body: Mapping[str, Any], key: str | None
    ) -> dict[str, Any]:
        headers = {"idempotency-key": key or str(uuid.uuid4())}
        return (await self._http.send(method, path, document=body, headers=headers)).json()


def _segment(text: str) -> str:
    """`text` as one segment of a path, whatever somebody typed."""
    return quote(text, safe="")
