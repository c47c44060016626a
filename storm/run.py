"""One storm on a running system: load, faults, then quiet, a deadline, and the proof."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from typing import Final

from bench import shop
from bench.measure import assign, measure
from bench.orders import OrderDatabase
from bench.progress import Bars
from bench.repeat import repeat
from bench.system import System
from proof import prove
from runner import testing
from runner.access.audit import audit_of
from storm.plan import Plan
from storm.report import Report
from storm.strike import Striker, all_processes

# What was promised has ended by then, however hard the storm was.
END_DEADLINE_S: Final = 90.0


def run(system: System, plan: Plan, bars: Bars) -> Report:
    """Loads the system while its schedule strikes, waits until all has ended, and proves its books."""
    hurt = testing.System(system.settings, system.secrets)
    striker = Striker(hurt, on_step=bars.finding)
    with ExitStack() as stack:
        orders = OrderDatabase(system.settings)
        stack.callback(orders.close)
        bars.phase("Stock the shop")
        shop.stock_up(system, plan.mix.products)
        assignment = assign(
            system,
            plan.window,
            mix=plan.mix,
            tokens=shop.buyers(system, plan.buyers),
            name=f"storm-{uuid.uuid4().hex[:8]}",
        )
        bars.phase(f"Storm {plan.seed}: {plan.rate_per_s:g} checkouts/s", plan.window.length_s)
        with _striking(striker, plan) as strike:
            measured = measure(
                system,
                orders,
                assignment,
                on_start=strike,
                on_drain=lambda left: bars.detail(f"{left} orders under way"),
            )
        bars.phase("Quiet: wait until every process is well")
        hurt.wait_healthy()
        bars.phase("Send again what was not accepted")
        order_ids, never = repeat(assignment, measured.turned_away)
        still_open = orders.wait_until_ended(order_ids, deadline_s=END_DEADLINE_S)
        bars.phase("Prove that every cent and every unit is where it should be")
        proof = asyncio.run(prove(audit_of(system.settings)))
    return Report(
        plan=plan,
        load=measured,
        struck=dict(striker.struck),
        missed=dict(striker.missed),
        repeated=len(order_ids),
        never_accepted=dict(never),
        repeated_open=still_open,
        proof=proof,
    )


@contextmanager
def _striking(striker: Striker, plan: Plan) -> Iterator[Callable[[float], None]]:
    """Strikes from the moment that it is told; what has not been begun at the end is left."""
    over = Event()
    steps = plan.steps(all_processes())
    threads: list[Thread] = []

    def start(start_s: float) -> None:
        threads.append(Thread(target=striker.strike, args=(steps, start_s, over), name="storm"))
        threads[0].start()

    try:
        yield start
    finally:
        over.set()
        for thread in threads:
            thread.join()
