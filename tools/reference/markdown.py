"""The few forms of Markdown that all reference pages use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

# So that whoever finds a mistake mends it where it is.
_NOTICE: Final = "<!-- Made by `make gen` from {source}. Change that, not this. -->"


def page(title: str, source: str, *parts: str) -> str:
    """Return a whole page; parts are separated by empty lines."""
    return "\n\n".join([f"# {title}", _NOTICE.format(source=source), *(p for p in parts if p)]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; empty if there are no rows."""
    lines = [_row(cells) for cells in rows]
    return "\n".join([_row(head), _row(["---"] * len(head)), *lines]) if lines else ""


def code(text: str) -> str:
    """Return text as code, or nothing for nothing."""
    return f"`{text}`" if text else ""


def codes(texts: Iterable[str]) -> str:
    """Return several texts as code, separated by commas."""
    return ", ".join(code(text) for text in texts)


def one_line(text: str) -> str:
    """Return text without line breaks."""
    return " ".join(text.split())


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(one_line(cell).replace("|", "\\|") for cell in cells) + " |"
