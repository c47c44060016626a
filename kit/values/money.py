"""Whole minor units and how they are divided without making or losing one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from babel.core import get_global
from babel.numbers import format_currency, get_currency_precision, list_currencies

# One basis point is a hundredth of a percent.
BASIS_POINTS = 10_000

# Where CLDR says how people write amounts today, which is not how ISO 4217 counts them (list one, column
# "minor unit", published by SIX: https://www.six-group.com, "Data standards").
# Banks and PSPs count as ISO does.
_ISO_4217_EXPONENTS: Final = {
    "AFN": 2, "ALL": 2, "IQD": 3, "IRR": 2, "KPW": 2, "LAK": 2, "LBP": 2, "MGA": 2, "MMK": 2, "RSD": 2,
    "SOS": 2, "SYP": 2, "YER": 2,
}  # fmt: skip


@lru_cache(maxsize=1)
def known_currencies() -> frozenset[str]:
    """Return the ISO 4217 codes that are legal tender somewhere today (CLDR's data, by Babel)."""
    tender: set[str] = set()
    territories = get_global("territory_currencies")
    for entries in territories.values():
        tender.update(code for code, _start, end, is_tender in entries if is_tender and end is None)
    return frozenset(tender & list_currencies("en"))


@lru_cache(maxsize=256)
def exponent(currency: str) -> int:
    """Return how many decimal places a currency has in ISO 4217: EUR 2, JPY 0, KWD 3."""
    differs = _ISO_4217_EXPONENTS.get(currency)
    return get_currency_precision(currency) if differs is None else differs


def split_by_largest_remainder(amount: int, weights: Sequence[int]) -> list[int]:
    """Divide an amount by weights so that the parts add up to it exactly.

    Each part is rounded down; what is left goes, one unit each, to the parts that lost most
    (Hamilton's method; ties go to the earlier part).

    Raises:
        ValueError: a negative amount or weight, or weights that sum to zero.
    """
    total = sum(weights)
    if amount < 0 or total <= 0 or min(weights) < 0:
        raise ValueError("needs an amount of at least 0 and weights of at least 0, not all 0")
    parts = [amount * weight // total for weight in weights]
    by_loss = sorted(range(len(weights)), key=lambda i: (-(amount * weights[i] % total), i))
    for i in by_loss[: amount - sum(parts)]:
        parts[i] += 1
    return parts


def included_share(gross: int, rate_bp: int) -> int:
    """Return the tax contained in a gross amount at a rate in basis points, rounded half up.

    gross = net + net * rate, so tax = gross * rate / (1 + rate).
    """
    divisor = BASIS_POINTS + rate_bp
    return (2 * gross * rate_bp + divisor) // (2 * divisor)


@lru_cache(maxsize=256)
def _symbol(currency: str) -> str:
    """Return what stands before an amount: `€`, `CHF` with a hard space. Asked once: Babel takes its time."""
    text: str = format_currency(0, currency, locale="en")
    return text.partition("0")[0]


def format_minor(amount: int, currency: str) -> str:
    """Return an amount for people, e.g. `€19.99`. For display only; never parsed again."""
    places = exponent(currency)
    units, rest = divmod(abs(amount), 10**places)
    sign = "-" if amount < 0 else ""
    fraction = f".{rest:0{places}}" if places else ""
    return f"{sign}{_symbol(currency)}{units:,}{fraction}"
