"""Write what follows from code and protos in `docs`: reference pages and the plan; part of `make gen`.

With `--check`, write nothing and fail if a page is not what would be written, or the plan is not true.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tools.plan import today
from tools.reference import api, cli, errors, events, settings

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "reference/api.md": api.render,
    "reference/cli.md": cli.render,
    "reference/errors.md": errors.render,
    "reference/events.md": events.render,
    "reference/settings.md": settings.render,
}


def outdated() -> list[str]:
    """Return the pages and pictures that do not say what the code says now."""
    pages = [name for name, render in PAGES.items() if _written(name) != render()]
    return pages if today.is_true() else [*pages, str(today.PICTURE.relative_to(DOCS))]


def write() -> None:
    """Write all pages and the plan."""
    for name, render in PAGES.items():
        (DOCS / name).write_text(render(), encoding="utf-8")
    today.write()


def _written(name: str) -> str:
    path = DOCS / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail if a page is not current")
    if not parser.parse_args().check:
        write()
    elif names := outdated():
        raise SystemExit(
            f"not what the code says, in docs: {', '.join(names)}; commit the result of `make gen`"
        )


if __name__ == "__main__":
    main()
