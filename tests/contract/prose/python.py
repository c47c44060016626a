"""What a Python file says: to people in docstrings and comments, to machines in names and texts."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

# What is filled in where a text is made of parts.
FILLED_IN = "…"


@dataclass(frozen=True, slots=True)
class Python:
    """One file, read once: texts with their lines, and the words that are no texts."""

    docstrings: list[tuple[int, str]] = field(default_factory=list)
    comments: list[tuple[int, str]] = field(default_factory=list)
    # All texts but docstrings.
    texts: list[tuple[int, str]] = field(default_factory=list)
    identifiers: set[str] = field(default_factory=set)
    # What it appends to a path: names of files and folders that it makes or looks for.
    parts_of_paths: set[str] = field(default_factory=set)
    # What it calls `faultpoints.passing` with.
    faultpoints: set[str] = field(default_factory=set)


@cache
def read_python(path: Path) -> Python:
    """Read a file; once, however often it is asked for."""
    source = path.read_text(encoding="utf-8")
    file = Python(comments=list(_comments(source)))
    inside: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                match node.body:
                    case [ast.Expr(value=ast.Constant(value=str(text)) as docstring), *_]:
                        inside.add(id(docstring))
                        file.docstrings.append((docstring.lineno, text))
            case ast.JoinedStr(values=parts):
                inside |= {id(part) for part in parts}
                file.texts.append((node.lineno, text_of(node)))
            case ast.Constant(value=str(text)) if id(node) not in inside:
                file.texts.append((node.lineno, text))
            case ast.BinOp(op=ast.Div(), right=right):
                file.parts_of_paths.update(text_of(right).split("/"))
            case ast.Call(func=ast.Attribute(attr="passing"), args=[point]):
                file.faultpoints.add(text_of(point))
        file.identifiers.update(_identifiers(node))
    return file


def text_of(node: ast.expr) -> str:
    """Return a literal text, with `…` for what is filled in; nothing for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part) or FILLED_IN for part in parts)
    return ""


def _identifiers(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
            yield name
        case ast.alias(name=name) | ast.ImportFrom(module=str(name)):
            yield name


def _comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
