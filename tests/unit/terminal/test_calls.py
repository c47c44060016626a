"""What a person sees of a call that was refused, had no answer or did not end."""

from __future__ import annotations

import pytest

from client import ApiError, StillOpen
from terminal import calls
from terminal.errors import EXIT_NOT_RUNNING, CommandError


def test_a_refusal_is_one_line_with_its_facts() -> None:
    async def refused() -> None:
        raise ApiError("PRICE_CHANGED", "the total is 1490", http_status=400, metadata={"total": "1490"})

    with pytest.raises(CommandError, match=r"^400 PRICE_CHANGED: the total is 1490\.$") as shown:
        calls.run(refused())
    assert shown.value.detail == "total: 1490"


def test_a_system_that_is_not_there_is_told_from_a_refusal() -> None:
    async def alone() -> None:
        raise ApiError("UNREACHABLE", "no answer", http_status=0)

    with pytest.raises(CommandError) as shown:
        calls.run(alone())
    assert shown.value.exit_code == EXIT_NOT_RUNNING
    assert "florin up" in shown.value.way_out


def test_an_order_that_does_not_end_says_where_to_look() -> None:
    async def stuck() -> None:
        raise StillOpen("ord_1 is PROCESSING")

    with pytest.raises(CommandError, match="ord_1 is PROCESSING") as shown:
        calls.run(stuck())
    assert "timeline" in shown.value.way_out
