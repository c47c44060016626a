"""What ties a checkout together comes from outside, so it is looked at."""

from __future__ import annotations

import pytest

from kit.values.trail import Trail, traceparent_of

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize("flags", ["00", "01", "03", "ff"])
def test_a_traceparent_is_taken_as_it_is(flags: str) -> None:
    text = f"00-{TRACE}-{PARENT}-{flags}"
    assert traceparent_of(text) == text
    assert Trail("cor_1", text).trace_id == TRACE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01\n",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}g-{PARENT}-01",
    ],
)
def test_what_is_no_traceparent_is_dropped(text: str) -> None:
    assert traceparent_of(text) == ""
    assert Trail("cor_1", text).trace_id == ""


def test_a_trail_is_sampled_if_the_last_bit_of_its_flags_is_set() -> None:
    sampled = {flags for flags in ("00", "01", "02", "03", "fe", "ff") if Trail("c", f"-{flags}").sampled}
    assert sampled == {"01", "03", "ff"}
