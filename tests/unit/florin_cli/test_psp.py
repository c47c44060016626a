"""`florin psp set`: text from a command line as settings of the simulator."""

from __future__ import annotations

import pytest

from florin_cli.commands.psp import parse_changes
from terminal.errors import CommandError


def test_settings_of_a_group_come_together() -> None:
    assert parse_changes(
        ["latency_ms=300", "outage=true", "webhook.drop_rate=0.5", "webhook.reorder=false"]
    ) == {
        "latency_ms": 300,
        "outage": True,
        "webhook": {"drop_rate": 0.5, "reorder": False},
    }


@pytest.mark.parametrize(
    "text", ["latency_ms", "latency_ms=", "outage=yes", "=1", "webhook={}", "outage=null"]
)
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="cannot be set"):
        parse_changes([text])
