"""Where this repository speaks to people: documents, docstrings, comments, and texts with code marks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.contract.prose.python import read_python

# What begins a comment, by the end of the file's name; `#` where nothing else is said.
_COMMENT: Final = {".proto": "//", ".sql": "--", ".lua": "--"}
_COMMENTED: Final = {*_COMMENT, ".sh", ".toml", ".yaml"}
_COMMENTED_NAMES: Final = {".importlinter", "Makefile", "run"}

# Made by tools: what they name is checked where they are made from.
_MADE: Final = {"gen", "build", "requirements.txt"}


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of prose, and where it begins."""

    path: str
    line: int
    text: str

    def at(self, position: int) -> str:
        """Return the place of a character of the text, as compilers write it."""
        return f"{self.path}:{self.line + self.text.count(chr(10), 0, position)}"


def files_below(root: Path) -> Iterator[Path]:
    """Yield the files of a checkout, however it has been used since."""
    for path in sorted(root.iterdir()):
        if path.name == "__pycache__" or path.suffix == ".egg-info":
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and (not path.name.startswith(".") or path.name == ".ci"):
            yield from files_below(path)


def is_written(path: str) -> bool:
    """Whether people write the file, which is given as seen from the checkout."""
    return path.partition("/")[0] not in _MADE


def passages_in(path: Path, name: str) -> Iterator[Passage]:
    """Yield the prose of a file, which `name` stands for."""
    match path.suffix:
        case ".md":
            yield Passage(name, 1, path.read_text(encoding="utf-8"))
        case ".py":
            python = read_python(path)
            yield from _blocks(name, python.comments)
            yield from (Passage(name, line, text) for line, text in python.docstrings)
            # What a test says in texts is for the machine, code marks or not.
            if not name.startswith("tests/"):
                yield from (Passage(name, line, text) for line, text in python.texts if is_prose(text))
        case suffix if suffix in _COMMENTED or path.name in _COMMENTED_NAMES:
            mark = _COMMENT.get(suffix, "#")
            yield from _blocks(name, _comments(path.read_text(encoding="utf-8"), mark))


def without_comments(path: Path) -> str:
    """Return what a file says to machines; not for Python, whose syntax tree has none."""
    text = path.read_text(encoding="utf-8")
    if path.suffix not in _COMMENTED and path.name not in _COMMENTED_NAMES:
        return text
    mark = _COMMENT.get(path.suffix, "#")
    return "\n".join(line[: _start_of_comment(line, mark)] for line in text.splitlines())


def is_prose(text: str) -> bool:
    """Whether a text in the code is for people and marks names as code."""
    return "`" in text


def _comments(text: str, mark: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        start = _start_of_comment(line, mark)
        if start < len(line):
            yield number, line[start:].lstrip(f"{mark} ")


def _start_of_comment(line: str, mark: str) -> int:
    # A mark within a word is none: `https://`, `order#1`.
    found = re.search(rf"(^|\s){re.escape(mark)}", line)
    return found.start() if found else len(line)


def _blocks(name: str, lines: Iterable[tuple[int, str]]) -> Iterator[Passage]:
    """Join comments on consecutive lines: names and sentences go on from line to line."""
    block: list[str] = []
    last = 0
    for number, text in lines:
        if block and number != last + 1:
            yield Passage(name, last - len(block) + 1, "\n".join(block))
            block = []
        block.append(text)
        last = number
    if block:
        yield Passage(name, last - len(block) + 1, "\n".join(block))
