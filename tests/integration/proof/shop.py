"""A shop whose evidence can be tampered with: five real databases and a PSP that lists what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from aiohttp import web

from ledger_svc.domain.journal import JournalId
from ledger_svc.domain.rules.capture import Capture, capture_journal
from payment_svc.adapters.stripe.listing import StripeListing
from proof import Audit, Check, Proof, prove
from proof.audit import BOOKS, ORDERS, PAYMENTS, STOCK
from proof.memory import Memory
from roster import ROSTER
from tests.integration.ledger_svc.books import Ledger
from tests.support.databases import ServiceDatabase

TOTAL, FEE, TAX = 8900, 300, 1421
# What the PSP did with the orders below, which are five minutes old.
AGE_S = 270
PAGE = 100

_ORDER = """
INSERT INTO orders (id, merchant_id, customer_id, status, reason, lines, currency, total_amount, tax_amount,
    payment_method_id, receipt_email, shipping_address, attribution, payment_id, journal_id, stock_sold,
    correlation_id, traceparent, version, created_at, updated_at, ended_at)
VALUES (%(order)s, 'mer_1', 'cus_1', %(status)s, %(reason)s, '[["mug", "Mug", 1, 8900, 1421]]', 'EUR', 8900,
    1421, 'pm_card_visa', '', '{}', '{}', %(payment)s, %(journal)s, %(sold)s, '', '', 3,
    now() - interval '5 min', now() - interval '4 min', now() - interval '4 min')
"""
_PAYMENT = """
WITH attempt AS (
    INSERT INTO attempts (payment_id, kind, number, operation, amount, psp, state, psp_reference, started_at)
    VALUES (%(payment)s, 'CHARGE', 1, 1, 8900, 'stripe', %(state)s, %(intent)s, now() - interval '5 min')
)
INSERT INTO payments (id, order_id, merchant_id, customer_id, status, amount, amount_captured, fee_amount,
    tax_amount, currency, payment_method_id, correlation_id, traceparent, version, created_at, updated_at)
VALUES (%(payment)s, %(order)s, 'mer_1', 'cus_1', %(status)s, 8900, %(captured)s, 300, 1421, 'EUR',
    'pm_card_visa', '', '', 3, now() - interval '5 min', now() - interval '4 min')
"""
_STOCK = """
INSERT INTO products (merchant_id, sku, name, unit_amount, currency, on_hand, received)
VALUES ('mer_1', 'mug', 'Mug', 8900, 'EUR', 10, 10);
INSERT INTO stock_adjustments (id, merchant_id, sku, delta, reason)
VALUES ('adj_1', 'mer_1', 'mug', 10, 'first');
"""
_SALE = """
INSERT INTO reservations (id, order_id, merchant_id, status, expires_at, created_at)
VALUES (%(reservation)s, %(order)s, 'mer_1', %(status)s, now() + interval '10 min', now() - interval '5 min')
"""


@dataclass(slots=True)
class Shop:
    """Everything the proof looks at."""

    databases: dict[str, ServiceDatabase]
    ledger: Ledger
    intents: list[dict[str, Any]] = field(default_factory=list)
    movements: list[dict[str, Any]] = field(default_factory=list)
    psp_url: str = ""
    # Paths of the lists that the PSP was asked for.
    asked: list[str] = field(default_factory=list)

    async def sell(self, name: str) -> None:
        """Complete an order, as five services would: `ord_<name>`, `pay_<name>`, `pi_<name>`."""
        journal = await self.post(name)
        values = {"order": f"ord_{name}", "payment": f"pay_{name}", "intent": f"pi_{name}"}
        await self.run(
            ORDERS, _ORDER, values | {"status": "COMPLETED", "reason": "", "journal": journal, "sold": True}
        )
        await self.run(
            PAYMENTS, _PAYMENT, values | {"status": "CAPTURED", "state": "DONE", "captured": TOTAL}
        )
        await self.reserve(name, "SOLD")
        await self.run(STOCK, "UPDATE products SET on_hand = on_hand - 1, sold = sold + 1")
        self.charge(f"pi_{name}", name)
        self.move(f"txn_{name}", name, amount=TOTAL)

    async def decline(self, name: str) -> None:
        """Fail an order: nothing captured, stock given back."""
        values = {"order": f"ord_{name}", "payment": f"pay_{name}", "intent": f"pi_{name}"}
        await self.run(
            ORDERS,
            _ORDER,
            values | {"status": "FAILED", "reason": "card_declined", "journal": "", "sold": False},
        )
        await self.run(PAYMENTS, _PAYMENT, values | {"status": "FAILED", "state": "ENDED", "captured": 0})
        await self.reserve(name, "RELEASED")
        self.charge(f"pi_{name}", name, status="canceled")

    async def post(self, name: str) -> str:
        """Post the capture of a payment; return the journal."""
        capture = Capture(f"pay_{name}", f"ord_{name}", "mer_1", "cus_1", "stripe", "EUR", TOTAL, FEE, TAX)
        journal = capture_journal(
            capture,
            journal_id=JournalId(f"jrn_{name}_{len(self.intents)}"),
            business_key=f"evt_{name}_{len(self.intents)}",
            effective_at=datetime.now(UTC),
        )
        [posting] = await self.ledger.post(journal)
        return posting.journal_id

    async def age_books(self) -> None:
        """Let what was posted be so old that nothing of it is on its way."""
        await self.age_books_of("")

    async def age_books_of(self, name: str) -> None:
        """Likewise, of one order."""
        aged = "UPDATE journals SET recorded_at = now() - interval '4 min' WHERE starts_with(order_id, %s)"
        await self.run(BOOKS, aged, (f"ord_{name}",))

    async def reserve(self, name: str, status: str) -> None:
        """Put a reservation of one unit on record."""
        await self.run(STOCK, _SALE, {"reservation": f"rsv_{name}", "order": f"ord_{name}", "status": status})
        await self.run(STOCK, "INSERT INTO reservation_lines VALUES (%s, 'mug', 1)", (f"rsv_{name}",))

    def charge(
        self, intent: str, name: str, *, status: str = "succeeded", amount: int = TOTAL, currency: str = "eur"
    ) -> None:
        """Let the PSP have a payment intent; the newest is first in its list."""
        self.intents.insert(
            0,
            {
                "id": intent,
                "status": status,
                "currency": currency,
                "amount_received": amount if status == "succeeded" else 0,
                "metadata": {"payment_id": f"pay_{name}", "order_id": f"ord_{name}"},
                "created": self._now_s() - AGE_S,
            },
        )

    def move(
        self,
        line: str,
        name: str,
        *,
        amount: int,
        kind: str = "charge",
        age_s: int = AGE_S,
        currency: str = "eur",
    ) -> None:
        """Let the PSP's account of our money have a line; the newest is first in its list."""
        source = {"id": f"{kind[:2]}_{name}", "metadata": {}, "payment_intent": {"id": f"pi_{name}"}}
        about = source if kind == "charge" else source["payment_intent"]
        about["metadata"] = {"payment_id": f"pay_{name}"}  # type: ignore[index]
        self.movements.insert(
            0,
            {
                "id": line,
                "type": kind,
                "reporting_category": kind,
                "amount": amount,
                "currency": currency,
                "created": self._now_s() - age_s,
                "source": source,
            },
        )

    def _now_s(self) -> int:
        return int(datetime.now(UTC).timestamp())

    async def run(self, database: str, statement: str, parameters: Any = None) -> None:
        """Change a database behind its service's back, constraints and triggers switched off."""
        url = self.databases[database].superuser_url
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("SET session_replication_role = replica")
            await connection.execute(statement, parameters)

    async def proof(self, memory: Memory | None = None, *, full: bool = False) -> Proof:
        """Prove it."""
        audit = Audit(
            database_url=lambda name: self.databases[name].superuser_url,
            psp=StripeListing(api_key="sk_test_1", base_url=self.psp_url),
        )
        return await prove(audit, memory, full=full, second_look_after_s=0.0)

    async def failures(self, memory: Memory | None = None, *, full: bool = False) -> dict[str, str]:
        """Return name and detail of each check that is not ok."""
        proof = await self.proof(memory, full=full)
        return {check.name: check.detail for check in proof.checks if not check.ok}

    async def list_intents(self, request: web.Request) -> web.Response:
        """Answer for the payment intents."""
        return self._list(self.intents, request)

    async def list_movements(self, request: web.Request) -> web.Response:
        """Answer for the balance transactions."""
        return self._list(self.movements, request)

    async def get_intent(self, request: web.Request) -> web.Response:
        """Answer for one payment intent."""
        for intent in self.intents:
            if intent["id"] == request.match_info["id"]:
                return web.json_response(intent)
        return web.json_response({"error": {"code": "resource_missing"}}, status=404)

    def _list(self, rows: list[dict[str, Any]], request: web.Request) -> web.Response:
        """Answer as the PSP does: newest first, at most 100, after a cursor, from a second on."""
        assert request.headers["Authorization"] == "Bearer sk_test_1"
        assert int(request.query["limit"]) <= PAGE
        self.asked.append(request.path)
        since_s = int(request.query.get("created[gte]", 0))
        wanted = [row for row in rows if row["created"] >= since_s]
        ids = [row["id"] for row in wanted]
        begin = ids.index(request.query["starting_after"]) + 1 if "starting_after" in request.query else 0
        page = wanted[begin : begin + PAGE]
        return web.json_response({"data": page, "has_more": begin + PAGE < len(ids)})


@asynccontextmanager
async def open_shop(service_database: Callable[[str], ServiceDatabase]) -> AsyncIterator[Shop]:
    """Lend a shop that has sold nothing yet."""
    databases = {context.database: service_database(context.package) for context in ROSTER}
    ledger = Ledger(databases[BOOKS])
    await ledger.database.open()
    shop = Shop(databases, ledger)
    app = web.Application()
    app.router.add_get("/v1/payment_intents", shop.list_intents)
    app.router.add_get("/v1/payment_intents/{id}", shop.get_intent)
    app.router.add_get("/v1/balance_transactions", shop.list_movements)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    shop.psp_url = f"http://{host}:{port}"
    for statement in filter(str.strip, _STOCK.split(";")):
        await shop.run(STOCK, statement)
    try:
        yield shop
    finally:
        await runner.cleanup()
        await ledger.database.close()


def named(checks: tuple[Check, ...]) -> list[str]:
    """Return the names of checks."""
    return [check.name for check in checks]
