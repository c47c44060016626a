"""The one kind of error a command shows: what is wrong, and the way out."""

from __future__ import annotations

from typing import Final

# What was asked for could not be done, or the answer is no (a failed proof, say).
EXIT_FAILED: Final = 1
# The command itself was wrong; typer uses the same code.
EXIT_USAGE: Final = 2
# The command needs a running system and there is none.
EXIT_NOT_RUNNING: Final = 3
# What a shell reports for a program ended by Ctrl-C.
EXIT_INTERRUPTED: Final = 130
# And for one ended by SIGTERM.
EXIT_TERMINATED: Final = 143


class CommandError(Exception):
    """Ends a command with one clear line and one line on what to do about it."""

    def __init__(
        self, message: str, *, way_out: str = "", detail: str = "", exit_code: int = EXIT_FAILED
    ) -> None:
        super().__init__(message)
        self.message = message
        self.way_out = way_out
        self.detail = detail
        self.exit_code = exit_code
