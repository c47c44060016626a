"""The story of a demo, for people and for programs."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from client import Order
from demo.stage import Stage
from demo.story import Mails, Seen, Story
from kit.values.money import format_minor
from proof import Proof
from terminal import sheets

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


def document(story: Story, stage: Stage) -> dict[str, Any]:
    """The answer of `florin demo --json`."""
    return {
        "ok": story.ok,
        "start_s": round(story.start_s, 2),
        "play_s": round(story.play_s, 2),
        "scenarios": [_scenario_document(seen) for seen in story.seen],
        "timeline": [dict(step.document) for step in story.example_steps],
        "mails": {
            "ok": story.mails.ok,
            "expected": len(story.mails.expected),
            "sent": sum(len(files) for files in story.mails.by_order.values()),
            "folder": story.mails.folder,
        },
        "proof": story.proof.as_json(),
        "data_dir": str(stage.settings.data_dir) if stage.data_is_kept else None,
    }


def show(story: Story, stage: Stage, out: Console) -> None:
    """Prints all of it."""
    for part in (
        _heading("What the buyers did"),
        _scenarios(story),
        *_example(story),
        _heading("The e-mails"),
        _mails(story.mails, story.example),
        _heading("The money proof (florin prove)"),
        _proof(story.proof),
        _heading("In short"),
        _verdict(story),
        _where_next(stage),
    ):
        out.print(part, soft_wrap=isinstance(part, str))


def _scenario_document(seen: Seen) -> dict[str, Any]:
    scenario = seen.scenario
    return {
        "name": scenario.slug,
        "ok": seen.ok,
        "differences": seen.differences(),
        "promised": {
            "outcomes": dict(scenario.promised),
            "orders": scenario.orders,
            "charges": scenario.charges,
        },
        "seen": {"outcomes": dict(seen.outcomes), "orders": seen.orders, "charges": seen.charges},
        "order_ids": [turn.order.id for turn in seen.turns if turn.order],
        "slowest_s": round(seen.slowest_s, 3),
    }


def _heading(text: str) -> RenderableType:
    return Group("", Rule(f"[bold]{text}[/]", align="left", style="dim"))


def _scenarios(story: Story) -> Group:
    """Two lines per scenario: its name beside promised and seen ends, and below it the reason.

    Laid out by hand, because a table cannot let the reason run across its columns, and one that
    wraps it into a column is three screens long.
    """
    lines = [Text(), Text(_line("", "promised", "seen", "charges", "within"), "bold")]
    for seen in story.seen:
        lines += scenario_lines(seen)
    return Group(*lines)


def scenario_lines(seen: Seen) -> list[Text]:
    """What a person reads of one scenario: its ends, promised and seen, and the reason."""
    scenario = seen.scenario
    style = "green" if seen.ok else "bold red"
    name = f"{'✓' if seen.ok else '✗'} {scenario.name}"
    charges = f"{seen.charges} of {scenario.charges}" if scenario.orders else "-"
    within = f"{seen.slowest_s:.1f} s"
    lines = []
    # What was promised first, in its order; then what nobody expected.
    for outcome in dict.fromkeys((*scenario.promised, *seen.outcomes)):
        counted = f"{seen.outcomes[outcome]} of {scenario.promised.get(outcome, 0)}"
        text = Text(_line(name, outcome, counted, charges, within))
        text.stylize(style, 0, 1)
        text.stylize("bold", 1, _NAME_WIDTH)
        text.stylize(style, _NAME_WIDTH)
        lines.append(text)
        name = charges = within = ""
    return [*lines, Text(f"  {scenario.why}", "dim")]


def _line(name: str, outcome: str, seen: str, charges: str, within: str) -> str:
    return f"{name:<{_NAME_WIDTH}}{outcome:<28}{seen:>8} {charges:>8} {within:>6}"


def _example(story: Story) -> list[RenderableType]:
    order = story.example
    if order is None:
        return []
    total = format_minor(order.total_amount, order.currency)
    traces = sorted({step.trace_id for step in story.example_steps if step.trace_id})
    told = f"{order.id}, {total}, {order.outcome}\ntrace {', '.join(traces) or 'not sampled'}"
    return [
        _heading("The way of one order (florin order timeline)"),
        Padding(f"[dim]{escape(told)}[/]", (1, 0)),
        sheets.timeline(story.example_steps),
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


def _verdict(story: Story) -> RenderableType:
    kept = sum(seen.ok for seen in story.seen)
    all_kept = kept == len(story.seen)
    lines = [
        "",
        _marked(all_kept, f"{kept} of {len(story.seen)} kinds of checkout went as promised"),
        _marked(story.mails.ok, "every buyer was told, once"),
        _marked(story.proof.ok, "every cent and every unit is accounted for"),
    ]
    for seen in story.seen:
        lines += [
            f"    [red]{escape(seen.scenario.name)}[/]: {escape(difference)}"
            for difference in seen.differences()
        ]
    took = f"The system was up after {story.start_s:.1f} s, all of the above took {story.play_s:.1f} s."
    return Group(*lines, "", took)


def _marked(ok: bool, text: str) -> str:
    return f"{_GOOD} {text}" if ok else f"{_BAD} [bold]not[/] so: {text}"


def _where_next(stage: Stage) -> RenderableType:
    data_dir = stage.settings.data_dir
    rows = {
        "make up": "the same system, to stay: then `.venv/bin/florin checkout`",
        "make test": "the whole suite",
        "docs/tutorial.md": "a first hour with it, step by step",
        "README.md": "what it is and how it is built",
    }
    if stage.data_is_kept:
        rows[str(data_dir)] = "logs and e-mails of this demo, until the next one"
    return Group("", "Everything the demo started is stopped. Where to look next:", "", sheets.facts(rows))
