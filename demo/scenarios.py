"""What the demo does and what it promises: one table, written before anything was tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from demo.products import HEADPHONES, LAMP, MUG, NOTEBOOK, POSTER, SOLD_OUT, TEA, TEE, Item


class Action(Enum):
    """What a buyer does."""

    # Sends a cart and waits for the order's end.
    BUY = "buy"
    # The same, and confirms at the bank, or fails to.
    BUY_AND_CONFIRM = "buy and confirm"
    BUY_AND_FAIL_TO_CONFIRM = "buy and fail to confirm"
    # Sends one cart many times at once, as a nervous finger or a retrying network does.
    BUY_WITH_ONE_KEY = "buy with one key"
    # Sends a cart, and then another one with the same key.
    REUSE_KEY = "reuse a key"
    SEND_NO_KEY = "send no key"
    EXPECT_ANOTHER_PRICE = "expect another price"


class PspState(Enum):
    """How the PSP is meanwhile."""

    NORMAL = "as always"
    # Nothing it says of its own accord arrives: whatever is not answered has to be looked up.
    WEBHOOKS_LOST = "its webhooks are lost"


@dataclass(frozen=True, slots=True)
class Basket:
    """Quantities of products, all sold in one currency, and the country they go to."""

    items: Mapping[Item, int]
    country: str = ""

    @property
    def currency(self) -> str:
        """What the products are sold in."""
        return next(iter(self.items)).currency

    @property
    def quantities(self) -> dict[str, int]:
        """Quantity by sku."""
        return {item.sku: quantity for item, quantity in self.items.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Something buyers do, and what has to come of it."""

    name: str
    # One line for people: why it ends that way.
    why: str
    # How many carts (or, with one key, how many times the one cart) are sent, all at once.
    times: int
    # How often each end, or each refusal, is seen.
    promised: Mapping[str, int]
    # How often the PSP took money, by its own list.
    charges: int
    # How many orders there are afterwards.
    orders: int
    action: Action = Action.BUY
    payment_method_id: str = "pm_card_visa"
    # Taken in turn.
    baskets: tuple[Basket, ...] = (Basket({MUG: 1}, "DE"),)
    psp: PspState = PspState.NORMAL

    @property
    def slug(self) -> str:
        """The name as part of an id."""
        words = "".join(letter if letter.isalnum() else " " for letter in self.name.lower())
        return "_".join(words.split())


_MIXED: Final = (
    Basket({MUG: 2, NOTEBOOK: 1}, "DE"),
    Basket({LAMP: 1}, "FR"),
    Basket({TEE: 1}, "US"),
    Basket({TEA: 2}, "JP"),
    Basket({HEADPHONES: 1, NOTEBOOK: 3}, "AT"),
)


def _sold(
    name: str, payment_method_id: str, why: str, *, times: int = 1, psp: PspState = PspState.NORMAL
) -> Scenario:
    """Buyers who get what they want and are charged once each, whatever happens on the way."""
    return Scenario(
        name=name,
        payment_method_id=payment_method_id,
        why=why,
        times=times,
        promised={"COMPLETED": times},
        charges=times,
        orders=times,
        psp=psp,
    )


def _refused(name: str, payment_method_id: str, reason: str, why: str, *, times: int = 1) -> Scenario:
    """Buyers whose payment is refused."""
    return Scenario(
        name=name,
        payment_method_id=payment_method_id,
        why=why,
        times=times,
        promised={f"FAILED {reason}": times},
        charges=0,
        orders=times,
    )


THREE_D_SECURE: Final = Scenario(
    name="3-D Secure, confirmed",
    why="The order waits for its buyer; the bank's yes comes by webhook.",
    action=Action.BUY_AND_CONFIRM,
    payment_method_id="pm_card_authenticationRequired",
    times=2,
    promised={"COMPLETED": 2},
    charges=2,
    orders=2,
)

SCENARIOS: Final = (
    Scenario(
        name="Cards that pay",
        why="Stock held, card charged, books posted, stock sold: in EUR, USD and JPY.",
        baskets=_MIXED,
        times=15,
        promised={"COMPLETED": 15},
        charges=15,
        orders=15,
    ),
    _refused(
        "Declined",
        "pm_card_chargeDeclined",
        "card_declined",
        "The bank says no; the stock goes back on the shelf.",
        times=3,
    ),
    _refused(
        "Insufficient funds",
        "pm_card_chargeDeclinedInsufficientFunds",
        "insufficient_funds",
        "The buyer is told why, and that another card may work.",
        times=2,
    ),
    _refused(
        "Expired card",
        "pm_card_chargeDeclinedExpiredCard",
        "expired_card",
        "The same way back, with its own reason.",
    ),
    _refused(
        "Blocked as fraud",
        "pm_card_radarBlock",
        "blocked",
        "The PSP's own risk check stops it before the bank.",
    ),
    Scenario(
        name="Out of stock",
        why="All lines or none: the mugs are not held either, and no card is touched.",
        baskets=(Basket({SOLD_OUT: 1, MUG: 1}, "DE"),),
        times=2,
        promised={"FAILED out_of_stock": 2},
        charges=0,
        orders=2,
    ),
    Scenario(
        name="Five want the last one",
        why="All at the same moment: one buyer gets it, and nobody else is charged.",
        baskets=(Basket({POSTER: 1}, "DE"),),
        times=5,
        promised={"COMPLETED": 1, "FAILED out_of_stock": 4},
        charges=1,
        orders=5,
    ),
    THREE_D_SECURE,
    Scenario(
        name="3-D Secure, not confirmed",
        why="The buyer fails at the bank; the stock is released.",
        action=Action.BUY_AND_FAIL_TO_CONFIRM,
        payment_method_id="pm_card_authenticationRequired",
        times=1,
        promised={"FAILED authentication_failed": 1},
        charges=0,
        orders=1,
    ),
    _sold(
        "Webhook before the answer",
        "pm_sim_webhook_first",
        "Answer and webhook tell the same fact; whichever is first applies it.",
        times=2,
    ),
    _sold("Webhook twice", "pm_sim_webhook_duplicate", "The second one is no news.", times=2),
    _sold("Webhooks out of order", "pm_sim_webhook_reordered", "An older fact never undoes a newer one."),
    _sold("No webhook at all", "pm_sim_webhook_never", "The PSP's answer alone is enough."),
    Scenario(
        name="One key, ten clicks",
        why="Ten equal requests at once: one order, one charge, ten equal answers.",
        action=Action.BUY_WITH_ONE_KEY,
        times=10,
        promised={"COMPLETED": 1},
        charges=1,
        orders=1,
    ),
    Scenario(
        name="One key, two carts",
        why="The first cart is bought; the second needs a key of its own.",
        action=Action.REUSE_KEY,
        times=1,
        promised={"COMPLETED": 1, "422 IDEMPOTENCY_KEY_REUSED": 1},
        charges=1,
        orders=1,
    ),
    Scenario(
        name="No key",
        why="What could not be repeated safely is not accepted.",
        action=Action.SEND_NO_KEY,
        times=1,
        promised={"400 IDEMPOTENCY_KEY_MISSING": 1},
        charges=0,
        orders=0,
    ),
    Scenario(
        name="Yesterday's price",
        why="Prices come from the server; nobody pays a total they were not shown.",
        action=Action.EXPECT_ANOTHER_PRICE,
        times=1,
        promised={"400 PRICE_CHANGED": 1},
        charges=0,
        orders=0,
    ),
    _sold(
        "Charge, but no answer",
        "pm_sim_timeout_after",
        "Money taken, line dead: after 5 s it is looked up, and not charged again.",
        times=2,
        psp=PspState.WEBHOOKS_LOST,
    ),
    _sold(
        "No charge, no answer",
        "pm_sim_timeout_before",
        "The same silence, but the PSP knows nothing: charged now, under one key.",
        psp=PspState.WEBHOOKS_LOST,
    ),
)
