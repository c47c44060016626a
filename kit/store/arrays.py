"""Lists as Postgres arrays, quickly.

psycopg looks for a dumper for every item of a list, each time; our batches are lists of plain values, and
that search was a sixth of a service's time. This writes the array literal
(https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO) in one go. Its type is left to the statement:
`%s::bigint[]`, or the column in `= ANY(%s)`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final

from psycopg.adapt import Dumper


def _quoted(text: str) -> str:
    if '"' in text or "\\" in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


_LITERALS: Final[dict[type, Callable[[Any], str]]] = {
    str: _quoted,
    int: str,
    float: repr,
    bool: lambda value: "t" if value else "f",
    bytes: lambda value: f'"\\\\x{value.hex()}"',
    datetime: lambda value: f'"{value.isoformat()}"',
    date: lambda value: value.isoformat(),
    type(None): lambda _: "NULL",
}


class ArrayDumper(Dumper):
    """Writes flat lists of text, integers, booleans, bytes, instants, days and None."""

    def dump(self, obj: list[Any]) -> bytes:
        """Return the array literal.

        Raises:
            TypeError: an item of another type.
        """
        try:
            return f"{{{','.join([_LITERALS[type(item)](item) for item in obj])}}}".encode()
        except KeyError as error:
            raise TypeError(f"no array item: {error.args[0]}") from None
