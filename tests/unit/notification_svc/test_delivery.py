"""What may become of a delivery."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.values.errors import IllegalMove
from notification_svc.domain.delivery import (
    MAX_ATTEMPTS,
    RETRY_PAUSES_S,
    Refused,
    Status,
    Taken,
    after_attempt,
    is_deliverable,
)
from tests.unit.notification_svc.deliveries import a_delivery

BUSY = Refused("450 busy", for_good=False)
UNKNOWN = Refused("550 no such user", for_good=True)


def test_what_is_taken_is_sent_and_says_nothing_of_earlier_errors() -> None:
    move = after_attempt(a_delivery(attempts=3, last_error="450 busy"), Taken())
    assert (move.to, move.attempt, move.error) == (Status.SENT, 3, "")


def test_a_refusal_for_now_is_tried_again_later_and_later_until_the_attempts_are_used_up() -> None:
    moves = [after_attempt(a_delivery(attempts=n), BUSY) for n in range(1, MAX_ATTEMPTS + 1)]
    assert [move.to for move in moves] == [Status.PENDING] * (MAX_ATTEMPTS - 1) + [Status.FAILED]
    assert [move.pause_s for move in moves[:-1]] == sorted(RETRY_PAUSES_S)
    assert {move.error for move in moves} == {"450 busy"}


def test_a_refusal_for_good_is_not_tried_again() -> None:
    assert after_attempt(a_delivery(attempts=1), UNKNOWN).to is Status.FAILED


@pytest.mark.parametrize("end", [Status.SENT, Status.FAILED])
@pytest.mark.parametrize("answer", [Taken(), BUSY, UNKNOWN])
def test_an_end_is_an_end(end: Status, answer: Taken | Refused) -> None:
    with pytest.raises(IllegalMove, match=f"{end}"):
        after_attempt(a_delivery(status=end), answer)


@pytest.mark.parametrize("address", ["ada@example.com", "o'hara+florin@mail.example.co.uk", "root@localhost"])
def test_ordinary_addresses_are_deliverable(address: str) -> None:
    assert is_deliverable(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@ex ample",
        "a@b@c",
        "<ada@example.com>",
        "ada@example..com",
        "ada@example.com\r\nRCPT TO:<eve@example.com>",
        "ada@example.com\n",
        "ädä@example.com",
        "a" * 65 + "@b",
        "ada@" + "a." * 130 + "b",
    ],
)
def test_what_could_be_anything_but_one_plain_address_is_not_deliverable(address: str) -> None:
    assert not is_deliverable(address)


@given(st.text(max_size=300))
def test_no_deliverable_address_can_end_a_line_or_hold_two_recipients(address: str) -> None:
    if is_deliverable(address):
        assert address.isascii()
        assert not set(address) & set(' \r\n\0<>,;:"()[]\\')
        assert address.count("@") == 1
