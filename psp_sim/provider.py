"""The payment service provider: executes API calls, with the faults it was told to have."""

import asyncio
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from psp_sim import endpoints, forms, idempotency, intents, refunds
from psp_sim.api_keys import ApiKeys
from psp_sim.encoding import kept
from psp_sim.endpoints import Command, Query
from psp_sim.errors import ApiError, internal_error, invalid_request
from psp_sim.expand import expand
from psp_sim.faults import Faults
from psp_sim.forms import Params
from psp_sim.idempotency import RunningKeys
from psp_sim.journal import Journal
from psp_sim.listing import Page
from psp_sim.objects import Document, Renderer
from psp_sim.records import Answer, PaymentIntent, Refund
from psp_sim.store import Change, Store
from psp_sim.tokens import TOKENS, Fault
from psp_sim.unit import Unit, random_id
from psp_sim.webhooks import Courier

log = structlog.get_logger()

# Past the deadline of any sensible caller.
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


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One call of the API, free of HTTP's machinery."""

    method: str
    path: str
    query: str = ""
    body: str = ""
    authorization: str = ""
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a call."""

    status: int
    body: bytes
    request_id: str
    # The request id of the first answer, if this one repeats it.
    original_request: str | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The caller is to hear nothing: at once, or after waiting as long as it likes."""

    held: bool


class Provider:
    """The provider behind its API. One instance owns one state directory."""

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
        self.courier = Courier(
            url=webhook_url,
            secret=webhook_secret,
            renderer=self._renderer,
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

    async def handle(self, request: ApiRequest) -> Reply | NoAnswer:
        """Return the answer to one API call."""
        request_id = random_id("req")
        try:
            self._keys.check(request.authorization)
            refusal = self.faults.refusal()
            if refusal is not None:
                raise refusal
            endpoint, row_id = endpoints.match(request.method, request.path)
            if isinstance(endpoint, Command):
                reply = await self._command(endpoint, row_id, request, request_id)
            else:
                reply = await self._query(endpoint, row_id, request, request_id)
        except ApiError as error:
            reply = Reply(error.status, orjson.dumps(error.body()), request_id)
        if self.faults.strikes("drop_response", self.faults.config.drop_response_rate):
            return NoAnswer(held=False)
        return reply

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

    async def _query(self, query: Query, row_id: str, request: ApiRequest, request_id: str) -> Reply:
        params = forms.parse(request.query)
        forms.only(params, query.params)
        await self._wait()
        unit = self._unit()
        found = query.run(self.store, params, row_id)
        document = _list(unit, found, request.path) if isinstance(found, Page) else unit.document(found)
        expand(document, forms.words(params, "expand"), unit.resolve)
        return Reply(200, orjson.dumps(document), request_id)

    async def _command(
        self, command: Command, row_id: str, request: ApiRequest, request_id: str
    ) -> Reply | NoAnswer:
        params = forms.parse(request.body)
        forms.only(params, command.params)
        key = request.idempotency_key
        if key is not None and len(key) > MAX_KEY_LENGTH:
            raise invalid_request(f"Idempotency keys have at most {MAX_KEY_LENGTH} characters.")
        if key is not None and self.faults.config.ignore_idempotency_keys:
            self.faults.counts["idempotency_ignored"] += 1
            key = None
        if key is None:
            return await self._execute(command, row_id, params, request, request_id, fingerprint="")
        fingerprint = idempotency.fingerprint(request.method, request.path, request.body)
        answer = self._running.begin(key, fingerprint, int(time.time()))
        if answer is not None:
            return Reply(answer.status, answer.body, request_id, answer.request_id)
        try:
            return await self._execute(command, row_id, params, request, request_id, fingerprint=fingerprint)
        finally:
            self._running.end(key)

    async def _execute(
        self,
        command: Command,
        row_id: str,
        params: Params,
        request: ApiRequest,
        request_id: str,
        *,
        fingerprint: str,
    ) -> Reply | NoAnswer:
        """Execute a command; its answer is stored if it has a fingerprint to store it under."""
        fault = self._fault(command, row_id, params)
        if fault is Fault.TIMEOUT_BEFORE and self._trips(fault, request.idempotency_key):
            return NoAnswer(held=True)
        if fault is Fault.ERROR_THEN_OK and self._trips(fault, request.idempotency_key):
            raise internal_error()
        await self._wait()
        if fault is Fault.SLOW:
            self.faults.counts[fault] += 1
            await asyncio.sleep(SLOW_S)
        unit = self._unit(request_id=request_id, idempotency_key=request.idempotency_key)
        status, body = _run(command, unit, params, row_id)
        if fingerprint and request.idempotency_key is not None:
            unit.change.rows.append(
                Answer(request.idempotency_key, unit.now, fingerprint, status, body, request_id)
            )
        self._commit(unit.change)
        await self._announce(unit, before_answer=True)
        if fault is Fault.TIMEOUT_AFTER:
            self.faults.counts[fault] += 1
            return NoAnswer(held=True)
        return Reply(status, body, request_id)

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

    def _unit(self, request_id: str | None = None, idempotency_key: str | None = None) -> Unit:
        return Unit(
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

    async def _announce(self, unit: Unit, *, before_answer: bool = False) -> None:
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


def _run(command: Command, unit: Unit, params: Params, row_id: str) -> tuple[int, bytes]:
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


def _list(unit: Unit, page: Page, path: str) -> Document:
    document: dict[str, Any] = {
        "object": "list",
        "data": [unit.document(row) for row in page.rows],
        "has_more": page.has_more,
        "url": path,
    }
    if path.endswith("/search"):
        document |= {"object": "search_result", "next_page": page.next_page}
    return document
