"""What decides nothing, and what means that nothing happened."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from payment_svc.adapters.stripe.gateway import StripeGateway
from payment_svc.application.ports import PspUnavailable, PspUndecided
from payment_svc.domain.payment import Source, Status
from tests.contract.psp_sim.shop import Shop
from tests.contract.stripe_adapter.payments import IMPATIENT_S, fresh, gateway_to, intents_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_no_answer_after_charging_is_found_by_a_look_up(
    impatient: StripeGateway, gateway: StripeGateway, shop: Shop
) -> None:
    wanted = fresh("pm_sim_timeout_after")
    with pytest.raises(PspUndecided):
        await impatient.charge(wanted)
    found = await gateway.find(wanted)
    assert found is not None
    assert (found.status, found.amount_captured) == (Status.CAPTURED, wanted.amount)
    assert await gateway.charge(wanted) == replace(found, source=Source.ANSWER)
    assert len(await intents_of(shop, wanted)) == 1


async def test_no_answer_without_charging_is_not_found_and_may_be_charged(
    impatient: StripeGateway, gateway: StripeGateway, shop: Shop
) -> None:
    wanted = fresh("pm_sim_timeout_before")
    with pytest.raises(PspUndecided):
        await impatient.charge(wanted)
    assert await gateway.find(wanted) is None
    assert (await gateway.charge(wanted)).status is Status.CAPTURED
    assert len(await intents_of(shop, wanted)) == 1


async def test_a_server_error_decides_nothing(gateway: StripeGateway, shop: Shop) -> None:
    wanted = fresh("pm_sim_error_then_ok")
    with pytest.raises(PspUndecided):
        await gateway.charge(wanted)
    assert (await gateway.charge(wanted)).status is Status.CAPTURED
    assert len(await intents_of(shop, wanted)) == 1


async def test_a_key_in_use_decides_nothing_and_charges_once(
    impatient: StripeGateway, gateway: StripeGateway, shop: Shop
) -> None:
    """The first call still runs when the look-up finds nothing: 409 `idempotency_key_in_use`."""
    wanted = fresh("pm_sim_slow")
    with pytest.raises(PspUndecided):
        await impatient.charge(wanted)
    assert await gateway.find(wanted) is None
    with pytest.raises(PspUndecided, match="409"):
        await gateway.charge(wanted)

    async def is_found() -> bool:
        return await gateway.find(wanted) is not None

    await eventually(is_found, "the slow charge is done")
    assert len(await intents_of(shop, wanted)) == 1


async def test_an_answer_that_is_cut_off_is_found_by_a_look_up(gateway: StripeGateway, shop: Shop) -> None:
    wanted = fresh()
    await shop.configure(drop_response_rate=1.0)
    with pytest.raises(PspUndecided):
        await gateway.charge(wanted)
    with pytest.raises(PspUndecided):
        await gateway.find(wanted)
    await shop.control("POST", "reset")
    found = await gateway.find(wanted)
    assert found is not None
    assert found.status is Status.CAPTURED


async def test_an_outage_decides_nothing_and_ends(gateway: StripeGateway, shop: Shop) -> None:
    wanted = fresh()
    await shop.configure(outage=True)
    for call in (gateway.charge, gateway.find):
        with pytest.raises(PspUndecided, match="503"):
            await call(wanted)
    await shop.control("POST", "reset")
    assert (await gateway.charge(wanted)).status is Status.CAPTURED


async def test_too_many_requests_means_that_nothing_happened(gateway: StripeGateway, shop: Shop) -> None:
    wanted = fresh()
    await shop.configure(rate_limit_rate=1.0)
    for call in (gateway.charge, gateway.find):
        with pytest.raises(PspUnavailable):
            await call(wanted)
    await shop.control("POST", "reset")
    assert await intents_of(shop, wanted) == []


async def test_a_wrong_key_means_that_nothing_happened(shop: Shop) -> None:
    stranger = gateway_to(shop.simulator.base_url, api_key="rk_nobody")
    try:
        with pytest.raises(PspUnavailable):
            await stranger.charge(fresh())
    finally:
        await stranger.close()


async def test_a_psp_that_is_not_there_decides_nothing() -> None:
    # Port 9 is discard: nothing listens there.
    gone = gateway_to("http://127.0.0.1:9", timeout_s=IMPATIENT_S)
    try:
        with pytest.raises(PspUndecided):
            await gone.charge(fresh())
        with pytest.raises(PspUndecided):
            await gone.find(fresh())
    finally:
        await gone.close()


async def test_a_hundred_payments_at_once_are_a_hundred_charges(gateway: StripeGateway, shop: Shop) -> None:
    payments = [fresh() for _ in range(100)]
    facts = await asyncio.gather(*(gateway.charge(wanted) for wanted in payments))
    assert [fact.payment_id for fact in facts] == [wanted.id for wanted in payments]
    assert len({fact.psp_reference for fact in facts}) == 100
