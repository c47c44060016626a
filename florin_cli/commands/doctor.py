"""`florin doctor`: why it does not start, before you have to ask."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.markup import escape

from runner import doctor as examination
from runner.settings import Settings
from terminal.errors import EXIT_FAILED
from terminal.output import JsonOption, print_json, stdout

app = typer.Typer()


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Check programs, ports, data directory, disk and user; say how to mend what is wrong."""
    settings = Settings()
    findings = []
    for finding in examination.examine(settings):
        findings.append(finding)
        if as_json:
            continue
        mark = "[green]✓[/]" if finding.ok else "[red]✗[/]"
        stdout.print(f"{mark} {finding.name}: {escape(finding.detail)}")
        if not finding.ok and finding.way_out:
            stdout.print(f"    way out: {escape(finding.way_out)}")
    ok = all(finding.ok for finding in findings)
    if as_json:
        print_json({"ok": ok, "checks": [asdict(finding) for finding in findings]})
    if not ok:
        raise typer.Exit(EXIT_FAILED)
