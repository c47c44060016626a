"""A place for each room: importers above what they import, neighbours near each other, few lines crossing.

This is the way of Sugiyama, Tagawa and Toda (1981): rooms get storeys, an import that goes further than to
the storey below gets a bend on each storey between, each storey is put in an order with few crossings, and
at last everything moves sideways towards what it is connected with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise, product
from typing import Final

from tools.plan.house import House

ROOM_HEIGHT: Final = 46
# Between the storeys: room for curves, and for a number where each begins.
STOREY_GAP: Final = 64
# Two lines side by side where they leave a room, each with a number of two digits.
LINE_GAP: Final = 20
_ROOM_GAP: Final = 22
_BEND_GAP: Final = 14
# A name takes so much per letter, as browsers draw it in this size, with a margin on both sides; the number
# of lines below it takes the least.
_LETTER: Final = 8
_NAME_MARGIN: Final = 24
_LEAST_WIDTH: Final = 96
# So wide is a room of a thousand lines; large rooms are wider than their names need.
_WIDTH_OF_THOUSAND: Final = 60

# Enough for both steps to stop moving on any house of a few dozen rooms.
_SWEEPS: Final = 24
# A room that is connected with none stands where there is space.
_ALONE: Final = 0.01


@dataclass(slots=True, eq=False)
class Place:
    """Where a room is, or where an import bends on its way past a storey; `x` is its middle."""

    storey: int
    width: int
    room: str = ""
    x: float = 0.0
    # All bends of the same import.
    way: Sequence[Place] = ()
    above: list[Place] = field(default_factory=list)
    below: list[Place] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """The imports from one room to another; its places go from top to bottom, whoever of the two imports."""

    importer: str
    imported: str
    count: int
    rises: bool
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """All places, storey by storey from the bottom, and the lines between them."""

    storeys: Sequence[Sequence[Place]]
    lines: Sequence[Line]


def arrange(house: House) -> Layout:
    """Find a place for each room and a way for each import."""
    order = top_to_bottom(house)
    storey = _storey_of(house, order)
    places = {name: Place(storey[name], _width(house, name, storey), name) for name in order}
    storeys: list[list[Place]] = [[] for _ in range(max(storey.values()) + 1)]
    for place in places.values():
        storeys[place.storey].append(place)
    lines = [
        _line(places[importer], places[imported], count, storeys)
        for (importer, imported), count in house.imports.items()
    ]
    _uncross(storeys)
    _align(storeys)
    return Layout(storeys, lines)


def top_to_bottom(house: House) -> list[str]:
    """Order the rooms so that few imports go upwards; none, if no two rooms need each other.

    Eades, Lin and Smyth (1993): take away what imports nothing, then what nobody imports; if there is
    neither, what imports most and is imported least.
    """
    left = dict(house.imports)
    rooms = sorted(house.rooms)
    top: list[str] = []
    bottom: list[str] = []
    while rooms:
        outgoing = {room: sum(n for (a, _), n in left.items() if a == room) for room in rooms}
        incoming = {room: sum(n for (_, b), n in left.items() if b == room) for room in rooms}
        if sink := next((room for room in rooms if not outgoing[room]), None):
            bottom.insert(0, sink)
            taken = sink
        else:
            source = next((room for room in rooms if not incoming[room]), None)
            taken = source or max(rooms, key=lambda room: outgoing[room] - incoming[room])
            top.append(taken)
        rooms.remove(taken)
        left = {pair: count for pair, count in left.items() if taken not in pair}
    return top + bottom


def _storey_of(house: House, order: Sequence[str]) -> Mapping[str, int]:
    """Put each room above all that it is connected with and that come after it, whoever imports whom."""
    storey: dict[str, int] = {}
    for room in reversed(order):
        others = (b if a == room else a for a, b in house.imports if room in (a, b))
        storey[room] = max((storey[other] for other in others if other in storey), default=-1) + 1
    return storey


def _width(house: House, name: str, storey: Mapping[str, int]) -> int:
    others = [b if a == name else a for a, b in house.imports if name in (a, b)]
    below = sum(storey[other] < storey[name] for other in others)
    by_ends = (max(below, len(others) - below) + 1) * LINE_GAP
    by_lines = house.rooms[name].lines * _WIDTH_OF_THOUSAND // 1000
    return max(_LEAST_WIDTH, by_ends, by_lines, len(name) * _LETTER + _NAME_MARGIN)


def _line(importer: Place, imported: Place, count: int, storeys: Sequence[list[Place]]) -> Line:
    rises = importer.storey < imported.storey
    upper, lower = (imported, importer) if rises else (importer, imported)
    bends = [Place(storey, 0) for storey in range(upper.storey - 1, lower.storey, -1)]
    for bend in bends:
        bend.way = bends
        storeys[bend.storey].append(bend)
    way = (upper, *bends, lower)
    for above, below in pairwise(way):
        above.below.append(below)
        below.above.append(above)
    return Line(importer.room, imported.room, count, rises, way)


def _uncross(storeys: list[list[Place]]) -> None:
    """Order each storey by the middle of its neighbours, up and down the house, and keep the best."""
    best = [list(storey) for storey in storeys]
    fewest = _crossings(best)
    for sweep in range(_SWEEPS):
        upwards = sweep % 2 == 0
        for storey in storeys[1:] if upwards else storeys[-2::-1]:
            rank = _ranks(storeys)
            middle = {
                place: sum(rank[each] for each in near) / len(near) if near else rank[place]
                for place in storey
                for near in [place.below if upwards else place.above]
            }
            storey.sort(key=lambda place: middle[place])
        _swap_neighbours(storeys)
        if (crossings := _crossings(storeys)) < fewest:
            best, fewest = [list(storey) for storey in storeys], crossings
    storeys[:] = best


def _swap_neighbours(storeys: Sequence[list[Place]]) -> None:
    """Swap two that stand side by side wherever fewer of their lines cross then."""
    rank = _ranks(storeys)
    for storey in storeys:
        for index, right in enumerate(storey[1:]):
            here = storey[index]
            as_it_is = sum(rank[a] > rank[b] for a, b in _pairs_of_ends(here, right))
            swapped = sum(rank[a] < rank[b] for a, b in _pairs_of_ends(here, right))
            if swapped < as_it_is:
                storey[index], storey[index + 1] = right, here
                rank[here], rank[right] = index + 1, index


def _pairs_of_ends(left: Place, right: Place) -> Iterator[tuple[Place, Place]]:
    yield from product(left.above, right.above)
    yield from product(left.below, right.below)


def _crossings(storeys: Sequence[Sequence[Place]]) -> int:
    rank = _ranks(storeys)
    crossings = 0
    for storey in storeys[1:]:
        ends = [end for place in storey for end in sorted(rank[each] for each in place.below)]
        crossings += sum(left > right for left, right in combinations(ends, 2))
    return crossings


def _ranks(storeys: Sequence[Sequence[Place]]) -> dict[Place, int]:
    return {place: index for storey in storeys for index, place in enumerate(storey)}


def _align(storeys: Sequence[Sequence[Place]]) -> None:
    """Move everything sideways to where its neighbours are, in the order that it has."""
    for storey in storeys:
        _settle(storey, [(0.0, 1.0)] * len(storey))
    for sweep in range(_SWEEPS):
        for storey in storeys if sweep % 2 else storeys[::-1]:
            _settle(storey, [_wanted(place) for place in storey])
    left = min(place.x - place.width / 2 for storey in storeys for place in storey)
    for place in (place for storey in storeys for place in storey):
        place.x -= left


def _wanted(place: Place) -> tuple[float, float]:
    """Return where it would be best, and how much it matters."""
    if place.way:
        ends = (*place.way[0].above, *place.way[-1].below)
        near = [each.x for each in (*place.way, *place.way, *ends)]
    else:
        near = [each.x for each in (*place.above, *place.below)]
    return (sum(near) / len(near), len(near)) if near else (place.x, _ALONE)


def _settle(storey: Sequence[Place], wanted: Sequence[tuple[float, float]]) -> None:
    """Give each place the `x` that is nearest to what it wants, by least squares, without an overlap.

    With the distances to the first subtracted this is isotonic regression: those who would overlap stand
    together, around the mean of what they want.
    """
    offsets = [0.0]
    for left, right in pairwise(storey):
        gap = _ROOM_GAP if left.room or right.room else _BEND_GAP
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + gap)
    groups: list[tuple[float, float, int]] = []
    for (want, matters), offset in zip(wanted, offsets, strict=True):
        mean, weight, size = want - offset, matters, 1
        while groups and groups[-1][0] >= mean:
            other, its_weight, its_size = groups.pop()
            mean = (other * its_weight + mean * weight) / (its_weight + weight)
            weight, size = weight + its_weight, size + its_size
        groups.append((mean, weight, size))
    starts = [mean for mean, _, size in groups for _ in range(size)]
    for place, start, offset in zip(storey, starts, offsets, strict=True):
        place.x = start + offset
