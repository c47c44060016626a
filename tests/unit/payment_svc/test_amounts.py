"""Amounts are Stripe's where Stripe counts otherwise than ISO 4217: the list is the one that it publishes."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import pytest

from kit.values.money import known_currencies
from order_svc.domain.pricing import MAX_TOTAL_MINOR
from payment_svc.adapters.stripe.amounts import MAX_AMOUNT, exact_iso_amount, iso_amount, stripe_amount
from payment_svc.application.ports import PspRejected

# Decimal places of a currency's amounts in Stripe's API, where they are not two:
# https://docs.stripe.com/currencies#zero-decimal and #three-decimal. ISK and UGX are not here: they have none
# by ISO 4217, and #special-cases says that they are sent with two all the same.
PUBLISHED: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3),
}

# Minor units in one unit of a currency by ISO 4217, where there are not a hundred.
ONE: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 1),
    **dict.fromkeys(("UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 1),
    **dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 1_000),
}

# Currencies that exist and that Stripe takes: https://docs.stripe.com/currencies#presentment-currencies
TAKEN: Final = frozenset(
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CLP "
    "CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR "
    "ILS INR ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP "
    "MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR "
    "SBD SCR SEK SGD SHP SOS SRD SZL THB TJS TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VND VUV WST XAF XCD "
    "XOF XPF YER ZAR ZMW".split()
)


@pytest.mark.parametrize("currency", sorted(TAKEN))
def test_one_unit_of_each_currency_is_what_stripe_publishes(currency: str) -> None:
    one, at_stripe = ONE.get(currency, 100), 10 ** PUBLISHED.get(currency, 2)
    assert stripe_amount(one, currency) == at_stripe
    assert iso_amount(at_stripe, currency) == one
    assert exact_iso_amount(at_stripe, currency) == one


def test_the_list_is_of_currencies_that_exist() -> None:
    assert known_currencies() >= TAKEN
    assert {*PUBLISHED, *ONE} <= TAKEN


@pytest.mark.parametrize(
    ("at_stripe", "currency", "exactly", "known_as"),
    [
        (8_901, "EUR", Fraction(8_901), 8_901),
        (8_901, "ISK", Fraction(8_901, 100), 90),
        (8_900, "UGX", Fraction(89), 89),
        (89, "MGA", Fraction(8_900), 8_900),
        (0, "ISK", Fraction(0), 0),
    ],
)
def test_a_part_of_a_unit_is_exact_for_the_proof_and_rounded_up_for_us(
    at_stripe: int, currency: str, exactly: Fraction, known_as: int
) -> None:
    assert exact_iso_amount(at_stripe, currency) == exactly
    assert iso_amount(at_stripe, currency) == known_as


def test_what_stripe_cannot_count_is_refused_before_the_call() -> None:
    with pytest.raises(PspRejected, match="whole units of MGA"):
        stripe_amount(150, "MGA")


@pytest.mark.parametrize(("most", "currency"), [(MAX_AMOUNT, "EUR"), (MAX_AMOUNT // 100, "ISK")])
def test_what_is_more_than_stripe_takes_is_refused_before_the_call(most: int, currency: str) -> None:
    assert stripe_amount(most, currency) <= MAX_AMOUNT
    with pytest.raises(PspRejected, match="at most 99999999"):
        stripe_amount(most + 1, currency)


def test_stripe_takes_whatever_a_checkout_may_cost_where_it_counts_as_we_do() -> None:
    assert stripe_amount(MAX_TOTAL_MINOR, "EUR") == MAX_TOTAL_MINOR
