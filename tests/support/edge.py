"""A real Envoy before fake services: what the edge does can be seen from both of its sides."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
from florin.inventory.v1 import inventory_pb2, inventory_service_pb2, inventory_service_pb2_grpc
from florin.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from florin.payment.v1 import payment_pb2, payment_service_pb2, payment_service_pb2_grpc
from google.api import httpbody_pb2
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from joserfc import jwt
from joserfc.jwk import ECKey

from edge import EdgeSettings, Endpoint, envoy_command, write_config
from kit.runtime.health import Health
from roster import ROSTER
from tests.support.waiting import eventually

# Envoy is up in half a second; a machine that runs other suites beside this one gets time.
START_DEADLINE_S = 20.0

# The least a checkout consists of.
CART = {"merchant_id": "mer_demo", "items": [{"sku": "mug", "quantity": 2}], "currency": "EUR"}
# Small, so that tests reach them soon.
REQUEST_TIMEOUT_S = 1.0
MAX_REQUEST_BYTES = 64 * 1024

# Ports that the system chooses.
ANYWHERE = Endpoint("127.0.0.1", 0, 0)

Metadata = tuple[tuple[str, str | bytes], ...]
Context = aio.ServicerContext[Message, Message]


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a fake service refuses: the status, its details, and what it sets beside them."""

    code: grpc.StatusCode
    message: str
    details: tuple[Message, ...] = ()
    metadata: Metadata = ()
    # As a service that has sent headers before it fails.
    after_headers: bool = False


@dataclass(slots=True)
class Shop:
    """All services at once. Remembers what reached them; answers well unless told to refuse."""

    calls: list[tuple[str, Message, dict[str, str | bytes]]] = field(default_factory=list)
    _refusal: Refusal | None = None
    _mistake: Exception | None = None
    _delay_s: float = 0.0
    # Asked at a port of its own; whatever it says, calls are answered.
    health: Health = field(default_factory=lambda: Health([]))

    @contextmanager
    def refusing(self, refusal: Refusal) -> Iterator[None]:
        """Every call is refused while the block runs."""
        self._refusal = refusal
        try:
            yield
        finally:
            self._refusal = None

    @contextmanager
    def mistaken(self, mistake: Exception) -> Iterator[None]:
        """Every call runs into a mistake of the service's own while the block runs."""
        self._mistake = mistake
        try:
            yield
        finally:
            self._mistake = None

    @contextmanager
    def dawdling(self, delay_s: float) -> Iterator[None]:
        """Every call takes `delay_s` while the block runs."""
        self._delay_s = delay_s
        try:
            yield
        finally:
            self._delay_s = 0.0

    @property
    def last_request(self) -> Message:
        """The request of the last call."""
        return self.calls[-1][1]

    @property
    def last_metadata(self) -> dict[str, str | bytes]:
        """The metadata of the last call."""
        return self.calls[-1][2]

    async def answer(self, rpc: str, request: Message, context: Context, metadata: Metadata = ()) -> None:
        """Record the call, and refuse it or set `metadata` for its answer."""
        received = dict(context.invocation_metadata() or ())
        self.calls.append((rpc, request, received))
        await asyncio.sleep(self._delay_s)
        if self._mistake is not None:
            raise self._mistake
        if self._refusal is None:
            await context.send_initial_metadata((("x-correlation-id", "of-the-service"), *metadata))
            return
        if self._refusal.after_headers:
            await context.send_initial_metadata((("x-correlation-id", "of-the-service"),))
        await refuse(context, self._refusal)


async def refuse(context: Context, refusal: Refusal) -> None:
    """End the call as the services do: `google.rpc.Status` packed into the trailers."""
    packed = []
    for detail in refusal.details:
        wrapped = any_pb2.Any()
        wrapped.Pack(detail)
        packed.append(wrapped)
    status = status_pb2.Status(code=refusal.code.value[0], message=refusal.message, details=packed)
    trailers = (("grpc-status-details-bin", status.SerializeToString()), *refusal.metadata)
    await context.abort(refusal.code, refusal.message, trailing_metadata=trailers)


class FakeOrders(order_service_pb2_grpc.OrderServiceServicer):
    """Takes every checkout, knows every order."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    async def CreateCheckout(
        self, request: order_service_pb2.CreateCheckoutRequest, context: Context
    ) -> order_pb2.Order:
        metadata = (("x-http-status", "202"), ("idempotent-replayed", "true"))
        await self._shop.answer("CreateCheckout", request, context, metadata)
        return order_pb2.Order(id="ord_1", status=order_pb2.Order.PROCESSING, total_amount=1999)

    async def GetOrder(self, request: order_service_pb2.GetOrderRequest, context: Context) -> order_pb2.Order:
        await self._shop.answer("GetOrder", request, context)
        return order_pb2.Order(id=request.id, status=order_pb2.Order.COMPLETED)

    async def ListOrders(
        self, request: order_service_pb2.ListOrdersRequest, context: Context
    ) -> order_service_pb2.ListOrdersResponse:
        await self._shop.answer("ListOrders", request, context)
        return order_service_pb2.ListOrdersResponse()

    async def GetOrderTimeline(
        self, request: order_service_pb2.GetOrderTimelineRequest, context: Context
    ) -> order_service_pb2.OrderTimeline:
        await self._shop.answer("GetOrderTimeline", request, context)
        return order_service_pb2.OrderTimeline(order_id=request.id)

    async def WatchOrder(
        self, request: order_service_pb2.WatchOrderRequest, context: Context
    ) -> AsyncIterator[order_pb2.Order]:
        await self._shop.answer("WatchOrder", request, context)
        yield order_pb2.Order(id=request.id, status=order_pb2.Order.PROCESSING)
        yield order_pb2.Order(id=request.id, status=order_pb2.Order.COMPLETED)


class FakeInventory(inventory_service_pb2_grpc.InventoryServiceServicer):
    """Has every product."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    async def GetProduct(
        self, request: inventory_service_pb2.GetProductRequest, context: Context
    ) -> inventory_pb2.Product:
        await self._shop.answer("GetProduct", request, context)
        return inventory_pb2.Product(sku=request.sku)

    async def ListProducts(
        self, request: inventory_service_pb2.ListProductsRequest, context: Context
    ) -> inventory_service_pb2.ListProductsResponse:
        await self._shop.answer("ListProducts", request, context)
        return inventory_service_pb2.ListProductsResponse()

    async def PutProduct(
        self, request: inventory_service_pb2.PutProductRequest, context: Context
    ) -> inventory_pb2.Product:
        await self._shop.answer("PutProduct", request, context)
        return inventory_pb2.Product(sku=request.sku, unit_amount=request.unit_amount)

    async def AdjustStock(
        self, request: inventory_service_pb2.AdjustStockRequest, context: Context
    ) -> inventory_pb2.Product:
        await self._shop.answer("AdjustStock", request, context)
        return inventory_pb2.Product(sku=request.sku, on_hand=request.delta)


class FakePayments(payment_service_pb2_grpc.PaymentServiceServicer):
    """Knows every payment."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    async def GetPayment(
        self, request: payment_service_pb2.GetPaymentRequest, context: Context
    ) -> payment_pb2.Payment:
        await self._shop.answer("GetPayment", request, context)
        return payment_pb2.Payment(id=request.id)

    async def DecidePayment(
        self, request: payment_service_pb2.DecidePaymentRequest, context: Context
    ) -> payment_pb2.Payment:
        await self._shop.answer("DecidePayment", request, context)
        return payment_pb2.Payment(id=request.id, status=request.outcome)


class FakeWebhooks(payment_service_pb2_grpc.WebhookServiceServicer):
    """Takes every webhook."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    async def ReceiveStripeWebhook(
        self, request: httpbody_pb2.HttpBody, context: Context
    ) -> payment_service_pb2.ReceiveStripeWebhookResponse:
        await self._shop.answer("ReceiveStripeWebhook", request, context)
        return payment_service_pb2.ReceiveStripeWebhookResponse()


@contextlib.asynccontextmanager
async def serving(
    shop: Shop, *, at: Endpoint = ANYWHERE, interceptors: Sequence[Any] = ()
) -> AsyncIterator[Endpoint]:
    """All fake services on one port, healthy; 0 is a free one."""
    server = aio.server(interceptors=interceptors)
    order_service_pb2_grpc.add_OrderServiceServicer_to_server(FakeOrders(shop), server)
    inventory_service_pb2_grpc.add_InventoryServiceServicer_to_server(FakeInventory(shop), server)
    payment_service_pb2_grpc.add_PaymentServiceServicer_to_server(FakePayments(shop), server)
    payment_service_pb2_grpc.add_WebhookServiceServicer_to_server(FakeWebhooks(shop), server)
    port = server.add_insecure_port(f"{at.host}:{at.port}")
    await server.start()
    shop.health.phase = ""
    async with shop.health.answering(at.host, at.health_port or 0) as health_port:
        try:
            yield Endpoint(at.host, port, health_port)
        finally:
            await server.stop(grace=0)


@contextlib.asynccontextmanager
async def breaking(service: Endpoint) -> AsyncIterator[Endpoint]:
    """A way to a service whose connections break at the end of the block, as at the death of a process."""
    writers: list[asyncio.StreamWriter] = []
    async with asyncio.TaskGroup() as lines:

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(65_536):
                    writer.write(data)
                    await writer.drain()

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection(service.host, service.port)
            writers.extend((writer, back))
            lines.create_task(carry(reader, back))
            lines.create_task(carry(there, writer))

        door = await asyncio.start_server(connect, "127.0.0.1")
        try:
            host, port = door.sockets[0].getsockname()
            yield Endpoint(host, port, service.health_port)
        finally:
            door.close()
            for writer in writers:
                writer.transport.abort()


class Tokens:
    """Signs callers' tokens with a key of its own."""

    def __init__(self) -> None:
        self._key = ECKey.generate_key("P-256", parameters={"kid": "test", "alg": "ES256", "use": "sig"})

    @property
    def jwks(self) -> str:
        """The public half, as Envoy reads it."""
        return json.dumps({"keys": [self._key.as_dict(private=False)]})

    def token(self, **claims: object) -> str:
        """A buyer's token, except for what `claims` say."""
        now = int(time.time())
        default = {
            "iss": "florin",
            "aud": "florin-edge",
            "sub": "buyer_1",
            "role": "buyer",
            "exp": now + 600,
        }
        return jwt.encode({"alg": "ES256", "kid": "test"}, default | claims, self._key)

    def bearer(self, **claims: object) -> dict[str, str]:
        """The header that carries `token`."""
        return {"authorization": f"Bearer {self.token(**claims)}"}


class Buyer:
    """Calls REST with a buyer's token."""

    def __init__(self, session: aiohttp.ClientSession, tokens: Tokens) -> None:
        self._session = session
        self.tokens = tokens

    async def call(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        token: bool = True,
        **body: Any,
    ) -> tuple[int, dict[str, str], Any]:
        """The status, the headers by lower-case name, and the JSON of the answer."""
        sent = (self.tokens.bearer() if token else {}) | (headers or {})
        async with self._session.request(method, path, headers=sent, **body) as answer:
            text = await answer.text()
            received = {name.lower(): value for name, value in answer.headers.items()}
            # Server-sent events and pages of Envoy's own are left as they are.
            is_json = received.get("content-type") == "application/json"
            return answer.status, received, json.loads(text) if is_json else text


@dataclass(frozen=True, slots=True)
class Edge:
    """A running Envoy."""

    settings: EdgeSettings
    port: int
    admin: str

    @property
    def url(self) -> str:
        """Where REST callers go."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def target(self) -> str:
        """Where gRPC callers go."""
        return f"127.0.0.1:{self.port}"


def settings_for(data_dir: Path, services: Endpoint, **others: Any) -> EdgeSettings:
    """An edge before one set of fake services, on ports the system chooses."""
    defaults: dict[str, Any] = {
        "edge_port": 0,
        "admin_port": 0,
        "upstreams": dict.fromkeys(ROSTER.processes, (services,)),
        "request_timeout_s": REQUEST_TIMEOUT_S,
        "max_request_bytes": MAX_REQUEST_BYTES,
        "cors_origins": ("https://shop.example",),
    }
    return EdgeSettings(data_dir=data_dir, **(defaults | others))


@contextlib.asynccontextmanager
async def running_edge(settings: EdgeSettings, jwks: str) -> AsyncIterator[Edge]:
    """Envoy with these settings, ready. Ports 0 are chosen by the system, so runs never collide."""
    settings.jwks.parent.mkdir(parents=True, exist_ok=True)
    settings.jwks.write_text(jwks)
    write_config(settings)
    address_file = settings.data_dir / "admin-address"
    log_path = settings.data_dir / "envoy.log"
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *envoy_command(settings),
            "--admin-address-path",
            str(address_file),
            stdout=log,
            stderr=log,
        )
    try:
        admin = await _until_ready(process, address_file, log_path)
        yield Edge(settings, await _edge_port(admin), admin)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _until_ready(process: asyncio.subprocess.Process, address_file: Path, log: Path) -> str:
    async with aiohttp.ClientSession() as session:

        async def is_ready() -> bool:
            assert process.returncode is None, f"Envoy ended:\n{_text(log)[-4000:]}"
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"http://{_text(address_file)}/ready") as answer:
                    return answer.status == 200
            return False

        await eventually(is_ready, "Envoy is ready", deadline_s=START_DEADLINE_S)
    return f"http://{_text(address_file)}"


def _text(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


async def _edge_port(admin: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{admin}/listeners?format=json") as answer,
    ):
        listeners = (await answer.json(content_type=None))["listener_statuses"]
    port: int = listeners[0]["local_address"]["socket_address"]["port_value"]
    return port


def reason_of(error: Any) -> str:
    """The reason of an error answer that has the shape of the contract."""
    assert set(error) == {"code", "message", "details"}
    info = error["details"][0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["domain"] == "florin"
    return str(info["reason"])


def error_info(reason: str, **metadata: str) -> error_details_pb2.ErrorInfo:
    """The detail that every error of ours carries."""
    return error_details_pb2.ErrorInfo(reason=reason, domain="florin", metadata=metadata)
