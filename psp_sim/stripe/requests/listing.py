"""Lists with cursors, and the filters that Stripe's lists have."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol

from psp_sim.memory.table import Table
from psp_sim.stripe.errors import invalid_request, no_such
from psp_sim.stripe.objects.rows import R, Row
from psp_sim.stripe.requests import forms
from psp_sim.stripe.requests.forms import Params

DEFAULT_LIMIT: Final = 10
MAX_LIMIT: Final = 100

PAGE_PARAMS: Final = frozenset(("limit", "starting_after", "ending_before", "expand", "created"))


class Created(Protocol):
    """Whatever knows when it was created."""

    @property
    def created(self) -> int:
        """Unix seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, newest first, and whether there is more in the direction asked for."""

    rows: list[Row]
    has_more: bool
    # Only searches have one: where the next page begins.
    next_page: str | None = None


def page(table: Table[R], params: Params, matches: Callable[[R], bool] = lambda row: True) -> Page:
    """Return the page of a table that the cursors and the limit in a request ask for.

    Raises:
        ApiError: 400 for a limit out of range, both cursors at once, or an unknown cursor.
    """
    limit = limit_of(params)
    is_wanted = created_filter(params)
    after = _cursor(table, params, "starting_after")
    before = _cursor(table, params, "ending_before")
    if after is not None and before is not None:
        raise invalid_request(
            "You cannot parameterize both starting_after and ending_before.",
            param="ending_before",
        )
    candidates: Iterator[R]
    candidates = table.oldest_first(above=before) if before is not None else table.newest_first(below=after)
    found = list(islice((row for row in candidates if is_wanted(row) and matches(row)), limit + 1))
    rows: list[Row] = list(found[:limit])
    return Page(rows[::-1] if before is not None else rows, has_more=len(found) > limit)


def page_of(rows: Iterable[R], params: Params) -> Page:
    """Return the page of a short list, such as the charges of one payment intent."""
    table: Table[R] = Table()
    for row in reversed(list(rows)):
        table.put(row)
    return page(table, params)


def limit_of(params: Params) -> int:
    """Return how many rows a page may have."""
    return forms.whole_number(params, "limit", at_least=1, at_most=MAX_LIMIT, default=DEFAULT_LIMIT)


def created_filter(params: Params) -> Callable[[Created], bool]:
    """Return the test for `created`, which is one second or bounds such as `created[gte]`."""
    given: Any = params.get("created")
    if given is None:
        return lambda row: True
    bounds = given if isinstance(given, dict) else {"gte": given, "lte": given}
    if unknown := bounds.keys() - {"gt", "gte", "lt", "lte"}:
        raise invalid_request(f"Received unknown parameter: created[{min(unknown)}]")
    low = max(_second(bounds, "gte", 0), _second(bounds, "gt", -1) + 1)
    high = min(_second(bounds, "lte", _FOREVER), _second(bounds, "lt", _FOREVER + 1) - 1)
    return lambda row: low <= row.created <= high


# Beyond every Unix second that will be asked for.
_FOREVER: Final = 1 << 60


def _second(bounds: dict[str, Any], name: str, default: int) -> int:
    return forms.whole_number(bounds, name, at_least=0, at_most=_FOREVER, default=default)


def _cursor(table: Table[R], params: Params, name: str) -> int | None:
    row_id = forms.text(params, name)
    if row_id is None:
        return None
    position = table.position(row_id)
    if position is None:
        raise no_such("object", row_id, param=name)
    return position
