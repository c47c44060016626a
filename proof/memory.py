"""What the proof remembers: how far each check has proven, and the last seal of the books it has seen.

It is kept beside the data and not in a database: who can rewrite the books must not be able to rewrite with
them what was seen of them. Copied elsewhere, it holds against whoever owns the machine, too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from proof.verdict import State

# A hash and two numbers for each of six shards take a tenth of it.
_LONGEST_LINE: Final = 16_384

# A state that another version has written is not understood: everything is looked at once more.
VERSION: Final = 1


class MemoryLost(Exception):
    """What was remembered cannot be read."""


class Memory:
    """A folder with `<check>.json`, which is replaced, and `<check>.anchors.jsonl`, which only grows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def proven(self, check: str) -> State:
        """Return how far a check has proven; empty if it has not, or by another version.

        Raises:
            MemoryLost: it is there and cannot be read.
        """
        path = self._folder / f"{check}.json"
        try:
            kept: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise _unreadable(path, error) from error
        state: State = kept["state"] if kept.get("version") == VERSION else {}
        return state

    def remember(self, check: str, state: State) -> None:
        """Keep how far a check has proven, all of it or nothing; and for ever, what it anchors."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{check}.json"
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps({"version": VERSION, "state": state}))
        draft.replace(path)
        if (anchor := state.get("anchor")) and self.anchors(check, last=True) != [anchor]:
            self._anchor(check, anchor)

    def anchors(self, check: str, *, last: bool) -> list[Any]:
        """Return what a check has anchored: all of it, or the last one only.

        Raises:
            MemoryLost: it is there and cannot be read.
        """
        path = self._anchors(check)
        try:
            with path.open("rb") as file:
                if last:
                    file.seek(max(0, path.stat().st_size - _LONGEST_LINE))
                lines = file.read().splitlines()
            return [json.loads(line) for line in (lines[-1:] if last else lines)]
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise _unreadable(path, error) from error

    def _anchor(self, check: str, anchor: Any) -> None:
        descriptor = os.open(
            self._anchors(check), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            os.write(descriptor, json.dumps(anchor).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _anchors(self, check: str) -> Path:
        return self._folder / f"{check}.anchors.jsonl"


def _unreadable(path: Path, error: ValueError) -> MemoryLost:
    return MemoryLost(f"{path} cannot be read ({error}): restore it, or move it away to begin anew")
