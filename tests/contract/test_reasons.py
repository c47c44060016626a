"""Every refusal in the code has a reason from the catalogue, and every reason of the catalogue is one's."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from edge.errors import EDGE_ERRORS
from edge.reasons import EdgeReason
from kit.values import errors
from kit.values.errors import FlorinError, Reason
from roster import ROSTER
from tools.reference.errors import AnyReason, catalogue

ROOT: Final = Path(__file__).resolve().parents[2]
CLASSES: Final = {cls.__name__ for cls in FlorinError.__subclasses__() if cls.__module__ == errors.__name__}
CATALOGUE: Final = {reason.name: reason for reason in catalogue()}

# Promised in the contract, and raised by nobody yet: there are no direct payments.
KEPT: Final = {"CARD_DECLINED", "PSP_UNAVAILABLE"}


class Definition(NamedTuple):
    """A place in the code that makes a reason."""

    place: str
    module: str
    constant: str
    name: str


class Refusal(NamedTuple):
    """A place in the code that makes an error; `error` is empty where a class of ours calls its base."""

    place: str
    error: str
    reason: str


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Yield each module that may refuse: its path below the root, and what it says."""
    for package in ("kit", *ROSTER.packages, "edge"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def definitions() -> Iterator[Definition]:
    """Yield each call of `Reason` or `EdgeReason`, with the constant that it is the value of."""
    for path, tree in trees():
        constants = {
            node.value: node.target.id
            for node in tree.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id="Reason" | "EdgeReason"), args=[ast.Constant(value=name), *_]):
                    place = f"{path}:{node.lineno}"
                    yield Definition(place, Path(path).name, constants.get(node, ""), str(name))


def refusals() -> Iterator[Refusal]:
    """Yield each call of an error class; its first argument has to be the name of a reason."""
    for path, tree in trees():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id=name), args=[reason, *_]) if name in CLASSES:
                    yield Refusal(f"{path}:{node.lineno}", name, _name_of(reason))
                case ast.Call(func=ast.Attribute(attr="__init__"), args=[reason, *_]):
                    if _name_of(reason) in CATALOGUE:
                        yield Refusal(f"{path}:{node.lineno}", "", _name_of(reason))


def _name_of(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ast.unparse(node)


def test_no_reason_is_defined_twice_or_outside_of_a_table() -> None:
    found = list(definitions())
    assert [name for name, count in Counter(each.name for each in found).items() if count > 1] == []
    assert [each for each in found if (each.module, each.constant) != ("reasons.py", each.name)] == []
    assert Counter(each.name for each in found) == Counter(reason.name for reason in catalogue())


def test_every_refusal_names_a_reason_and_is_of_the_class_that_the_reason_has() -> None:
    found = [refusal for refusal in refusals() if refusal.error]
    assert len(found) > 20
    expected = {
        name: reason.error.__name__ for name, reason in CATALOGUE.items() if isinstance(reason, Reason)
    }
    assert [refusal for refusal in found if expected.get(refusal.reason) != refusal.error] == []


def test_every_reason_is_raised_somewhere_or_answered_by_the_edge() -> None:
    told = {refusal.reason for refusal in refusals()} | {error.reason.name for error in EDGE_ERRORS}
    assert set(CATALOGUE) - told == KEPT


@pytest.mark.parametrize("reason", CATALOGUE.values(), ids=CATALOGUE)
def test_every_reason_says_when_it_happens_and_what_to_do(reason: AnyReason) -> None:
    assert reason.name == reason.name.upper()
    for text in (reason.when, reason.way_out):
        assert text[0].isupper() or text[0] == "`", text
        assert text.endswith("."), text


def test_the_edge_answers_every_status_that_its_own_reasons_name() -> None:
    for reason in CATALOGUE.values():
        if isinstance(reason, EdgeReason):
            answered = {error.answered for error in EDGE_ERRORS if error.reason is reason}
            assert answered == set(reason.http_statuses), reason.name


def test_every_reason_is_in_the_reference_page_once() -> None:
    page = (ROOT / "docs" / "reference" / "errors.md").read_text()
    rows = [line.split("|")[3].split("`")[1] for line in page.splitlines() if line.startswith(("| 4", "| 5"))]
    assert sorted(rows) == sorted(CATALOGUE)
