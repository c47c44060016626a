"""What a cart costs at the moment of purchase, decided by the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kit.values.errors import InvalidRequest
from kit.values.money import included_share
from kit.values.reasons import CURRENCY_MISMATCH
from order_svc.domain.reasons import AMOUNT_OUT_OF_RANGE, PRICE_CHANGED, UNKNOWN_PRODUCT

# The largest total of one checkout, by contract: eight digits in minor units, like the price of a product.
# More is a typing error or a fraud rather than a purchase by card.
MAX_TOTAL_MINOR: Final = 99_999_999


@dataclass(frozen=True, slots=True)
class CartLine:
    """What the buyer asks for."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Price:
    """What a merchant asks for one unit, in minor units, tax included."""

    name: str
    unit_amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class PricedLine:
    """A line at the price of the moment of purchase; amounts in minor units."""

    sku: str
    name: str
    quantity: int
    unit_amount: int
    tax_amount: int

    @property
    def total_amount(self) -> int:
        """Price of all units, tax included."""
        return self.quantity * self.unit_amount


@dataclass(frozen=True, slots=True)
class Quote:
    """A priced cart; amounts in minor units."""

    lines: tuple[PricedLine, ...]
    total_amount: int
    tax_amount: int

    @property
    def subtotal_amount(self) -> int:
        """The total without tax."""
        return self.total_amount - self.tax_amount


def quote(cart: Sequence[CartLine], prices: Mapping[str, Price], *, currency: str, tax_rate_bp: int) -> Quote:
    """Return the priced cart.

    Tax is computed per line and rounded half up there, so that the lines of a receipt add up to its total.

    Raises:
        InvalidRequest: UNKNOWN_PRODUCT, CURRENCY_MISMATCH or AMOUNT_OUT_OF_RANGE.
    """
    lines: list[PricedLine] = []
    for item in cart:
        price = prices.get(item.sku)
        if price is None:
            raise InvalidRequest(
                UNKNOWN_PRODUCT,
                f"the merchant does not sell {item.sku!r}",
                metadata={"sku": item.sku},
            )
        if price.currency != currency:
            raise InvalidRequest(
                CURRENCY_MISMATCH,
                f"{item.sku!r} is sold in {price.currency}, the checkout is in {currency}",
                metadata={"sku": item.sku, "product_currency": price.currency},
            )
        gross = item.quantity * price.unit_amount
        tax = included_share(gross, tax_rate_bp)
        lines.append(PricedLine(item.sku, price.name, item.quantity, price.unit_amount, tax))
    total = sum(line.total_amount for line in lines)
    if total > MAX_TOTAL_MINOR:
        raise InvalidRequest(
            AMOUNT_OUT_OF_RANGE,
            f"the total of {total} is above the limit of one payment, {MAX_TOTAL_MINOR} minor units",
            metadata={"total_amount": str(total)},
        )
    return Quote(tuple(lines), total, sum(line.tax_amount for line in lines))


def require_expected(quoted: Quote, expected_total_amount: int | None) -> None:
    """Refuse a checkout whose buyer was shown another total.

    Raises:
        InvalidRequest: PRICE_CHANGED, with both totals in the metadata.
    """
    if expected_total_amount in (None, quoted.total_amount):
        return
    raise InvalidRequest(
        PRICE_CHANGED,
        f"the total is {quoted.total_amount}, not {expected_total_amount}; show the buyer the new total",
        metadata={
            "total_amount": str(quoted.total_amount),
            "expected_total_amount": str(expected_total_amount),
        },
    )
