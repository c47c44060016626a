"""The buyers of the scenarios: they go through the edge, and what came of it is looked up."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Final

from client import ApiError, Cart, EdgeClient, Order, PspSimulator, StillOpen
from demo.products import MERCHANT
from demo.results import Checkout, ScenarioResult
from demo.scenarios import Action, PspState, Scenario
from proof import Money
from runner.access import clients
from runner.access.audit import audit_of
from runner.settings import Settings

# Several times what a PSP that hangs up costs (5 s, and the look-up).
ORDER_DEADLINE_S: Final = 45.0

# A request that runs into its own twin is told to come again; far more often than it needs.
_MAX_REPEATS: Final = 50
_REPEAT_AFTER_S: Final = 0.1

# What the PSP's simulator is told, to be so.
_PSP_CONFIG: Final[dict[PspState, dict[str, Any]]] = {
    PspState.NORMAL: {},
    PspState.WEBHOOKS_LOST: {"webhook": {"drop_rate": 1.0}},
}

# Called with the number of buyers who are done since the last call.
Progress = Callable[[int], None]


def count(scenarios: Collection[Scenario]) -> int:
    """How many buyers `run_scenarios` will report."""
    return sum(scenario.times for scenario in scenarios)


async def run_scenarios(
    settings: Settings, scenarios: Sequence[Scenario], *, on_progress: Progress = lambda _: None
) -> list[ScenarioResult]:
    """What came of each scenario; those with the PSP in one state run at the same time."""
    checkouts: dict[str, list[Checkout]] = {}
    async with clients.psp(settings) as psp:
        for state in PspState:
            running = [scenario for scenario in scenarios if scenario.psp is state]
            await psp.change(_PSP_CONFIG[state])
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = {
                        scenario.slug: group.create_task(_run(settings, psp, scenario, on_progress))
                        for scenario in running
                    }
            finally:
                await psp.reset()
            checkouts |= {slug: task.result() for slug, task in tasks.items()}
    charges = await _charges_by_order(settings)
    return [await _result(settings, scenario, checkouts[scenario.slug], charges) for scenario in scenarios]


async def _charges_by_order(settings: Settings) -> Counter[str]:
    """How often money was taken for each order, by the PSP's own list."""
    pages = audit_of(settings).psp.pages()
    return Counter(
        [charge.order_id async for page in pages for charge in page if charge.money is Money.TAKEN]
    )


async def _result(
    settings: Settings, scenario: Scenario, checkouts: Sequence[Checkout], charges: Counter[str]
) -> ScenarioResult:
    """Asks edge and PSP what they have, instead of believing the answers alone."""
    async with clients.buyer(settings, _customer(scenario)) as edge:
        orders = (await edge.list_orders(page_size=100)).orders
    charged = sum(charges[order.id] for order in orders)
    return ScenarioResult(scenario, tuple(checkouts), orders=len(orders), charges=charged)


async def _run(
    settings: Settings, psp: PspSimulator, scenario: Scenario, on_progress: Progress
) -> list[Checkout]:
    async with clients.buyer(settings, _customer(scenario)) as edge:
        if scenario.action is Action.BUY_WITH_ONE_KEY:
            checkouts = await _buy_with_one_key(edge, scenario)
            on_progress(scenario.times)
            return checkouts

        async def buy(index: int) -> list[Checkout]:
            done = await _one_buyer(edge, psp, scenario, index)
            on_progress(1)
            return done

        # A group, so that a demo that is interrupted leaves no buyer behind.
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(buy(index)) for index in range(scenario.times)]
        return [checkout for task in tasks for checkout in task.result()]


async def _one_buyer(edge: EdgeClient, psp: PspSimulator, scenario: Scenario, index: int) -> list[Checkout]:
    cart, key = _cart(scenario, index), str(uuid.uuid4())
    match scenario.action:
        case Action.BUY | Action.BUY_WITH_ONE_KEY:
            return [await _timed(_buy(edge, cart, key))]
        case Action.BUY_AND_CONFIRM:
            return [await _timed(_buy_and_authenticate(edge, psp, cart, key, passed=True))]
        case Action.BUY_AND_FAIL_TO_CONFIRM:
            return [await _timed(_buy_and_authenticate(edge, psp, cart, key, passed=False))]
        case Action.REUSE_KEY:
            larger = replace(cart, items={sku: quantity + 1 for sku, quantity in cart.items.items()})
            return [await _timed(_buy(edge, cart, key)), await _timed(_buy(edge, larger, key))]
        case Action.SEND_NO_KEY:
            return [await _timed(_send_without_key(edge, cart))]
        case Action.EXPECT_ANOTHER_PRICE:
            return [await _timed(_buy(edge, replace(cart, expected_total_amount=1), key))]


async def _timed(ending: Awaitable[Order]) -> Checkout:
    """How one checkout ends, whatever that is."""
    began_at = time.monotonic()
    order: Order | None = None
    try:
        order = await ending
        outcome = order.outcome
    except ApiError as error:
        outcome = f"{error.http_status or 'no answer'} {error.reason}"
    except StillOpen as error:
        outcome = f"still open: {error}"
    return Checkout(outcome, time.monotonic() - began_at, order)


async def _buy(edge: EdgeClient, cart: Cart, key: str) -> Order:
    accepted = await _send(edge, cart, key)
    return await edge.wait_for_order(accepted.id, deadline_s=ORDER_DEADLINE_S)


async def _send(edge: EdgeClient, cart: Cart, key: str) -> Order:
    """Sends a cart as a good client does: again, with the same key, when it is told to."""
    for _ in range(_MAX_REPEATS):
        try:
            return (await edge.checkout(cart, key=key)).order
        except ApiError as error:
            if not error.is_transient:
                raise
            await asyncio.sleep(error.retry_after_s or _REPEAT_AFTER_S)
    return (await edge.checkout(cart, key=key)).order


async def _buy_and_authenticate(
    edge: EdgeClient, psp: PspSimulator, cart: Cart, key: str, *, passed: bool
) -> Order:
    accepted = await _send(edge, cart, key)
    waiting = await edge.wait_for_order(accepted.id, until=("REQUIRES_ACTION",), deadline_s=ORDER_DEADLINE_S)
    if waiting.redirect_url:
        await psp.authenticate(waiting.redirect_url, passed=passed)
    return await edge.wait_for_order(accepted.id, deadline_s=ORDER_DEADLINE_S)


async def _buy_with_one_key(edge: EdgeClient, scenario: Scenario) -> list[Checkout]:
    """One checkout if all answers are equal, as they have to be; else one for each different answer."""
    cart, key = _cart(scenario, 0), str(uuid.uuid4())
    answers = await asyncio.gather(
        *(_send(edge, cart, key) for _ in range(scenario.times)), return_exceptions=True
    )
    different: dict[str, Checkout] = {}
    for answer in answers:
        told = repr(answer) if isinstance(answer, BaseException) else json.dumps(dict(answer.document))
        if told not in different:
            different[told] = await _timed(_end_of(edge, answer))
    return list(different.values())


async def _end_of(edge: EdgeClient, answer: Order | BaseException) -> Order:
    if isinstance(answer, BaseException):
        raise answer
    return await edge.wait_for_order(answer.id, deadline_s=ORDER_DEADLINE_S)


async def _send_without_key(edge: EdgeClient, cart: Cart) -> Order:
    return Order.from_json((await edge.send_checkout(cart.document(), key=None)).json())


def _cart(scenario: Scenario, index: int) -> Cart:
    basket = scenario.baskets[index % len(scenario.baskets)]
    return Cart(
        merchant_id=MERCHANT,
        items=basket.quantities,
        currency=basket.currency,
        payment_method_id=scenario.payment_method_id,
        country=basket.country,
        attribution={"campaign": "demo", "scenario": scenario.slug},
    )


def _customer(scenario: Scenario) -> str:
    """Each scenario has a buyer of its own, so that its orders can be told from all others."""
    return f"cus_{scenario.slug}"
