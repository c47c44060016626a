"""What a person sees while the demo runs; a log file gets one line for each part."""

from __future__ import annotations

import time
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from runner.state import State

# Wide enough to see it move, narrow enough for a terminal of 80 columns.
_BAR_WIDTH: Final = 32


class Bars:
    """One progress bar after the other; each leaves a line behind when its part is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(_BAR_WIDTH),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            # Nothing is animated where nobody looks.
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("")
        self._label = ""
        self._began_at = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, label: str, total: int | None = None) -> None:
        """The part before is done; `label` begins and will have `total` steps, if that is known."""
        self.end()
        self._label, self._began_at = label, time.monotonic()
        self._progress.reset(self._task, description=label, total=total)

    def end(self) -> None:
        """The last part is done."""
        if self._label:
            took_s = time.monotonic() - self._began_at
            self._console.print(f"[green]✓[/] {self._label} [dim]({took_s:.1f} s)[/]")
        self._label = ""

    def advance(self, steps: int) -> None:
        """So many more steps are done."""
        self._progress.advance(self._task, steps)

    def show_start(self, state: State) -> None:
        """How many processes are healthy by now."""
        healthy = sum(process.healthy for process in state.processes)
        # There is nothing to count until the supervisor has its table.
        self._progress.update(self._task, completed=healthy, total=len(state.processes) or None)
