"""Card numbers are masked wherever they are; nothing else is touched."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.values.ids import new_id
from kit.values.redaction import contains_card_number, passes_luhn, redact

# Published test numbers: Visa, Mastercard, American Express, Diners, Visa of 13 and 19 digits.
CARDS = [
    "4242424242424242",
    "5555555555554444",
    "378282246310005",
    "30569309025904",
    "4222222222222",
    "4000000000000000006",
]


def with_check_digit(digits: str) -> str:
    """Return the digits with the last one made right."""
    return next(digits[:-1] + last for last in "0123456789" if passes_luhn(digits[:-1] + last))


card_numbers = st.text("0123456789", min_size=13, max_size=19).map(with_check_digit)


@pytest.mark.parametrize("card", CARDS)
def test_a_card_number_is_masked_but_for_its_last_four_digits(card: str) -> None:
    assert redact(f"card={card}!") == f"card=[card …{card[-4:]}]!"
    assert contains_card_number(card)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("4242 4242 4242 4242", "[card …4242]"),
        ("4242-4242-4242-4242", "[card …4242]"),
        ("3782 822463 10005", "[card …0005]"),
        ("4242 4242 4242 4242 12/27", "[card …4242] 12/27"),
        ("4242 4242 4242 4242 12 27 123", "[card …4242] 12 27 123"),
        ("2 4242424242424242", "2 [card …4242]"),
        ("4242424242424242 5555555555554444", "[card …4242] [card …4444]"),
    ],
)
def test_a_number_is_found_between_spaces_dashes_and_other_digits(text: str, masked: str) -> None:
    assert redact(text) == masked


@given(
    card=card_numbers, before=st.sampled_from(["", "pan ", "x=", "("]), after=st.sampled_from(["", ".", ")"])
)
def test_no_card_number_survives_whole(card: str, before: str, after: str) -> None:
    assert card not in redact(before + card + after)


@given(card=card_numbers, cuts=st.sets(st.integers(1, 18), max_size=6), separator=st.sampled_from(" -"))
def test_no_card_number_survives_however_it_is_grouped(card: str, cuts: set[int], separator: str) -> None:
    places = [0, *sorted(cut for cut in cuts if cut < len(card)), len(card)]
    grouped = separator.join(card[a:b] for a, b in pairwise(places))
    assert contains_card_number(grouped)
    assert grouped not in redact(grouped)


@given(text=st.text("0123456789", min_size=13, max_size=19).filter(lambda digits: not passes_luhn(digits)))
def test_a_number_with_a_wrong_check_digit_is_no_card_number(text: str) -> None:
    assert redact(text) == text


@given(st.integers(0, 10**12 - 1))
def test_amounts_are_untouched(amount: int) -> None:
    assert redact(f"amount {amount} of {amount:,}") == f"amount {amount} of {amount:,}"


def test_ids_are_untouched() -> None:
    text = " ".join(new_id("ord") for _ in range(2_000))
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-01-31 12:00:00",
        f"00-{'1' * 32}-{'2' * 16}-01",
        "pi_3MtwBwLkdIwHu7ix28a3tqPa",
        "127.0.0.1:54329",
        "+49 30 1234567",
    ],
)
def test_what_only_has_digits_is_untouched(text: str) -> None:
    assert redact(text) == text


@given(st.uuids())
def test_a_uuid_is_no_card_number_whatever_its_digits(key: UUID) -> None:
    assert redact(f"key {key}") == f"key {key}"
    assert not contains_card_number(str(key))


def test_a_uuid_of_digits_alone_is_still_a_uuid() -> None:
    assert not contains_card_number("42424242-4242-4242-8242-424242424242")
