"""How Stripe counts money: in ISO's minor units but for three currencies, and in eight digits at most.

Whatever converts an amount does it here: what is sent, what is read and what the proof compares. A wrong
number would be wrong in all of them, so tests/unit/payment_svc/test_amounts.py holds every currency against
the list that Stripe publishes: https://docs.stripe.com/currencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from kit.values.money import exponent
from payment_svc.application.ports import PspRejected

# The most that one charge may take, as Stripe counts it.
MAX_AMOUNT: Final = 99_999_999

# Decimal places of Stripe's amounts where they are not those of ISO 4217. ISK and UGX have none any more but
# are still sent in hundredths; MGA is sent in whole ariary. (#special-cases and #zero-decimal on that page)
_PLACES: Final[Mapping[str, int]] = {"ISK": 2, "UGX": 2, "MGA": 0}


def stripe_amount(amount: int, currency: str) -> int:
    """Return an amount of ISO minor units as Stripe counts it.

    Raises:
        PspRejected: Stripe has no such amount, or takes less at once.
    """
    theirs, ours = _in_one_unit(currency)
    counted, rest = divmod(amount * theirs, ours)
    if rest:
        raise PspRejected(f"Stripe takes whole units of {currency} only, not {amount} hundredths")
    if counted > MAX_AMOUNT:
        raise PspRejected(f"Stripe takes at most {MAX_AMOUNT} at once, and {amount} {currency} are {counted}")
    return counted


def iso_amount(amount: int, currency: str) -> int:
    """Return an amount of Stripe's in ISO minor units; what is not a whole number of them is rounded up."""
    theirs, ours = _in_one_unit(currency)
    return -(-amount * ours // theirs)


def exact_iso_amount(amount: int, currency: str) -> Fraction:
    """Return an amount of Stripe's in ISO minor units, to the last fraction of one."""
    theirs, ours = _in_one_unit(currency)
    return Fraction(amount * ours, theirs)


def _in_one_unit(currency: str) -> tuple[int, int]:
    """Return what one unit of a currency is in Stripe's minor units, and in ISO 4217's."""
    places = exponent(currency)
    return 10 ** _PLACES.get(currency, places), 10**places
