"""What merchants, buyers and the order service get from the gRPC services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from florin.inventory.v1 import inventory_service_pb2 as api
from florin.inventory.v1 import inventory_service_pb2_grpc as stubs
from florin.inventory.v1.inventory_pb2 import Product
from google.rpc import error_details_pb2, status_pb2

from inventory_svc import bootstrap, proof
from inventory_svc.settings import Settings
from kit.runtime.service import Runtime
from tests.conftest import RecordingRuntimeFactory
from tests.integration.inventory_svc.conftest import Shop, placed
from tests.support.databases import ServiceDatabase

Metadata = tuple[tuple[str, str], ...]

BUYER: Metadata = (("x-florin-subject", "buyer-1"), ("x-florin-role", "buyer"))
OPS: Metadata = (("x-florin-subject", "ops-1"), ("x-florin-role", "ops"))


def merchant(merchant_id: str = "mer_1", key: str = "") -> Metadata:
    """Return the metadata of a merchant's call, with an idempotency key if it changes something."""
    who = (
        ("x-florin-subject", f"boss of {merchant_id}"),
        ("x-florin-role", "merchant"),
        ("x-florin-merchant", merchant_id),
    )
    return (*who, ("idempotency-key", key)) if key else who


class Service:
    """The running service, as its callers see it."""

    def __init__(self, runtime: Runtime, channel: grpc.aio.Channel) -> None:
        self.runtime = runtime
        self.shop = Shop(runtime)
        self.inventory = stubs.InventoryServiceStub(channel)
        self.catalogue = stubs.CatalogueServiceStub(channel)

    async def put(
        self, sku: str, *, key: str = "", merchant_id: str = "mer_1", **fields: Any
    ) -> tuple[Product, bool]:
        """Put a product; return it, and whether the answer is an earlier one's."""
        request = api.PutProductRequest(sku=sku, name=sku.title(), unit_amount=1_000, currency="EUR")
        request.MergeFrom(api.PutProductRequest(**fields))
        call = self.inventory.PutProduct(request, metadata=merchant(merchant_id, key or f"put {sku}"))
        product = await call
        return product, ("idempotent-replayed", "true") in tuple(await call.initial_metadata())

    async def adjust(self, sku: str, delta: int, *, key: str) -> Product:
        """Adjust the stock of a product."""
        request = api.AdjustStockRequest(sku=sku, delta=delta, reason="delivery")
        return await self.inventory.AdjustStock(request, metadata=merchant(key=key))

    async def get(self, sku: str, caller: Metadata, merchant_id: str = "") -> Product:
        """Get a product."""
        return await self.inventory.GetProduct(
            api.GetProductRequest(sku=sku, merchant_id=merchant_id), metadata=caller
        )

    async def list(
        self, caller: Metadata, *, token: str = "", size: int = 2, merchant_id: str = ""
    ) -> api.ListProductsResponse:
        """List products."""
        request = api.ListProductsRequest(page_size=size, page_token=token, merchant_id=merchant_id)
        return await self.inventory.ListProducts(request, metadata=caller)


@pytest.fixture
async def service(
    service_runtime: RecordingRuntimeFactory,
    service_database: Callable[[str], ServiceDatabase],
    redis_url: str,
) -> AsyncIterator[Service]:
    """The inventory service on a free port, with a bus that only records."""
    database = service_database(bootstrap.NAME)
    runtime = await service_runtime(bootstrap.NAME, bootstrap.EMITS, database)
    settings = Settings.model_validate(
        {"database_url": database.url, "redis_url": redis_url, "FLORIN_INVENTORY_PORT": 0}
    )
    server = bootstrap.assemble(runtime, settings)
    for opener in runtime.openers:
        await opener()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Service(runtime, channel)
    for close_door in runtime.doors:
        await close_door()


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Return Florin's reason of a refusal."""
    trailers = dict(cast("Iterable[tuple[str, bytes]]", error.trailing_metadata()))
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return str(info.reason)


async def test_a_product_is_made_and_then_replaced_but_for_its_stock(service: Service) -> None:
    made, _ = await service.put("mug")
    assert (made.version, made.available, made.merchant_id) == (1, 0, "mer_1")
    await service.adjust("mug", 5, key="a")
    replaced, _ = await service.put("mug", key="other", name="Cup", unit_amount=999, currency="KWD")
    assert (replaced.name, replaced.unit_amount, replaced.currency) == ("Cup", 999, "KWD")
    assert (replaced.on_hand, replaced.available, replaced.version) == (5, 5, 2)
    assert replaced.create_time == made.create_time
    assert replaced.update_time.ToDatetime() > made.update_time.ToDatetime()


async def test_the_same_key_and_body_have_one_effect_and_one_answer(service: Service) -> None:
    await service.put("mug")
    first = await service.adjust("mug", 5, key="a")
    again = await service.adjust("mug", 5, key="a")
    assert first == again
    assert again.on_hand == 5
    assert await service.put("mug") == ((await service.put("mug"))[0], True)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await service.adjust("mug", 6, key="a")
    assert (refusal.value.code(), reason_of(refusal.value)) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "IDEMPOTENCY_KEY_REUSED",
    )
    assert await service.shop.rows(proof.STOCK_CONSERVED) == []


async def test_a_currency_that_does_not_exist_is_refused_with_its_field(service: Service) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await service.put("mug", currency="XXX")
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(refusal.value) == "CURRENCY_MISMATCH"
    assert "ISO 4217" in (refusal.value.details() or "")


async def test_a_card_number_is_not_kept_as_a_name(service: Service) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await service.put("mug", name="4242 4242 4242 4242")
    assert reason_of(refusal.value) == "CARD_NUMBER_REFUSED"


async def test_reserved_units_cannot_be_removed(service: Service) -> None:
    await service.put("mug")
    await service.adjust("mug", 5, key="a")
    await service.shop.given(placed("ord_1", mug=3))
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await service.adjust("mug", -3, key="b")
    assert refusal.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(refusal.value) == "STOCK_TOO_LOW"
    left = await service.adjust("mug", -2, key="b")
    assert (left.on_hand, left.reserved, left.available) == (3, 3, 0)


async def test_stock_of_an_unknown_product_cannot_be_adjusted(service: Service) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await service.adjust("unicorn", 1, key="a")
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(refusal.value) == "PRODUCT_NOT_FOUND"


async def test_who_may_see_a_product(service: Service) -> None:
    mug, _ = await service.put("mug")
    assert await service.get("mug", merchant()) == mug
    assert await service.get("mug", BUYER, "mer_1") == mug
    assert await service.get("mug", OPS, "mer_1") == mug
    expected = {
        (BUYER, ""): "FIELD_INVALID",
        (OPS, ""): "FIELD_INVALID",
        (BUYER, "mer_2"): "PRODUCT_NOT_FOUND",
        (merchant("mer_2"), ""): "PRODUCT_NOT_FOUND",
        (merchant("mer_2"), "mer_1"): "NOT_YOURS",
        ((), "mer_1"): "UNAUTHENTICATED",
    }
    for (caller, merchant_id), reason in expected.items():
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await service.get("mug", caller, merchant_id)
        assert reason_of(refusal.value) == reason


async def test_two_merchants_may_use_the_same_code(service: Service) -> None:
    await service.put("mug")
    other, _ = await service.put("mug", merchant_id="mer_2", name="Other")
    assert (await service.get("mug", merchant())).name == "Mug"
    assert other.name == "Other"


async def test_pages_follow_each_other_and_end(service: Service) -> None:
    for sku in ("pot", "mug", "tea"):
        await service.put(sku)
    await service.put("mug", merchant_id="mer_2")
    first = await service.list(BUYER, merchant_id="mer_1")
    assert [product.sku for product in first.products] == ["mug", "pot"]
    second = await service.list(BUYER, merchant_id="mer_1", token=first.next_page_token)
    assert [product.sku for product in second.products] == ["tea"]
    assert second.next_page_token == ""


@pytest.mark.parametrize(
    "other_list",
    [
        {"caller": BUYER, "merchant_id": "mer_2"},
        {"caller": merchant("mer_1"), "merchant_id": "mer_1"},
    ],
)
async def test_a_page_token_is_good_for_its_own_list_only(
    service: Service, other_list: dict[str, Any]
) -> None:
    for sku in ("pot", "mug", "tea"):
        await service.put(sku)
    token = (await service.list(BUYER, merchant_id="mer_1")).next_page_token
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await service.list(token=token, **other_list)
    assert reason_of(refusal.value) == "PAGE_TOKEN_INVALID"


async def test_the_order_service_gets_prices_of_what_exists(service: Service) -> None:
    await service.put("mug")
    await service.put("tea", unit_amount=450, currency="USD")
    await service.adjust("mug", 5, key="a")
    keys = [api.ProductKey(merchant_id="mer_1", sku=sku) for sku in ("mug", "tea", "unicorn", "mug")]
    answer = await service.catalogue.BatchGetProducts(api.BatchGetProductsRequest(keys=keys))
    assert sorted(answer.products, key=lambda product: product.sku) == [
        Product(merchant_id="mer_1", sku="mug", name="Mug", unit_amount=1_000, currency="EUR"),
        Product(merchant_id="mer_1", sku="tea", name="Tea", unit_amount=450, currency="USD"),
    ]
