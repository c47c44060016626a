"""Splits a batch so that no statement has to change one row twice."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TypeVar

K = TypeVar("K")
C = TypeVar("C")


def rounds(commands: Mapping[K, C], row: Callable[[C], Hashable]) -> Iterator[dict[K, C]]:
    """Yield the commands in rounds that name each row once; those of one row keep their order."""
    waiting = dict(commands)
    while waiting:
        first: dict[Hashable, K] = {}
        for index, command in waiting.items():
            first.setdefault(row(command), index)
        yield {index: waiting.pop(index) for index in first.values()}
