"""`florin demo`: from nothing to proof, and nothing left running."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from florin_cli import calls, catalogue
from florin_cli.demo import mail, play, report
from florin_cli.demo.scenarios import SCENARIOS, THREE_D_SECURE
from florin_cli.demo.stage import Stage, set_stage
from florin_cli.demo.story import Proof, Seen, Story
from florin_cli.errors import EXIT_FAILED
from florin_cli.output import JsonOption, print_json, stderr
from florin_cli.runner import control
from florin_cli.runner.settings import Settings, checkout_root
from florin_cli.runner.state import State

app = typer.Typer()

# The proof of so few orders takes a second; a machine that does much else gets a minute.
_PROOF_DEADLINE_S: Final = 60.0

# What a shell reports for a program ended by SIGTERM.
_EXIT_TERMINATED: Final = 143


@app.command()
def demo(as_json: JsonOption = False) -> None:
    """Start a system of its own, buy in every way there is, prove the books, stop it again.

    Ends with 1 if anything is not as it promised.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_EXIT_TERMINATED))
    out = report.console()
    with _Bars(stderr if as_json else out) as bars:
        began_at = time.monotonic()
        with set_stage(Settings(), on_progress=bars.starting) as stage:
            bars.started()
            start_s = time.monotonic() - began_at
            story = calls.run(_tell(stage, start_s, bars))
            bars.stopping()
    if as_json:
        print_json(report.document(story, stage))
    else:
        report.show(story, stage, out)
    if not story.ok:
        raise typer.Exit(EXIT_FAILED)


async def _tell(stage: Stage, start_s: float, bars: _Bars) -> Story:
    began_at = time.monotonic()
    settings = stage.settings
    async with calls.merchant(settings, catalogue.MERCHANT) as merchant:
        await catalogue.stock_shelf(merchant)
    seen = await play.perform(settings, SCENARIOS, on_progress=bars.played)
    orders = [turn.order for each in seen for turn in each.turns if turn.order is not None]
    ended = frozenset(order.id for order in orders if order.ended)
    mails = await mail.collect(settings.mailbox, ended)
    bars.proving()
    proof = await _prove(settings)
    example = next((each for each in _orders_of(seen) if each.status == "COMPLETED"), None)
    async with calls.ops(settings) as ops:
        steps = await ops.timeline(example.id) if example else []
    return Story(
        seen=tuple(seen),
        example=example,
        example_steps=tuple(steps),
        mails=mails,
        proof=proof,
        start_s=start_s,
        play_s=time.monotonic() - began_at,
    )
