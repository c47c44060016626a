"""Runs the console sessions of a document: commands as a reader types them, output as it is printed there."""

from __future__ import annotations

import os
import re
import secrets
import selectors
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_BLOCK: Final = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT: Final = "$ "
_CONTINUED: Final = "> "

# Stands for any text in a line, and alone for any number of lines.
ANYTHING: Final = "…"

# The slowest command starts the whole system on a busy machine.
_COMMAND_DEADLINE_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command and what the document says it prints."""

    command: str
    expected: tuple[str, ...]


def exchanges_of(document: Path) -> Iterator[Exchange]:
    """Yield the commands of all ```console blocks of a document, in order."""
    for block in _BLOCK.findall(document.read_text(encoding="utf-8")):
        command: list[str] = []
        expected: list[str] = []
        for line in block.splitlines():
            if line.startswith(_PROMPT):
                if command:
                    yield Exchange("\n".join(command), tuple(expected))
                command, expected = [line.removeprefix(_PROMPT)], []
            elif line.startswith(_CONTINUED) and not expected:
                command.append(line.removeprefix(_CONTINUED))
            else:
                expected.append(line)
        yield Exchange("\n".join(command), tuple(expected))


def matches(expected: tuple[str, ...], printed: str) -> bool:
    """Return whether output is what was expected; blanks at the ends of lines do not count."""
    lines = [line.rstrip() for line in printed.replace("\r", "").splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    pattern = "".join(
        r"(?:.*\n)*" if line == ANYTHING else ".*".join(map(re.escape, line.split(ANYTHING))) + r"\n"
        for line in expected
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None


class Console:
    """One bash in which commands follow each other, as in a reader's terminal."""

    def __init__(self, *, cwd: Path, environment: Mapping[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._shell:
            self._shell.kill()

    def run(self, command: str) -> str:
        """Return what a command prints; fails if it prints nothing of its end in time."""
        assert self._shell.stdin is not None
        # What no command prints by itself marks its end.
        end = f"end of command {secrets.token_hex(8)}"
        self._shell.stdin.write(f"{command}\nprintf '\\n%s\\n' '{end}'\n".encode())
        self._shell.stdin.flush()
        return self._read_until(f"\n{end}\n", command)

    def _read_until(self, end: str, command: str) -> str:
        assert self._shell.stdout is not None
        printed = b""
        deadline = time.monotonic() + _COMMAND_DEADLINE_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._shell.stdout, selectors.EVENT_READ)
            while not printed.endswith(end.encode()):
                left = deadline - time.monotonic()
                ready = left > 0 and selector.select(left)
                assert ready, f"not done in {_COMMAND_DEADLINE_S:g} s: {command}\n{printed.decode()}"
                chunk = os.read(self._shell.stdout.fileno(), 1 << 16)
                assert chunk, f"the shell ended: {command}\n{printed.decode()}"
                printed += chunk
        return printed.decode().removesuffix(end)
