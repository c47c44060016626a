"""The demo in order: shelf, buyers, e-mails, proof, one order's way."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Final

from florin_cli import calls, catalogue
from florin_cli.client import Order, TimelineStep
from florin_cli.demo import mail, play
from florin_cli.demo.bars import Bars
from florin_cli.demo.scenarios import SCENARIOS, THREE_D_SECURE
from florin_cli.demo.stage import Stage
from florin_cli.demo.story import Proof, Seen, Story
from florin_cli.runner import control
from florin_cli.runner.settings import Settings, checkout_root

# The proof of so few orders takes a second; a machine that does much else gets a minute.
_PROOF_DEADLINE_S: Final = 60.0


async def tell(stage: Stage, bars: Bars, *, start_s: float) -> Story:
    """The whole story of one demo on a system that has just been started."""
    began_at = time.monotonic()
    settings = stage.settings
    bars.begin("Filling the shelf")
    async with calls.merchant(settings, catalogue.MERCHANT) as merchant:
        await catalogue.stock_shelf(merchant)
    bars.begin("Buying", play.buyers_in(SCENARIOS))
    seen = await play.perform(settings, SCENARIOS, on_progress=bars.advance)
    bars.begin("Reading the mailbox")
    mails = await mail.collect(settings.mailbox, _ended(seen))
    bars.begin("Proving the books")
    proof = await _prove(settings)
    example = _example(seen)
    return Story(
        seen=tuple(seen),
        example=example,
        example_steps=tuple(await _timeline(settings, example)),
        mails=mails,
        proof=proof,
        start_s=start_s,
        play_s=time.monotonic() - began_at,
    )


def _ended(seen: Sequence[Seen]) -> frozenset[str]:
    orders = [turn.order for each in seen for turn in each.turns]
    return frozenset(order.id for order in orders if order is not None and order.ended)


def _example(seen: Sequence[Seen]) -> Order | None:
    """An order with the longest way: one that had to be confirmed at the bank."""
    turns = [turn for each in seen if each.scenario is THREE_D_SECURE for turn in each.turns]
    return next((turn.order for turn in turns if turn.order is not None), None)


async def _timeline(settings: Settings, order: Order | None) -> list[TimelineStep]:
    if order is None:
        return []
    async with calls.ops(settings) as edge:
        return await edge.timeline(order.id)


async def _prove(settings: Settings) -> Proof:
    """The answer of `florin prove`, asked as anybody would: a failure to answer is no proof."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "florin_cli",
        "prove",
        "--json",
        env=control.environment(settings),
        cwd=checkout_root(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PROOF_DEADLINE_S):
            told, problem = await process.communicate()
        answer = json.loads(told)
        return Proof(ok=answer["ok"] and process.returncode == 0, checks=tuple(answer["checks"]))
    except TimeoutError:
        process.kill()
        problem = f"no answer within {_PROOF_DEADLINE_S:g} s".encode()
    except (ValueError, KeyError):
        pass
    detail = problem.decode(errors="replace").strip() or "the answer is not JSON"
    return Proof(ok=False, checks=({"name": "florin prove", "ok": False, "detail": detail},))
