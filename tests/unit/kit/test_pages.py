"""Page tokens are ours, unchanged, and used for the list they were made for; or they are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.rpc.pages import PageTokens
from kit.values.errors import InvalidRequest

TOKENS = PageTokens("a key of this test")
POSITIONS = st.text(st.characters(exclude_categories=["Cs"]))


@given(POSITIONS, POSITIONS)
def test_a_token_gives_back_its_position(position: str, filters: str) -> None:
    assert TOKENS.open(TOKENS.sign(position, filters), filters) == position


def test_other_filters_are_refused() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        TOKENS.open(TOKENS.sign("tea", "products of mer_1"), "products of mer_2")
    assert refusal.value.reason == "PAGE_TOKEN_INVALID"


def test_filters_and_position_cannot_be_shifted_into_each_other() -> None:
    with pytest.raises(InvalidRequest):
        TOKENS.open(TOKENS.sign("bc", "a"), "ab")


def test_the_token_of_another_installation_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        TOKENS.open(PageTokens("another key").sign("tea", "all"), "all")


@given(st.text(max_size=60))
def test_no_text_that_is_not_a_token_is_accepted_or_surprises(text: str) -> None:
    with pytest.raises(InvalidRequest):
        TOKENS.open(text, "all")
