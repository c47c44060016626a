"""The picture of this checkout, which has to tell the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tools.plan.house import read_house
from tools.plan.picture import draw, still_true

ROOT: Final = Path(__file__).resolve().parents[2]
PICTURE: Final = ROOT / "docs" / "plan" / "today.svg"
TITLE: Final = "The house today"


def is_true() -> bool:
    """Whether the committed picture shows the rooms and imports that there are, and about their numbers."""
    return PICTURE.is_file() and still_true(PICTURE.read_text(encoding="utf-8"), read_house(ROOT))


def write() -> None:
    """Draw it anew, unless it is true: so `make gen` does not change it with every line of code."""
    if not is_true():
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        PICTURE.write_text(draw(read_house(ROOT), TITLE), encoding="utf-8")
