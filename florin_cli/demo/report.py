"""The story of a demo, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from florin_cli import sheets
from florin_cli.demo.stage import Stage
from florin_cli.demo.story import Mails, Proof, Seen, Story
from kit.money import format_minor

# Lines longer than this are hard to read; shorter ones break ids apart.
_MAX_WIDTH: Final = 100
_MIN_WIDTH: Final = 80

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
        "proof": {"ok": story.proof.ok, "checks": [dict(check) for check in story.proof.checks]},
        "data_dir": str(stage.settings.data_dir) if stage.data_is_kept else None,
    }


def show(story: Story, stage: Stage, out: Console) -> None:
    """Prints all of it."""
    for part in (
        _heading("What the buyers did"),
        _scenarios(story),
        *_example(story),
        _heading("The e-mails"),
        _mails(story.mails),
        _heading("The money proof (florin prove)"),
        _proof(story.proof),
        _heading("In short"),
        _verdict(story),
        _where_next(stage),
    ):
        out.print(part)


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


def _scenarios(story: Story) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1), expand=True)
    table.add_column("", width=1)
    table.add_column("", ratio=5)
    table.add_column("promised", ratio=3, overflow="fold")
    table.add_column("seen", ratio=3, overflow="fold")
    table.add_column("within", justify="right", no_wrap=True)
    for seen in story.seen:
        scenario = seen.scenario
        table.add_row(
            _GOOD if seen.ok else _BAD,
            f"[bold]{escape(scenario.name)}[/]\n[dim]{escape(scenario.why)}[/]",
            _ends(scenario.promised, scenario.orders, scenario.charges),
            _ends(seen.outcomes, seen.orders, seen.charges, good=seen.ok),
            f"{seen.slowest_s:.1f} s",
        )
    return table


def _ends(outcomes: Mapping[str, int], orders: int, charges: int, *, good: bool | None = None) -> Text:
    """Ends one below the other, then what the edge and the PSP have on their lists."""
    style = {None: "", True: "green", False: "red"}[good]
    text = Text("\n".join(f"{times} {outcome}" for outcome, times in sorted(outcomes.items())), style)
    counted = [_count(orders, "order"), _count(charges, "charge")] if orders else ["no order"]
    return text.append(f"\n{', '.join(counted)}", "dim")


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number in (0, 1) else 's'}"


def _example(story: Story) -> list[RenderableType]:
    order = story.example
    if order is None:
        return []
    total = format_minor(order.total_amount, order.currency)
    told = f"{order.id}, {total}, {order.outcome}: one trace through all services"
    return [
        _heading("The way of one order (florin order timeline)"),
        Padding(f"[dim]{escape(told)}[/]", (1, 0)),
        sheets.timeline(story.example_steps),
    ]


def _mails(mails: Mails) -> RenderableType:
    sent = sum(len(files) for files in mails.by_order.values())
    mark = _GOOD if mails.ok else _BAD
    line = f"{mark} {sent} sent for {len(mails.expected)} orders that ended: each buyer is told once"
    files = next(iter(mails.by_order.values()), ())
    rows = [f"[dim]one of them:[/] {escape(files[0])}"] if files else []
    return Group("", line, *rows)


def _proof(proof: Proof) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    for check in proof.checks:
        mark = _GOOD if check["ok"] else _BAD
        table.add_row(mark, str(check["name"]), escape(str(check["detail"])))
    return Group("", table)


def _verdict(story: Story) -> RenderableType:
    kept = sum(seen.ok for seen in story.seen)
    lines = [
        "",
        f"{_GOOD if kept == len(story.seen) else _BAD} {kept} of {len(story.seen)} promises about checkouts kept",
        f"{_GOOD if story.mails.ok else _BAD} every buyer told",
        f"{_GOOD if story.proof.ok else _BAD} every cent and every unit accounted for",
    ]
    for seen in story.seen:
        lines += [
            f"    [red]{escape(seen.scenario.name)}[/]: {escape(difference)}"
            for difference in seen.differences()
        ]
    took = f"The system was up after {story.start_s:.1f} s, all of the above took {story.play_s:.1f} s."
    return Group(*lines, "", took)


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
