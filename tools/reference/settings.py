"""`docs/reference/settings.md`, from the settings classes and the comments above their fields."""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from edge.settings import EdgeSettings
from kit.runtime.settings import BusSettings, ContextSettings, ProcessSettings
from psp_sim.settings import Settings as SimulatorSettings
from roster import ROSTER
from runner.settings import Settings as RunnerSettings
from tools.reference.markdown import code, page, table

_INTRODUCTION: Final = """\
Everything that can be set is an environment variable. Processes that `florin up` starts inherit its
environment, with addresses, secrets and ports filled in by the runner; so on one machine only the first
table matters. A process that is started in another way (a container, say) is given the table of all
processes, that of all contexts, and its own. Where one process hosts several contexts, a variable may name
the one it is meant for: `FLORIN_ORDER_DATABASE_URL` comes before `FLORIN_DATABASE_URL`.

Two systems run side by side on one machine when `FLORIN_DATA_DIR` and the ports differ."""

_SECTIONS: Final[Mapping[str, type[BaseSettings]]] = {
    "The runner": RunnerSettings,
    "The runner and all contexts": BusSettings,
    "All processes": ProcessSettings,
    "All contexts": ContextSettings,
    **{
        f"{context.name.capitalize()} service": import_module(f"{context.package}.settings").Settings
        for context in ROSTER
    },
    "PSP simulator": SimulatorSettings,
}

_FAULTPOINT: Final = """\
`FLORIN_FAULTPOINT=payment_svc.after_charge:3` ends a process with SIGKILL the third time it passes that point
(`kit/observe/faultpoints.py`). For tests; unset, it does nothing."""

_WORDS: Final = {int: "integer", float: "number", str: "text", bool: "yes or no", Path: "path"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable."""

    variable: str
    type: str
    default: str
    description: str

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Its row in a table."""
        return code(self.variable), self.type, self.default, self.description


def render() -> str:
    """Return the page: one table for each class of settings."""
    parts = [_INTRODUCTION]
    for title, settings in sections().items():
        parts += [f"## {title}", _table(settings) if settings else "None of its own."]
    return page("Settings", "the settings classes", *parts, "## For tests of failures", _FAULTPOINT)


def sections() -> dict[str, list[Setting]]:
    """Return all settings by section; the edge's are those that the runner does not have."""
    found = {title: list(_settings_of(settings)) for title, settings in _SECTIONS.items()}
    elsewhere = {setting.variable for settings in found.values() for setting in settings}
    found["The edge"] = [each for each in _edge_settings() if each.variable not in elsewhere]
    return found


def _table(settings: Iterable[Setting]) -> str:
    return table(("variable", "type", "default", "what it is"), [setting.cells for setting in settings])


def _settings_of(settings: type[BaseSettings]) -> Iterator[Setting]:
    described = comments_of(settings)
    for name, field in settings.model_fields.items():
        # What a class inherits is in the table of the class that has it.
        if name not in settings.__annotations__ and not field.description:
            continue
        alias = field.validation_alias
        yield Setting(
            variable=alias if isinstance(alias, str) else f"FLORIN_{name.upper()}",
            type=_type(field),
            default=_default(field),
            description=described.get(name) or field.description or "",
        )


def _edge_settings() -> Iterator[Setting]:
    """Yield what `EdgeSettings.from_environment` reads, found in its source."""
    described = comments_of(EdgeSettings)
    tree = ast.parse(dedent(inspect.getsource(EdgeSettings.from_environment)))
    for keyword in (node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg):
        for node in ast.walk(keyword.value):
            match node:
                case ast.Call(
                    func=ast.Name(id="get"),
                    args=[ast.Constant(value=str(name)), ast.Constant(value=default)],
                ):
                    description = described.get(str(keyword.arg), "")
                    yield Setting(f"FLORIN_{name}", _WORDS[type(default)], _literal(default), description)


def comments_of(settings: type) -> dict[str, str]:
    """Return the comment above each field of a class.

    A comment speaks for every field that follows it, up to the next comment or empty line.
    """
    lines = inspect.getsource(settings).splitlines()
    fields = {
        node.lineno: node.target.id
        for node in ast.walk(ast.parse(inspect.getsource(settings)))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    comments: dict[str, str] = {}
    current: list[str] = []
    fresh = True
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text.startswith("#"):
            current = [text[1:].strip()] if fresh else [*current, text[1:].strip()]
            fresh = False
        elif number in fields:
            comments[fields[number]] = " ".join(current)
            fresh = True
        elif not text:
            current, fresh = [], True
    return comments


def _type(field: FieldInfo) -> str:
    word = _word(field.annotation)
    bounds = {
        kind: getattr(each, kind)
        for each in field.metadata
        for kind in ("ge", "gt", "le", "lt")
        if getattr(each, kind, None) is not None
    }
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if low is not None and high is not None:
        return f"{word}, {low:,} to {high:,}" if "ge" in bounds else f"{word}, above {low:,}, to {high:,}"
    return f"{word}, at least {low:,}" if low is not None else word


def _word(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return " or ".join(code(str(choice)) for choice in typing.get_args(annotation))
    if origin in (Union, UnionType):
        known = [each for each in typing.get_args(annotation) if each is not NoneType]
        return " or ".join(_word(each) for each in known)
    return "secret" if annotation is SecretStr else _WORDS[annotation]


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "made"
    if field.default is PydanticUndefined:
        return "**required**"
    return _literal(field.default)


def _literal(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return "none" if value is None or value == "" else code(str(value))
