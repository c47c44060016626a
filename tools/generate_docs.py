"""Write the reference pages of `docs/reference` that follow from code and protos; part of `make gen`.

With `--check`, write nothing and fail if a page is not what would be written.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tools.reference import api, cli, errors, events, settings

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "reference"

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "api.md": api.render,
    "cli.md": cli.render,
    "errors.md": errors.render,
    "events.md": events.render,
    "settings.md": settings.render,
}


def outdated() -> list[str]:
    """Return the pages that are not what would be written now."""
    return [name for name, render in PAGES.items() if _written(name) != render()]


def write() -> None:
    """Write all pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, render in PAGES.items():
        (FOLDER / name).write_text(render(), encoding="utf-8")


def _written(name: str) -> str:
    path = FOLDER / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail if a page is not current")
    if not parser.parse_args().check:
        write()
    elif names := outdated():
        raise SystemExit(
            f"docs/reference is not current: {', '.join(names)}; commit the result of `make gen`"
        )


if __name__ == "__main__":
    main()
