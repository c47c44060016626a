"""The tax contained in a price, by the country the goods go to.

Prices are gross: what the buyer sees is what the buyer pays, as consumer law in most of these countries
asks for. Tax is therefore a share of the price, never an addition (docs/decisions/0005).
"""

from __future__ import annotations

from typing import Final

# Standard VAT or GST rates in basis points, as published by the tax authorities, state of January 2026.
# Countries that tax by region (US, CA) or are not listed carry 0: the merchant accounts for it.
STANDARD_RATES_BP: Final[dict[str, int]] = {
    "AT": 2000, "BE": 2100, "BG": 2000, "CH": 810, "CY": 1900, "CZ": 2100, "DE": 1900, "DK": 2500,
    "EE": 2400, "ES": 2100, "FI": 2550, "FR": 2000, "GB": 2000, "GR": 2400, "HR": 2500, "HU": 2700,
    "IE": 2300, "IT": 2200, "JP": 1000, "LT": 2100, "LU": 1700, "LV": 2100, "MT": 1800, "NL": 2100,
    "NO": 2500, "PL": 2300, "PT": 2300, "RO": 2100, "SE": 2500, "SI": 2200, "SK": 2300,
}  # fmt: skip


def rate_bp(country: str) -> int:
    """Return the tax rate in basis points of goods sent to a country; 0 if none is known."""
    return STANDARD_RATES_BP.get(country, 0)
