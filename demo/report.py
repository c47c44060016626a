"""What came of a demo, for people and for programs."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from client import Order
from demo.results import Mails, Result, ScenarioResult
from demo.system import System
from kit.values.money import format_minor
from proof import Proof
from terminal import tables

# Lines longer than this are hard to read; shorter ones break ids apart.
_MAX_WIDTH: Final = 100
_MIN_WIDTH: Final = 80

# With the columns beside it, the narrowest terminal exactly; a test holds the names to it.
_NAME_WIDTH: Final = 28

_GOOD: Final = "[green]✓[/]"
_BAD: Final = "[red]✗[/]"


def console() -> Console:
    """Standard output, as wide as can be read well."""
    width = Console().width
    return Console(width=max(_MIN_WIDTH, min(width, _MAX_WIDTH)), highlight=False)


def document(result: Result, system: System) -> dict[str, Any]:
    """The answer of `florin demo --json`."""
    return {
        "ok": result.ok,
        "start_s": round(result.start_s, 2),
        "play_s": round(result.run_s, 2),
        "scenarios": [_scenario_document(each) for each in result.scenarios],
        "timeline": [dict(step.document) for step in result.example_steps],
        "mails": {
            "ok": result.mails.ok,
            "expected": len(result.mails.expected),
            "sent": sum(len(files) for files in result.mails.by_order.values()),
            "folder": result.mails.folder,
        },
        "proof": result.proof.as_json(),
        "data_dir": str(system.settings.data_dir) if system.data_is_kept else None,
    }


def show(result: Result, system: System, out: Console) -> None:
    """Prints all of it."""
    for part in (
        _heading("What the buyers did"),
        _scenarios(result),
        *_example(result),
        _heading("The e-mails"),
        _mails(result.mails, result.example),
        _heading("The money proof (florin prove)"),
        _proof(result.proof),
        _heading("In short"),
        _verdict(result),
        _where_next(system),
    ):
        out.print(part, soft_wrap=isinstance(part, str))


def _scenario_document(result: ScenarioResult) -> dict[str, Any]:
    scenario = result.scenario
    return {
        "name": scenario.slug,
        "ok": result.ok,
        "differences": result.differences(),
        "promised": {
            "outcomes": dict(scenario.promised),
            "orders": scenario.orders,
            "charges": scenario.charges,
        },
        "seen": {"outcomes": dict(result.outcomes), "orders": result.orders, "charges": result.charges},
        "order_ids": [checkout.order.id for checkout in result.checkouts if checkout.order],
        "slowest_s": round(result.slowest_s, 3),
    }


def _heading(text: str) -> RenderableType:
    return Group("", Rule(f"[bold]{text}[/]", align="left", style="dim"))


def _scenarios(result: Result) -> Group:
    """Two lines per scenario: its name beside promised and seen ends, and below it the reason.

    Laid out by hand, because a table cannot let the reason run across its columns, and one that
    wraps it into a column is three screens long.
    """
    lines = [Text(), Text(_line("", "promised", "seen", "charges", "within"), "bold")]
    for each in result.scenarios:
        lines += scenario_lines(each)
    return Group(*lines)


def scenario_lines(result: ScenarioResult) -> list[Text]:
    """What a person reads of one scenario: its ends, promised and seen, and the reason."""
    scenario = result.scenario
    style = "green" if result.ok else "bold red"
    name = f"{'✓' if result.ok else '✗'} {scenario.name}"
    charges = f"{result.charges} of {scenario.charges}" if scenario.orders else "-"
    within = f"{result.slowest_s:.1f} s"
    lines = []
    # What was promised first, in its order; then what nobody expected.
    for outcome in dict.fromkeys((*scenario.promised, *result.outcomes)):
        counted = f"{result.outcomes[outcome]} of {scenario.promised.get(outcome, 0)}"
        text = Text(_line(name, outcome, counted, charges, within))
        text.stylize(style, 0, 1)
        text.stylize("bold", 1, _NAME_WIDTH)
        text.stylize(style, _NAME_WIDTH)
        lines.append(text)
        name = charges = within = ""
    return [*lines, Text(f"  {scenario.why}", "dim")]


def _line(name: str, outcome: str, seen: str, charges: str, within: str) -> str:
    return f"{name:<{_NAME_WIDTH}}{outcome:<28}{seen:>8} {charges:>8} {within:>6}"


def _example(result: Result) -> list[RenderableType]:
    order = result.example
    if order is None:
        return []
    total = format_minor(order.total_amount, order.currency)
    traces = sorted({step.trace_id for step in result.example_steps if step.trace_id})
    told = f"{order.id}, {total}, {order.outcome}\ntrace {', '.join(traces) or 'not sampled'}"
    return [
        _heading("The way of one order (florin order timeline)"),
        Padding(f"[dim]{escape(told)}[/]", (1, 0)),
        tables.timeline(result.example_steps),
    ]


def _mails(mails: Mails, example: Order | None) -> str:
    sent = sum(len(files) for files in mails.by_order.values())
    mark = _GOOD if mails.ok else _BAD
    line = f"\n{mark} {sent} sent for {len(mails.expected)} orders that ended: each buyer is told once"
    files = mails.by_order.get(example.id, ()) if example else ()
    if not files:
        return line
    # On a line of its own that no width breaks, so that it can be copied.
    return f"{line}\n  [dim]about the order above:[/]\n{escape(files[0])}"


def _proof(proof: Proof) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    for check in proof.checks:
        mark = _GOOD if check.ok else _BAD
        table.add_row(mark, check.name, escape(check.detail))
    return Group("", table)


def _verdict(result: Result) -> RenderableType:
    kept = sum(each.ok for each in result.scenarios)
    all_kept = kept == len(result.scenarios)
    lines = [
        "",
        _marked(all_kept, f"{kept} of {len(result.scenarios)} kinds of checkout went as promised"),
        _marked(result.mails.ok, "every buyer was told, once"),
        _marked(result.proof.ok, "every cent and every unit is accounted for"),
    ]
    for each in result.scenarios:
        lines += [
            f"    [red]{escape(each.scenario.name)}[/]: {escape(difference)}"
            for difference in each.differences()
        ]
    took = f"The system was up after {result.start_s:.1f} s, all of the above took {result.run_s:.1f} s."
    return Group(*lines, "", took)


def _marked(ok: bool, text: str) -> str:
    return f"{_GOOD} {text}" if ok else f"{_BAD} [bold]not[/] so: {text}"


def _where_next(system: System) -> RenderableType:
    data_dir = system.settings.data_dir
    rows = {
        "make up": "the same system, to stay: then `.venv/bin/florin checkout`",
        "make test": "the whole suite",
        "docs/tutorial.md": "a first hour with it, step by step",
        "README.md": "what it is and how it is built",
    }
    if system.data_is_kept:
        rows[str(data_dir)] = "logs and e-mails of this demo, until the next one"
    return Group("", "Everything the demo started is stopped. Where to look next:", "", tables.facts(rows))
