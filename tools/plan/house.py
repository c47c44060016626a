"""What the code says about itself: its rooms, their lines, and who imports whom how often."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grimp

# What only looks at the house, and what it is drawn up from; counted, but no rooms.
_BESIDE: Final = ("tests", "tools", "protos")

# What people write and review. Generated code is in none of these places, or outside of the rooms.
_WRITTEN: Final = {".py", ".sql", ".lua", ".yaml", ".proto"}


@dataclass(frozen=True, slots=True)
class Room:
    """A package: what it is about, and how long its files are together."""

    name: str
    about: str
    lines: int
    is_service: bool


@dataclass(frozen=True, slots=True)
class House:
    """All rooms by name, the number of imports from one to another, and the lines of what is beside them."""

    rooms: Mapping[str, Room]
    imports: Mapping[tuple[str, str], int]
    beside: Mapping[str, int]


def read_house(root: Path, within: Collection[str] = ()) -> House:
    """Read the code below `root`.

    Each package at the top is a room. `within` names packages further down that are rooms of their own
    (`florin_cli.runner`); what is left of the package around them is a room, too.
    """
    tops = [path.parent.name for path in root.glob("*/__init__.py") if path.parent.name not in _BESIDE]
    names = sorted({*tops, *within})
    rooms = {name: _room(root, name, names) for name in names}
    imports = Counter(
        (room_of(importer, names), room_of(imported, names))
        for importer, imported in _imports(root, sorted(tops))
    )
    beside = {name: _lines(root / name) for name in _BESIDE if (root / name).is_dir()}
    across = {pair: count for pair, count in sorted(imports.items()) if pair[0] != pair[1]}
    return House(rooms, across, beside)


def room_of(module: str, rooms: Iterable[str]) -> str:
    """Return the room that a module is in: the innermost, where one is within another."""
    return max((room for room in rooms if f"{module}.".startswith(f"{room}.")), key=len)


def _imports(root: Path, packages: list[str]) -> Iterator[tuple[str, str]]:
    # The checkout that is looked at comes before the one that looks, should they not be the same.
    sys.path[:0] = [str(root)]
    try:
        graph = grimp.build_graph(*packages, cache_dir=None)
    finally:
        sys.path.remove(str(root))
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            yield module, imported


def _room(root: Path, name: str, rooms: Iterable[str]) -> Room:
    folder = root.joinpath(*name.split("."))
    inner = (root.joinpath(*each.split(".")) for each in rooms if each.startswith(f"{name}."))
    return Room(
        name=name,
        about=_first_sentence(folder / "__init__.py"),
        lines=_lines(folder) - sum(_lines(each) for each in inner),
        is_service=(folder / "domain").is_dir(),
    )


def _lines(folder: Path) -> int:
    return sum(
        len(path.read_text(encoding="utf-8").splitlines())
        for path in folder.rglob("*")
        if path.suffix in _WRITTEN and path.is_file()
    )


def _first_sentence(module: Path) -> str:
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split())
