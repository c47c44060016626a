"""Payments against the PSP's own list."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import aiohttp
import orjson

from kit.values.money import exponent
from proof.audit import PAYMENTS, Audit
from proof.verdict import Finding

# As many as the PSP gives at once.
_PAGE_SIZE: Final = 100

# A page takes milliseconds at the simulator, a second at Stripe on a bad day.
_PAGE_TIMEOUT_S: Final = 20.0

# The list must not fail because of one bad answer: as often as this, with growing pauses.
_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.25

# A payment that is being charged is known at the PSP first, and to us when its answer, its webhook or a
# look-up arrives; `nothing_stuck` watches that this happens.
_IN_FLIGHT_S: Final = 60

_COLUMNS: Final = """
SELECT id, order_id, coalesce(psp_reference, ''), status, currency, amount_captured,
    updated_at > now() - make_interval(secs => %s)
FROM payments
"""
# Webhooks that say of a payment what we cannot believe. They prove nothing by themselves: a PSP may be wrong,
# or somebody else have its secret. Whether money moved is in its list, and that is compared.
_SET_ASIDE: Final = """
SELECT count(*) FROM webhooks WHERE outcome = 'unknown_payment' OR starts_with(outcome, 'contradicts')
"""
_UNDECIDED: Final = frozenset({"INITIATED", "PROCESSING", "REQUIRES_ACTION", "AUTHORIZED", "UNKNOWN"})
_WITHOUT_MONEY: Final = frozenset({"FAILED", "VOIDED"})

# A payment intent that holds the buyer's money, or may still take it.
_HOLDING: Final = frozenset({"requires_capture", "processing"})

# Decimal places of Stripe's amounts where they are not those of ISO 4217. ISK and UGX have none any more but
# are still sent in hundredths, MGA is sent in whole ariary: https://docs.stripe.com/currencies#special-cases
# and #zero-decimal on the same page.
_STRIPE_EXPONENTS: Final = {"ISK": 2, "UGX": 2, "MGA": 0}


@dataclass(frozen=True, slots=True)
class _Payment:
    id: str
    order_id: str
    psp_reference: str
    status: str
    currency: str
    captured: int
    is_recent: bool

    @property
    def is_in_flight(self) -> bool:
        return self.is_recent and self.status in _UNDECIDED


@dataclass(frozen=True, slots=True)
class _Charge:
    """A payment intent that succeeded at the PSP, or that holds money; `amount` is in our minor units."""

    id: str
    status: str
    payment_id: str
    order_id: str
    currency: str
    amount: Fraction


async def no_double_charge(audit: Audit) -> Finding:
    """What the PSP has taken is what we know as captured: once per payment, once per order, to the cent."""
    captured = await _payments(audit, "WHERE amount_captured > 0")
    listed = 0
    charges: list[_Charge] = []
    holds: list[_Charge] = []
    async for page in _pages(audit):
        listed += len(page)
        charges += [_charge(intent) for intent in page if intent["status"] == "succeeded"]
        holds += [_charge(intent) for intent in page if intent["status"] in _HOLDING]
    problems = _doubled(charges)
    problems |= _differing(captured, charges)
    problems |= await _unknown(audit, charges, captured)
    problems |= await _kept(audit, holds)
    [(set_aside,)] = await audit.rows(PAYMENTS, _SET_ASIDE)
    detail = f"{listed:,} payments at the PSP ({len(charges):,} succeeded)"
    return Finding(detail + (f", {set_aside:,} webhooks set aside" if set_aside else ""), problems)


def _differing(captured: Mapping[str, _Payment], charges: Iterable[_Charge]) -> dict[str, str]:
    """Captures that the PSP does not have, or has otherwise."""
    problems: dict[str, str] = {}
    by_id = {charge.id: charge for charge in charges}
    for payment in captured.values():
        charge = by_id.get(payment.psp_reference)
        if charge is None:
            problems[payment.id] = (
                f"{payment.id} is captured here,"
                f" {payment.psp_reference or 'no payment'} did not succeed there"
            )
        elif (charge.payment_id, charge.currency, charge.amount) != (
            payment.id,
            payment.currency,
            Fraction(payment.captured),
        ):
            problems[payment.id] = (
                f"{payment.id} captured {payment.captured} {payment.currency},"
                f" {charge.id} took {charge.amount} {charge.currency} for {charge.payment_id}"
            )
    return problems


def _doubled(charges: Iterable[_Charge]) -> dict[str, str]:
    problems: dict[str, str] = {}
    for what in ("payment_id", "order_id"):
        together: dict[str, list[str]] = defaultdict(list)
        for charge in charges:
            together[getattr(charge, what)].append(charge.id)
        for key, ids in together.items():
            if key and len(ids) > 1:
                problems[f"double {key}"] = (
                    f"{key} was charged {len(ids)} times: {', '.join(sorted(ids)[:3])}"
                )
    return problems


async def _unknown(
    audit: Audit, charges: Iterable[_Charge], captured: Mapping[str, _Payment]
) -> dict[str, str]:
    """Charges that we do not know as captured, not even when asked now."""
    suspects = [charge for charge in charges if charge.payment_id not in captured]
    if not suspects:
        return {}
    ids = sorted({charge.payment_id for charge in suspects})
    now = await _payments(audit, "WHERE id = ANY(%s)", ids)
    problems: dict[str, str] = {}
    for charge in suspects:
        payment = now.get(charge.payment_id)
        if payment is None:
            problems[charge.id] = (
                f"{charge.id} succeeded at the PSP for {charge.payment_id or 'nobody we know'}"
            )
        elif not payment.captured and not payment.is_in_flight:
            problems[charge.id] = f"{charge.id} succeeded at the PSP, {payment.id} is {payment.status} here"
    return problems


async def _kept(audit: Audit, holds: Iterable[_Charge]) -> dict[str, str]:
    """Money of buyers that the PSP holds for payments that have failed here, or that nobody knows."""
    ids = sorted({hold.payment_id for hold in holds})
    payments = await _payments(audit, "WHERE id = ANY(%s)", ids) if ids else {}
    problems: dict[str, str] = {}
    for hold in holds:
        payment = payments.get(hold.payment_id)
        if payment is None:
            problems[hold.id] = f"{hold.id} is {hold.status} for {hold.payment_id or 'nobody we know'}"
        elif payment.status in _WITHOUT_MONEY:
            problems[hold.id] = (
                f"{hold.id} is {hold.status} at the PSP, {payment.id} is {payment.status} here"
            )
    return problems


async def _payments(audit: Audit, where: str, *parameters: Any) -> dict[str, _Payment]:
    rows = await audit.rows(PAYMENTS, _COLUMNS + where, (_IN_FLIGHT_S, *parameters))
    return {row[0]: _Payment(*row) for row in rows}


def _charge(intent: Mapping[str, Any]) -> _Charge:
    metadata = intent.get("metadata") or {}
    currency = intent["currency"].upper()
    return _Charge(
        id=intent["id"],
        status=intent["status"],
        payment_id=metadata.get("payment_id", ""),
        order_id=metadata.get("order_id", ""),
        currency=currency,
        amount=_in_our_minor_units(intent["amount_received"], currency),
    )


def _in_our_minor_units(amount: int, currency: str) -> Fraction:
    places = exponent(currency)
    return Fraction(amount * 10**places, 10 ** _STRIPE_EXPONENTS.get(currency, places))


async def _pages(audit: Audit) -> AsyncIterator[list[dict[str, Any]]]:
    """Pages through all payment intents, newest first, on one connection."""
    headers = {"Authorization": f"Bearer {audit.psp_api_key}"}
    timeout = aiohttp.ClientTimeout(total=_PAGE_TIMEOUT_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        after: dict[str, str] = {}
        while True:
            url = f"{audit.psp_base_url.rstrip('/')}/v1/payment_intents"
            page = await _page(session, url, {"limit": str(_PAGE_SIZE), **after})
            yield page["data"]
            if not page["has_more"]:
                return
            after = {"starting_after": page["data"][-1]["id"]}


async def _page(session: aiohttp.ClientSession, url: str, params: Mapping[str, str]) -> dict[str, Any]:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with session.get(url, params=params) as response:
                response.raise_for_status()
                page: dict[str, Any] = orjson.loads(await response.read())
                return page
        except (aiohttp.ClientError, TimeoutError):
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(_PAUSE_S * 2**attempt)
    raise AssertionError("the last attempt returns or raises")
