"""`docs/reference/cli.md`, from the commands themselves and from the Makefile."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import typer.main

from florin_cli.__main__ import build
from terminal import errors
from tools.reference.markdown import code, codes, page, table

_MAKEFILE: Final = Path(__file__).resolve().parents[2] / "Makefile"

# A target that explains itself: `up: … ## start the system`.
_TARGET: Final = re.compile(r"^([a-z-]+):.*## (.*)$", re.MULTILINE)

_INTRODUCTION: Final = f"""\
`make` is for work on a checkout, `florin` (in `.venv/bin`) for a running system. Both end with a code
other than 0 if they did not do what they say: `florin` with {errors.EXIT_FAILED} if it could not be done
or the answer is no, {errors.EXIT_USAGE} if the command was wrong, {errors.EXIT_NOT_RUNNING} if it needs a
running system and there is none. `--json` prints for programs what is printed for people otherwise."""


def render() -> str:
    """Return the page: the targets of make, then each command of florin."""
    parts = ["## make", table(("target", "does"), _targets())]
    root: Any = typer.main.get_command(build())
    for name, command in sorted(root.commands.items()):
        parts += _command(f"florin {name}", command)
    return page("Commands", "the commands and the Makefile", _INTRODUCTION, *parts)


def _targets() -> list[tuple[str, str]]:
    return [(code(f"make {name}"), text) for name, text in _TARGET.findall(_MAKEFILE.read_text())]


def _command(name: str, command: Any) -> list[str]:
    if hasattr(command, "commands"):
        parts = [f"## {name}", command.help or ""] if command.help else []
        for sub_name, sub_command in sorted(command.commands.items()):
            parts += _command(f"{name} {sub_name}", sub_command)
        return parts
    params = [param for param in command.params if param.name != "help" and not param.hidden]
    usage = " ".join([name, *(_usage(param) for param in params if not param.opts[0].startswith("-"))])
    return [
        f"## {name}",
        code(usage + " [options]" if any(_is_option(param) for param in params) else usage),
        command.help or "",
        table(("", "value", "default", "what it is"), [_row(param) for param in params]),
    ]


def _is_option(param: Any) -> bool:
    return bool(param.opts[0].startswith("-"))


def _usage(param: Any) -> str:
    name = str(param.name).upper()
    return name if param.required else f"[{name}]"


def _row(param: Any) -> tuple[str, str, str, str]:
    names = codes(param.opts) if _is_option(param) else code(str(param.name).upper())
    default = "**required**" if param.required else "" if not param.default else code(str(param.default))
    return names, _value(param), default, param.help or ""


def _value(param: Any) -> str:
    if getattr(param, "is_flag", False):
        return ""
    annotation = param.type_descriptor.annotation
    if get_origin(annotation) is Literal:
        return " or ".join(code(choice) for choice in get_args(annotation))
    words = {int: "integer", float: "number", str: "text", Path: "path"}
    return next((word for type_, word in words.items() if type_ in (annotation, *get_args(annotation))), "")
