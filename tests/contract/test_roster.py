"""There is one list of what Florin consists of, and everything agrees with it."""

from __future__ import annotations

import ast
import configparser
import subprocess
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from kit.messaging.events import EventType, event_type, events_in
from kit.runtime.roster import Context, Roster
from roster import ROSTER

ROOT: Final = Path(__file__).resolve().parents[2]

# So many contexts named together are a list of them; two may simply have to do with each other.
A_LIST: Final = 3

# What is made from the roster, what explains it, and what follows from something else.
NO_LISTS: Final = (
    ".importlinter",
    "docs/",
    "gen/",
    "CHANGELOG.md",
    "README.md",
    "roster.py",
)

# Tables that say something of each process, with the reason why that is not in the roster.
TABLES: Final = {
    "bench/budget.py": "what a checkout may cost each process: a figure of the benchmark",
    "tests/property/saga/system.py": "what takes the place of each context's stores",
    "tests/unit/test_edge_config.py": "what has to come out for the contexts of today",
}


def names(context: Context) -> set[str]:
    """Return what a context is called in one place or another."""
    return {context.package, context.name, context.database}


def contexts_in(values: set[str]) -> set[str]:
    """Return the contexts that are named by some of these values."""
    return {context.package for context in ROSTER if names(context) & values}


def literals(tree: ast.AST) -> Iterator[set[str]]:
    """Yield the strings of each literal collection, of each `Literal[…]`, of each `match`."""
    for node in ast.walk(tree):
        match node:
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                items: list[ast.expr | None] = [*parts]
            case ast.Dict(keys=keys):
                items = keys
            case ast.Match(cases=cases):
                items = [case.pattern.value for case in cases if isinstance(case.pattern, ast.MatchValue)]
            case _:
                continue
        yield {each.value for each in items if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def second_lists(path: Path) -> Iterator[str]:
    """Yield the places of a file that list contexts."""
    if path.suffix == ".py":
        for values in literals(ast.parse(path.read_text())):
            if len(found := contexts_in(values)) >= A_LIST:
                yield f"{path.relative_to(ROOT)}: {', '.join(sorted(found))}"
    elif len(found := {c.package for c in ROSTER if c.package in path.read_text()}) >= A_LIST:
        yield f"{path.relative_to(ROOT)}: {', '.join(sorted(found))}"


def tracked() -> list[Path]:
    """Return the files in which a list could be."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    suffixes = {".py", ".toml", ".ini", ".yaml", ".yml", ".sh", ".cfg", ""}
    return [
        ROOT / name
        for name in listed
        if not name.startswith(NO_LISTS) and name not in TABLES and (ROOT / name).suffix in suffixes
        if (ROOT / name).is_file()
    ]


def test_there_is_no_second_list() -> None:
    assert [place for path in tracked() for place in second_lists(path)] == []


def test_a_second_list_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    planted = {
        "a.py": 'SERVICES = ["order_svc", "payment_svc", "ledger_svc"]',
        "b.py": 'PORTS = {"order": 1, "payment": 2, "ledger": 3}',
        "c.py": 'Name = Literal["florin_order", "florin_payment", "florin_ledger"]',
        "Makefile": "TYPED := kit order_svc payment_svc ledger_svc",
    }
    for name, text in planted.items():
        (tmp_path / name).write_text(text)
        assert list(second_lists(tmp_path / name)), name


@pytest.mark.parametrize("context", ROSTER.contexts, ids=lambda context: context.package)
def test_a_context_subscribes_to_exactly_what_the_roster_says_it_consumes(context: Context) -> None:
    subscriptions = import_module(f"{context.package}.transport.events").SUBSCRIPTIONS
    assert {event_type(message).name for message in subscriptions} == set(context.consumes)


@pytest.mark.parametrize("context", ROSTER.contexts, ids=lambda context: context.package)
def test_a_context_emits_exactly_the_events_of_its_protos(context: Context) -> None:
    emits: tuple[EventType, ...] = import_module(f"{context.package}.transport.events").EMITS
    assert set(emits) == set(events_in(context.event_protos))


@pytest.mark.parametrize("context", ROSTER.contexts, ids=lambda context: context.package)
def test_a_context_has_the_rooms_that_its_host_and_its_reader_look_for(context: Context) -> None:
    rooms = "__main__ settings bootstrap domain application adapters transport migrations"
    missing = [room for room in rooms.split() if find_spec(f"{context.package}.{room}") is None]
    assert not missing


def test_every_event_has_a_consumer_and_every_consumed_event_exists() -> None:
    emitted = [type_.name for context in ROSTER for type_ in events_in(context.event_protos)]
    assert len(emitted) == len(set(emitted)), "two events have one name"
    assert set(emitted) == set(ROSTER.consumers), "nobody acts on an event, or one does not exist"


def test_a_context_may_live_in_the_process_of_another() -> None:
    small = Roster(
        (
            Context(package="shop", port=50051, consumes=("order.placed",)),
            Context(package="hello_svc", host="shop", consumes=("order.placed",)),
        )
    )
    assert small.processes == {"shop": 50051}
    assert [context.name for context in small.hosted_by("shop")] == ["shop", "hello"]
    assert small.consumers == {"order.placed": {"shop", "hello_svc"}}
    assert small["hello_svc"].database == "florin_hello"
    assert small.named("hello") is small["hello_svc"]


@pytest.mark.parametrize(
    "contexts",
    [
        (Context(package="a", port=1), Context(package="b", port=1)),
        (Context(package="a", port=1), Context(package="a_svc", port=2)),
        (Context(package="a", host="b"),),
        (Context(package="a"),),
        (Context(package="a", port=1, host="b"), Context(package="b", port=2)),
        (Context(package="a", port=1, calls=("b",)),),
    ],
    ids=["same port", "same name", "no such host", "neither port nor host", "both", "calls nobody"],
)
def test_a_roster_that_cannot_be_is_refused(contexts: tuple[Context, ...]) -> None:
    with pytest.raises(AssertionError):
        Roster(contexts)


def test_every_room_is_in_the_import_contracts() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "tools"}
    assert set(contracts["importlinter"]["root_packages"].split()) == rooms
