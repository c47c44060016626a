"""What a person sees while the benchmark runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.progress_bar import ProgressBar

from terminal.output import stderr


class Bars:
    """A bar for the present part of a run, a line for each finding."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, text="")

    def phase(self, title: str, expected_s: float | None = None) -> None:
        """A new part of the run begins; it will take `expected_s` if that is known."""
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(title, total=expected_s, text="")
        if not self._progress.console.is_terminal:
            self._progress.console.print(title)

    def share(self, done: float) -> None:
        """How much of the present part is done, where time does not tell it."""
        self._progress.update(self._task, total=1.0, completed=done, text=f"{done:.0%}")

    def detail(self, text: str) -> None:
        """Something about the present part."""
        self._progress.update(self._task, text=text)

    def finding(self, text: str) -> None:
        """A result that is worth a line of its own."""
        self._progress.console.print(f"  {text}")


@contextmanager
def bars() -> Iterator[Bars]:
    """Bars on standard error, gone at the end."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        _TimeBar(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[text]}"),
    )
    # Once a second: the benchmark shares the processors with what it measures.
    with Progress(*columns, console=stderr, transient=True, refresh_per_second=1) as progress:
        yield Bars(progress)


class _TimeBar(ProgressColumn):
    """How much is done, or else how much of the expected time has passed, which needs nobody to move it."""

    def render(self, task: Task) -> ProgressBar:
        if task.total is None:
            return ProgressBar(total=None, width=30, pulse=True, animation_time=task.get_time())
        done = task.completed or task.elapsed or 0.0
        return ProgressBar(total=task.total, completed=min(done, task.total), width=30)
