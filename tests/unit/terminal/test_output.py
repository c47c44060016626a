"""What a terminal shows of an error."""

from __future__ import annotations

import pytest

from terminal.errors import CommandError
from terminal.output import print_error


def test_an_error_shows_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(CommandError("The door is [closed].", way_out="Open it."))
    shown = capsys.readouterr().err
    assert "error: The door is [closed]." in shown
    assert "way out: Open it." in shown
