"""Rows of one kind, kept in the order in which they came."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Row(Protocol):
    """Whatever has an id."""

    @property
    def id(self) -> str:
        """What it is looked up by."""
        ...


R = TypeVar("R", bound=Row)


class Table(Generic[R]):
    """The rows of one kind in the order they were created."""

    def __init__(self) -> None:
        self._rows: list[R] = []
        self._positions: dict[str, int] = {}

    def get(self, row_id: str) -> R | None:
        """Return the row of an id, or None."""
        position = self._positions.get(row_id)
        return None if position is None else self._rows[position]

    def put(self, row: R) -> bool:
        """Store a row in its id's place; true if the id is new."""
        position = self._positions.setdefault(row.id, len(self._rows))
        if position == len(self._rows):
            self._rows.append(row)
            return True
        self._rows[position] = row
        return False

    def position(self, row_id: str) -> int | None:
        """Return how many rows are older than this one, or None if there is no such row."""
        return self._positions.get(row_id)

    def newest_first(self, *, below: int | None = None) -> Iterator[R]:
        """Yield the rows from the newest, or from the one just older than a position."""
        for position in range((len(self._rows) if below is None else below) - 1, -1, -1):
            yield self._rows[position]

    def oldest_first(self, *, above: int = -1) -> Iterator[R]:
        """Yield the rows from the oldest, or from the one just newer than a position."""
        for position in range(above + 1, len(self._rows)):
            yield self._rows[position]

    def __len__(self) -> int:
        return len(self._rows)
