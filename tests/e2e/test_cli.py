"""The commands of a day at the terminal, one after the other, as a person types them."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest

from client import ENDED, ApiError, Cart, EdgeClient
from demo import products
from runner import control
from runner import nats as broker
from runner.access import clients
from runner.testing import System
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("system")


class Terminal:
    """Where `florin …` is typed."""

    def __init__(self, system: System) -> None:
        self._environment = control.environment(system.settings)

    def ends(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command's end, whatever it is."""
        return subprocess.run(
            [sys.executable, "-m", "florin_cli", *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def says(self, *words: str) -> Any:
        """What a command that succeeds says as JSON."""
        ended = self.ends(*words, "--json")
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)


@pytest.fixture
async def florin(system: System) -> Terminal:
    """A terminal beside a system with the demo merchant's shelf."""
    async with clients.merchant(system.settings, products.MERCHANT) as merchant:
        await products.put_on_sale(merchant)
    return Terminal(system)


@pytest.fixture
async def buyer(system: System) -> AsyncIterator[EdgeClient]:
    async with clients.buyer(system.settings, f"cus_{uuid.uuid4().hex}") as edge:
        yield edge


def test_a_checkout_is_followed_from_the_order_to_its_payment(florin: Terminal) -> None:
    order = florin.says("checkout", "--sku", "mug-enamel", "--quantity", "2", "--country", "DE")
    assert order["status"] == "COMPLETED"
    assert order["total_amount"] == str(2 * products.MUG.unit_amount)

    assert florin.says("order", "show", order["id"]) == order
    assert florin.says("order", "list", "--customer", order["customer_id"])["orders"][0]["id"] == order["id"]
    payment = florin.says("payment", "show", order["payment_id"])
    assert (payment["status"], payment["amount_captured"]) == ("CAPTURED", order["total_amount"])
    steps = florin.says("order", "timeline", order["id"])["steps"]
    assert (steps[0]["step"], steps[-1]["step"]) == ("order.placed", "order.completed")
    assert florin.says("order", "watch", order["id"]) == order


def test_the_same_key_is_the_same_order(florin: Terminal) -> None:
    key = str(uuid.uuid4())
    first, second = (florin.says("checkout", "--key", key)["id"] for _ in range(2))
    assert first == second


def test_a_checkout_that_fails_ends_the_command_with_1_and_the_reason(florin: Terminal) -> None:
    ended = florin.ends("checkout", "--payment-method", "pm_card_chargeDeclinedInsufficientFunds")
    assert ended.returncode == 1
    assert "FAILED insufficient_funds" in ended.stdout


def test_a_token_of_the_terminal_opens_the_edge(florin: Terminal, system: System) -> None:
    ended = florin.ends("token", "--role", "ops", "--subject", "usr_1")
    assert ended.returncode == 0
    assert ended.stdout.count(".") == 2


def test_an_unknown_order_is_one_line(florin: Terminal) -> None:
    for command in ("show", "timeline", "watch"):
        ended = florin.ends("order", command, "ord_nobody")
        assert ended.returncode == 1
        assert "ORDER_NOT_FOUND" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_the_psp_is_made_slow_and_healthy_again(florin: Terminal) -> None:
    assert florin.says("psp", "set", "latency_ms=1", "webhook.delay_ms=1")["webhook"]["delay_ms"] == 1
    assert florin.says("psp", "reset")["latency_ms"] == 0
    assert florin.says("psp", "stats")["webhooks"]["forged_accepted"] == 0


async def test_the_shelf_is_filled_once(system: System, florin: Terminal) -> None:
    async with clients.merchant(system.settings, products.MERCHANT) as merchant:
        before = await products.put_on_sale(merchant)
        after = await products.put_on_sale(merchant)
    assert [product.version for product in after] == [product.version for product in before]


async def test_a_poison_event_is_buried_replayed_buried_again_and_discarded(
    system: System, florin: Terminal
) -> None:
    event_id = f"evt_poison_{uuid.uuid4().hex}"

    def buried() -> list[dict[str, Any]]:
        letters: list[dict[str, Any]] = florin.says("dlq", "list")
        return [letter for letter in letters if letter["event_id"] == event_id]

    await _publish_poison(system, event_id)
    # The event is for nobody else, and nobody can read it.
    await eventually(lambda: len(buried()) == 1, "the event is buried")
    (letter,) = buried()

    assert florin.ends("dlq", "replay", letter["id"]).returncode == 0
    await eventually(lambda: buried() != [] and buried()[0]["attempts"] > 1, "it failed again")

    assert florin.ends("dlq", "discard", letter["id"]).returncode == 0
    assert buried() == []
    assert florin.says("dlq", "show", letter["id"])["outcome"] == "discarded"
    again = florin.ends("dlq", "replay", letter["id"])
    assert (again.returncode, "discarded already" in again.stderr) == (1, True)


async def test_a_client_is_told_what_is_wrong_with_its_cart(buyer: EdgeClient) -> None:
    cart = Cart(merchant_id=products.MERCHANT, items={"no-such": 0}, currency="EUR")
    with pytest.raises(ApiError) as refused:
        await buyer.checkout(cart)
    assert refused.value.reason == "FIELD_INVALID"
    assert [problem.field for problem in refused.value.fields] == ["items[0].quantity"]


async def test_a_client_waits_until_an_order_has_ended(buyer: EdgeClient, florin: Terminal) -> None:
    cart = Cart(merchant_id=products.MERCHANT, items={products.MUG.sku: 1}, currency="EUR")
    accepted = await buyer.checkout(cart)
    assert accepted.order.status == "PROCESSING"
    order = await buyer.wait_for_order(accepted.order.id)
    assert order.status in ENDED
    assert (await buyer.get_payment(order.payment_id)).amount_captured == order.total_amount


async def _publish_poison(system: System, event_id: str) -> None:
    """Bytes that are no message, to the one service that listens to `order.failed`."""
    client = await nats.connect(broker.url(system.settings))
    headers = {
        "ce-id": event_id,
        "ce-type": "florin.order.failed",
        "ce-source": "order_svc",
        "ce-subject": "order/ord_poison",
        "florin-attempt": "1",
    }
    await client.jetstream().publish("florin.order.order_failed.0", b"\xff\xff", headers=headers)
    await client.close()
