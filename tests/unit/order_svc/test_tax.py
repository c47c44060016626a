"""The tax of a country is what its authorities publish; of a country we do not know it is 0."""

from __future__ import annotations

import pytest

from order_svc.domain import tax


@pytest.mark.parametrize(("country", "rate_bp"), [("DE", 1900), ("HU", 2700), ("FI", 2550), ("CH", 810)])
def test_known_countries_have_their_standard_rate(country: str, rate_bp: int) -> None:
    assert tax.rate_bp(country) == rate_bp


@pytest.mark.parametrize("country", ["US", "CA", "", "XX", "de"])
def test_elsewhere_the_merchant_accounts_for_it(country: str) -> None:
    assert tax.rate_bp(country) == 0


def test_every_rate_is_a_plausible_share_of_a_price() -> None:
    assert all(len(country) == 2 and country.isupper() for country in tax.STANDARD_RATES_BP)
    assert all(500 <= rate <= 2_700 for rate in tax.STANDARD_RATES_BP.values())
