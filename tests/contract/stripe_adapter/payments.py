"""Payments that nobody has heard of, and gateways to send them to."""

from __future__ import annotations

from typing import Any

from kit.values.ids import new_id
from payment_svc.adapters.stripe.gateway import StripeGateway
from payment_svc.domain.payment import Payment
from psp_sim.control.faults import Fault
from psp_sim.testing import API_KEY
from tests.contract.psp_sim.shop import Shop
from tests.unit.payment_svc.payments import payment

# Longer than the simulator takes on a busy machine, shorter than a test should wait for a time-out.
PATIENT_S, IMPATIENT_S = 20.0, 1.0

RETURN_URL = "https://shop.example/return"

NEVER_ANSWERED = {Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER, Fault.SLOW, Fault.ERROR_THEN_OK}


def fresh(method: str = "pm_card_visa", **fields: Any) -> Payment:
    """Return a payment that no PSP has heard of."""
    return payment(id=new_id("pay"), order_id=new_id("ord"), payment_method_id=method, **fields)


def gateway_to(base_url: str, *, api_key: str = API_KEY, timeout_s: float = PATIENT_S) -> StripeGateway:
    return StripeGateway(api_key=api_key, base_url=base_url, return_url=RETURN_URL, timeout_s=timeout_s)


async def intents_of(shop: Shop, payment: Payment) -> list[Any]:
    """Return what the simulator has on record of a payment."""
    query = f"metadata['payment_id']:'{payment.id}'"
    found = await shop.stripe.v1.payment_intents.search_async({"query": query})
    return list(found.data)
