"""Currencies and fees at the provider."""

from typing import Final

from psp_sim.stripe.errors import invalid_request

# The currencies that Stripe charges in.
CURRENCIES: Final = frozenset(
    """
    usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd
    bwp byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp
    gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw
    kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad
    ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek
    sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst
    xaf xcd xcg xof xpf yer zar zmw
    """.split()
)

# Where Stripe's smallest amount is coarser than its unit: three-decimal currencies are charged in
# tens, and two former two-decimal currencies in hundreds.
_STEPS: Final = {
    **dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), 10),
    **dict.fromkeys(("isk", "ugx"), 100),
}

# Stripe's limit of eight digits.
MAX_AMOUNT: Final = 99_999_999

# The price of a card payment: 2.9 % and 30 minor units, Stripe's list price in the United States.
FEE_PER_MILLE: Final = 29
FEE_FIXED: Final = 30

# What a dispute costs, whoever wins it.
DISPUTE_FEE: Final = 1500


def check_charge(amount: int, currency: str) -> None:
    """Refuse an amount that cannot be charged in its currency.

    Raises:
        ApiError: 400, naming the parameter that is wrong.
    """
    if currency not in CURRENCIES:
        known = ", ".join(sorted(CURRENCIES))
        raise invalid_request(
            f"Invalid currency: {currency}. Stripe currently supports these currencies: {known}",
            param="currency",
        )
    if amount > MAX_AMOUNT:
        raise invalid_request(
            f"Amount must be no more than {MAX_AMOUNT}.", code="amount_too_large", param="amount"
        )
    step = _STEPS.get(currency, 1)
    if amount % step:
        raise invalid_request(
            f"Invalid amount: {currency} is charged in multiples of {step}.",
            code="parameter_invalid_integer",
            param="amount",
        )


def fee(amount: int) -> int:
    """Return what the provider keeps of a captured amount, rounded half up."""
    return (amount * FEE_PER_MILLE + 500) // 1000 + FEE_FIXED
