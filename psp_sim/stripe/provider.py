"""Executes the calls of Stripe's API, with the faults it was told to have."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from psp_sim.control.faults import Failure, Fault, Faults
from psp_sim.memory.journal import Journal
from psp_sim.memory.kept_json import kept
from psp_sim.provider import NoAnswer, Reply, Request, json_reply
from psp_sim.stripe import endpoints, three_d_secure
from psp_sim.stripe.endpoints import Command, Query
from psp_sim.stripe.errors import ApiError, internal_error, invalid_request, outage, rate_limited
from psp_sim.stripe.objects.rendering import API_VERSION, AUTHENTICATION_PATH, Document, Renderer
from psp_sim.stripe.objects.rows import Answer, Event, PaymentIntent, Refund
from psp_sim.stripe.objects.store import Change, Store
from psp_sim.stripe.objects.unit_of_work import UnitOfWork, random_id
from psp_sim.stripe.payments import intents, refunds
from psp_sim.stripe.requests import forms, idempotency
from psp_sim.stripe.requests.api_keys import ApiKeys
from psp_sim.stripe.requests.expand import expand
from psp_sim.stripe.requests.forms import Params
from psp_sim.stripe.requests.idempotency import RunningKeys
from psp_sim.stripe.requests.listing import Page
from psp_sim.stripe.signature import HEADERS, Signer
from psp_sim.stripe.tokens import TOKENS
from psp_sim.webhooks import Courier

# What a slow card waits: longer than any sensible caller.
SLOW_S: Final = 10.0
# Stripe's limit.
MAX_KEY_LENGTH: Final = 255
# Deliveries are written together: one lost to a crash is only delivered again.
DELIVERED_FLUSH_S: Final = 0.05

_MANNER_FAULTS: Final = {
    "duplicate": Fault.WEBHOOK_DUPLICATE,
    "late": Fault.WEBHOOK_REORDERED,
    "before_answer": Fault.WEBHOOK_FIRST,
    "never": Fault.WEBHOOK_NEVER,
}

_FAILURES: Final[Mapping[Failure, Callable[[], ApiError]]] = {
    Failure.OUTAGE: outage,
    Failure.RATE_LIMIT: rate_limited,
    Failure.ERROR: internal_error,
}


@dataclass(frozen=True, slots=True)
class Call:
    """A request under the id that its caller is told."""

    id: str
    request: Request
    idempotency_key: str | None

    def reply(self, status: int, body: bytes, *, repeats: str = "") -> Reply:
        """Return the answer; `repeats` is the id of the call whose answer it repeats."""
        headers = {
            "Content-Type": "application/json",
            "Request-Id": self.id,
            "Stripe-Version": self.request.headers.get("Stripe-Version", API_VERSION),
        }
        if self.idempotency_key is not None:
            headers["Idempotency-Key"] = self.idempotency_key
        if repeats:
            headers["Idempotent-Replayed"] = "true"
            headers["Original-Request"] = repeats
        return Reply(status, body, headers)


class StripeProvider:
    """Stripe behind its API. One instance owns one state directory."""

    def __init__(
        self,
        *,
        state_dir: Path,
        public_url: str,
        webhook_url: str,
        webhook_secret: str,
        webhook_events: frozenset[str],
        api_key: str = "",
        seed: int | None = None,
    ) -> None:
        self.faults = Faults(seed)
        self.store = Store()
        self._renderer = Renderer(public_url)
        signer = Signer(webhook_secret, self._renderer)
        self.courier: Courier[Event] = Courier(
            url=webhook_url,
            headers=HEADERS,
            sign=signer.sign,
            forge=signer.forge,
            faults=self.faults,
            on_delivered=self._on_delivered,
        )
        self._journal = Journal(state_dir)
        self._keys = ApiKeys(api_key)
        self._running = RunningKeys(self.store)
        self._subscribed = webhook_events
        self._delivered: list[str] = []

    async def start(self) -> None:
        """Remember everything, and go on with what was left undone."""
        for line in self._journal.lines():
            self.store.apply(Change.decoded(line))
        self._journal.rewrite(change.encoded() for change in self.store.snapshot())
        await self.courier.start()
        for event_id in list(self.store.undelivered):
            event = self.store.events.get(event_id)
            assert event is not None
            self.courier.post(event)
        for refund in self.store.refunds.oldest_first():
            self._settle_later(refund)

    async def stop(self) -> None:
        """Stop delivering and give the state directory up."""
        await self.courier.stop()
        self._flush_delivered()
        self._journal.close()

    async def handle(self, request: Request) -> Reply | NoAnswer:
        """Return the answer to one API call."""
        call = Call(random_id("req"), request, request.headers.get("Idempotency-Key") or None)
        try:
            self._keys.check(request.headers.get("Authorization", ""))
            failure = self.faults.failure()
            if failure is not None:
                raise _FAILURES[failure]()
            endpoint, row_id = endpoints.match(request.method, request.path)
            if isinstance(endpoint, Command):
                reply = await self._command(endpoint, row_id, call)
            else:
                reply = await self._query(endpoint, row_id, call)
        except ApiError as error:
            reply = call.reply(error.status, orjson.dumps(error.body()))
        if self.faults.strikes("drop_response", self.faults.config.drop_response_rate):
            return NoAnswer(held=False)
        return reply

    async def page(self, request: Request) -> Reply | None:
        """Return the answer of the 3-D Secure page, if that is what is asked for."""
        if request.path.startswith(AUTHENTICATION_PATH):
            return await three_d_secure.answer(self, request)
        return None

    def defect(self) -> Reply:
        """Return Stripe's 500."""
        return json_reply(internal_error().body(), status=500)

    async def authenticate(self, intent_id: str, *, passed: bool) -> Document:
        """Return a payment intent after its buyer passed or failed 3-D Secure.

        Raises:
            ApiError: 404, or 400 if it does not wait for an authentication.
        """
        unit = self._unit()
        intent = intents.authenticate(unit, intent_id, passed=passed)
        self._commit(unit.change)
        await self._announce(unit)
        return unit.document(intent)

    def intent(self, intent_id: str) -> PaymentIntent:
        """Return a payment intent. Raises ApiError 404 if there is none."""
        return self._unit().intent(intent_id)

    def stats(self) -> Document:
        """Return the counts of what there is, and of the faults met since the start."""
        counts = self.courier.counts
        return {
            "intents": len(self.store.intents),
            "charges": len(self.store.charges),
            "succeeded": sum(intent.status == "succeeded" for intent in self.store.intents.oldest_first()),
            "refunds": len(self.store.refunds),
            "disputes": len(self.store.disputes),
            "events": len(self.store.events),
            "webhooks": {"pending": len(self.store.undelivered), **asdict(counts)},
            "faults": {str(name): count for name, count in self.faults.counts.items()},
        }

    async def _query(self, query: Query, row_id: str, call: Call) -> Reply:
        params = forms.parse(call.request.query)
        forms.only(params, query.params)
        await self._wait()
        unit = self._unit()
        found = query.run(self.store, params, row_id)
        document = _list(unit, found, call.request.path) if isinstance(found, Page) else unit.document(found)
        expand(document, forms.words(params, "expand"), unit.resolve)
        return call.reply(200, orjson.dumps(document))

    async def _command(self, command: Command, row_id: str, call: Call) -> Reply | NoAnswer:
        request = call.request
        params = forms.parse(request.body)
        forms.only(params, command.params)
        key = call.idempotency_key
        if key is not None and len(key) > MAX_KEY_LENGTH:
            raise invalid_request(f"Idempotency keys have at most {MAX_KEY_LENGTH} characters.")
        if key is not None and self.faults.config.ignore_idempotency_keys:
            self.faults.counts["idempotency_ignored"] += 1
            key = None
        if key is None:
            return await self._execute(command, row_id, params, call, fingerprint="")
        fingerprint = idempotency.fingerprint(request.method, request.path, request.body)
        answer = self._running.begin(key, fingerprint, int(time.time()))
        if answer is not None:
            return call.reply(answer.status, answer.body, repeats=answer.request_id)
        try:
            return await self._execute(command, row_id, params, call, fingerprint=fingerprint)
        finally:
            self._running.end(key)

    async def _execute(
        self, command: Command, row_id: str, params: Params, call: Call, *, fingerprint: str
    ) -> Reply | NoAnswer:
        """Execute a command; its answer is stored if it has a fingerprint to store it under."""
        fault = self._fault(command, row_id, params)
        if fault is Fault.TIMEOUT_BEFORE and self._trips(fault, call.idempotency_key):
            return NoAnswer(held=True)
        if fault is Fault.ERROR_THEN_OK and self._trips(fault, call.idempotency_key):
            raise internal_error()
        await self._wait()
        if fault is Fault.SLOW:
            self.faults.counts[fault] += 1
            await asyncio.sleep(SLOW_S)
        unit = self._unit(request_id=call.id, idempotency_key=call.idempotency_key)
        if fingerprint and self.faults.strikes("stored_error", self.faults.config.stored_error_rate):
            status, body = 500, kept(internal_error().body())
        else:
            status, body = _run(command, unit, params, row_id)
        if fingerprint and call.idempotency_key is not None:
            unit.change.rows.append(
                Answer(call.idempotency_key, unit.now, fingerprint, status, body, call.id)
            )
        self._commit(unit.change)
        await self._announce(unit, before_answer=True)
        if fault is Fault.TIMEOUT_AFTER:
            self.faults.counts[fault] += 1
            return NoAnswer(held=True)
        return call.reply(status, body)

    def _fault(self, command: Command, row_id: str, params: Params) -> Fault | None:
        """Return the fault of the payment method that a command is about to try, if it has one."""
        if not command.confirms:
            return None
        method = params.get("payment_method")
        if row_id and not method:
            intent = self.store.intents.get(row_id)
            method = intent.payment_method if intent is not None else None
        elif not row_id and params.get("confirm") != "true":
            return None
        token = TOKENS.get(method) if isinstance(method, str) else None
        return token.fault if token is not None else None

    def _trips(self, fault: Fault, key: str | None) -> bool:
        """Tell whether a one-time fault strikes now: at the first attempt under each key."""
        if key is not None:
            if self.store.has_tripped(key):
                return False
            self._commit(Change(tripped=[key]))
        self.faults.counts[fault] += 1
        return True

    async def _wait(self) -> None:
        latency_s = self.faults.latency_s()
        if latency_s:
            await asyncio.sleep(latency_s)

    def _unit(self, request_id: str | None = None, idempotency_key: str | None = None) -> UnitOfWork:
        return UnitOfWork(
            self.store,
            self._renderer,
            subscribed=self._subscribed,
            now_ms=time.time_ns() // 1_000_000,
            request_id=request_id,
            idempotency_key=idempotency_key,
            delivers=self._delivers,
        )

    def _delivers(self) -> bool:
        return not self.faults.strikes("webhook_dropped", self.faults.config.webhook.drop_rate)

    def _commit(self, change: Change) -> None:
        """Write a change, then believe it. If it cannot be written, nothing has happened."""
        if self._delivered:
            change.delivered, self._delivered = self._delivered, []
        if not change:
            return
        try:
            self._journal.append(change.encoded())
        except OSError:
            # Deliveries have happened all the same: they are written with the next change.
            self._delivered = change.delivered + self._delivered
            raise
        self.store.apply(change)

    async def _announce(self, unit: UnitOfWork, *, before_answer: bool = False) -> None:
        """Send the events of a committed unit on their way, and start what has to happen later."""
        for row in unit.change.rows:
            if isinstance(row, Refund):
                self._settle_later(row)
        for event in unit.events:
            if event.manner:
                self.faults.counts[_MANNER_FAULTS[event.manner]] += 1
            if not event.awaits_delivery:
                continue
            if before_answer and event.manner == "before_answer":
                await self.courier.post_now(event)
            else:
                self.courier.post(event)

    def _settle_later(self, refund: Refund) -> None:
        if refund.settles_at_ms is not None:
            wait_s = max(0.0, refund.settles_at_ms / 1000 - time.time())
            asyncio.get_running_loop().call_later(wait_s, self._settle, refund.id)

    def _settle(self, refund_id: str) -> None:
        unit = self._unit()
        refunds.settle(unit, refund_id)
        self._commit(unit.change)
        for event in unit.events:
            self.courier.post(event)

    def _on_delivered(self, event_id: str) -> None:
        if not self._delivered:
            asyncio.get_running_loop().call_later(DELIVERED_FLUSH_S, self._flush_delivered)
        self._delivered.append(event_id)

    def _flush_delivered(self) -> None:
        self._commit(Change())


def _run(command: Command, unit: UnitOfWork, params: Params, row_id: str) -> tuple[int, bytes]:
    """Return the status and body of an executed command.

    Raises:
        ApiError: for a refusal that came before anything was done; the unit is to be dropped.
    """
    try:
        row = command.run(unit, params, row_id)
    except ApiError as error:
        if not error.executed:
            raise
        return error.status, kept(error.body())
    paths = forms.words(params, "expand")
    if paths:
        return 200, kept(expand(unit.document(row), paths, unit.resolve))
    return 200, unit.encoded(row)


def _list(unit: UnitOfWork, page: Page, path: str) -> Document:
    document: dict[str, Any] = {
        "object": "list",
        "data": [unit.document(row) for row in page.rows],
        "has_more": page.has_more,
        "url": path,
    }
    if path.endswith("/search"):
        document |= {"object": "search_result", "next_page": page.next_page}
    return document
