"""`florin demo`: from nothing to proof, and nothing left running."""

from __future__ import annotations

import signal
import sys
import time

import typer

from demo import report
from demo.progress import Bars
from demo.run import run
from demo.system import fresh_system
from runner.settings import Settings
from terminal import calls
from terminal.errors import EXIT_FAILED, EXIT_TERMINATED
from terminal.output import JsonOption, print_json, stderr

app = typer.Typer()


@app.command()
def demo(as_json: JsonOption = False) -> None:
    """Start a system of its own, buy in every way there is, prove the books, stop it again.

    Ends with 1 if anything is not as it promised.
    """
    # Ends like Ctrl-C does: whatever was started is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    out = report.console()
    with Bars(stderr if as_json else out) as bars:
        began_at = time.monotonic()
        bars.begin("Starting the system")
        with fresh_system(Settings(), on_progress=bars.show_start) as system:
            result = calls.run(run(system, bars, start_s=time.monotonic() - began_at))
            bars.begin("Stopping the system")
        bars.end()
    if as_json:
        print_json(report.document(result, system))
    else:
        report.show(result, system, out)
    if not result.ok:
        raise typer.Exit(EXIT_FAILED)
