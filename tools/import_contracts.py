"""`.importlinter`, from the contracts in `import_contracts.ini` and the roster; part of `make gen`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from roster import ROSTER

CONTRACTS: Final = Path(__file__).with_suffix(".ini")
CONFIGURATION: Final = Path(__file__).resolve().parents[1] / ".importlinter"

_HEAD: Final = """\
# Made by `make gen` from tools/import_contracts.ini and roster.py. Change those, not this.
# Who may import whom: `make check` runs it (`lint-imports`), docs/architecture.md says why.
"""


def render() -> str:
    """Return the configuration.

    A line with `<context>` is there once for each package of the roster; `<contexts>` is all of them.
    """
    return f"{_HEAD}\n" + "".join(_lines(CONTRACTS.read_text()))


def _lines(text: str) -> Iterator[str]:
    for line in text.replace("<contexts>", " | ".join(ROSTER.packages)).splitlines(keepends=True):
        if "<context>" in line:
            yield from (line.replace("<context>", package) for package in ROSTER.packages)
        else:
            yield line
