"""Write what follows from code, protos and roster: reference pages, import contracts, the plan of the house.

Part of `make gen`. With `--check`, write nothing and fail if a file is not what would be written, or the plan
is not true.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tools import import_contracts
from tools.plan import today
from tools.reference import api, cli, errors, events, settings

ROOT: Final = Path(__file__).resolve().parent.parent

FILES: Final[Mapping[str, Callable[[], str]]] = {
    ".importlinter": import_contracts.render,
    "docs/reference/api.md": api.render,
    "docs/reference/cli.md": cli.render,
    "docs/reference/errors.md": errors.render,
    "docs/reference/events.md": events.render,
    "docs/reference/settings.md": settings.render,
}


def outdated() -> list[str]:
    """Return the files that are not what would be written now."""
    files = [name for name, render in FILES.items() if _written(name) != render()]
    return files if today.is_true() else [*files, str(today.PICTURE.relative_to(ROOT))]


def write() -> None:
    """Write all of them."""
    for name, render in FILES.items():
        (ROOT / name).write_text(render(), encoding="utf-8")
    today.write()


def _written(name: str) -> str:
    path = ROOT / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail if a file is not current")
    if not parser.parse_args().check:
        write()
    elif names := outdated():
        raise SystemExit(f"not current: {', '.join(names)}; commit the result of `make gen`")


if __name__ == "__main__":
    main()
