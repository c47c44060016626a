"""The journal of a capture."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_svc.domain.journal import Journal, JournalId
from ledger_svc.domain.rules.capture import Capture, capture_journal

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def capture(amount: int, *, fee: int = 0, tax: int = 0) -> Capture:
    return Capture("pay_1", "ord_1", "mer_1", "cus_1", "stripe", "EUR", amount, fee, tax)


def journal(capture: Capture) -> Journal:
    return capture_journal(capture, journal_id=JournalId("jrn_1"), business_key="evt_1", effective_at=NOON)


@st.composite
def captures(draw: st.DrawFn) -> Capture:
    amount = draw(st.integers(min_value=1, max_value=10**12))
    fee = draw(st.integers(min_value=0, max_value=amount))
    return capture(amount, fee=fee, tax=draw(st.integers(min_value=0, max_value=amount - fee)))


@given(captures())
def test_every_capture_sums_to_zero_and_has_no_zero_entries(capture: Capture) -> None:
    amounts = [entry.amount for entry in journal(capture).entries]
    assert sum(amounts) == 0
    assert 0 not in amounts


@given(captures())
def test_clearing_mirrors_what_the_psp_took(capture: Capture) -> None:
    by_kind: Counter[str] = Counter()
    for entry in journal(capture).entries:
        by_kind[entry.account.split(":")[0]] += entry.amount
    assert by_kind["psp_clearing"] == by_kind["card"] == -capture.amount
    assert by_kind["card_clearing"] == capture.amount


def test_the_buyer_pays_the_merchant_the_platform_and_the_state() -> None:
    assert [(e.account, e.amount) for e in journal(capture(8900, fee=300, tax=1421)).entries] == [
        ("card:cus_1:EUR", -8900),
        ("merchant:mer_1:EUR", 7179),
        ("platform_revenue:florin:EUR", 300),
        ("tax_payable:florin:EUR", 1421),
        ("psp_clearing:stripe:EUR", -8900),
        ("card_clearing:stripe:EUR", 8900),
    ]


@pytest.mark.parametrize(("amount", "fee", "tax"), [(0, 0, 0), (-5, 0, 0), (5, -1, 0), (5, 0, -1), (5, 3, 3)])
def test_amounts_that_cannot_be_are_refused(amount: int, fee: int, tax: int) -> None:
    with pytest.raises(ValueError, match="pay_1"):
        capture(amount, fee=fee, tax=tax)
