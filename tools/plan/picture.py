"""The plan as an SVG picture, and whether such a picture still tells the truth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from tools.plan.house import House
from tools.plan.storeys import LINE_GAP, ROOM_HEIGHT, STOREY_GAP, Layout, Line, Place, arrange

_MARGIN: Final = 28
_ABOVE: Final = 74
_BELOW: Final = 52
# The sentence about the arrows needs it, however small the house.
_LEAST_WIDTH: Final = 760
_ARROWHEAD: Final = 7
# A line leaves and arrives straight, so that its number stands free beside it.
_STRAIGHT: Final = 12

# How far the numbers in a picture may be from the code before it has to be drawn anew: a tenth, or so much
# where they are small. Rooms and arrows have to be those of the code, always.
_TOLERANCE: Final = 0.1
_LINES_TOLERANCE: Final = 100
_COUNT_TOLERANCE: Final = 2

# A card of its own colour, so that it is legible on any page; dark where the reader's system is dark.
_STYLE: Final = """\
  text { font-family: ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #2c2a26; }
  .title { font-size: 17px; font-weight: 600; }
  .note { font-size: 12px; }
  .name { font-size: 13.5px; font-weight: 600; text-anchor: middle; }
  .lines { font-size: 11px; text-anchor: middle; }
  .count { font-size: 10px; }
  .paper { fill: #fdfcf9; stroke: #e4dfd3; }
  .note, .lines, .falls-count { fill: #857d70; }
  .room { fill: #ffffff; stroke: #9b9384; }
  .service { fill: #e8f0ea; stroke: #6f9a80; }
  .import { fill: none; }
  .falls { stroke: #a79f90; marker-end: url(#falls-head); }
  .rises { stroke: #c4472f; stroke-dasharray: 5 3; marker-end: url(#rises-head); }
  .falls-head { fill: #a79f90; }
  .rises-head, .rises-count { fill: #c4472f; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e6ea; }
    .paper { fill: #16181d; stroke: #2c3038; }
    .note, .lines, .falls-count { fill: #949ba8; }
    .room { fill: #22262e; stroke: #5b6472; }
    .service { fill: #1d2f27; stroke: #4f8566; }
    .falls { stroke: #687080; }
    .rises { stroke: #f0826b; }
    .falls-head { fill: #687080; }
    .rises-head, .rises-count { fill: #f0826b; }
  }"""

_SVG: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"\
 role="img">"""

# Beyond the end of its line, whose width does not change it.
_HEAD: Final = """\
<marker id="{kind}-head" viewBox="0 0 8 8" refY="4" markerWidth="8" markerHeight="8" orient="auto"\
 markerUnits="userSpaceOnUse"><path class="{kind}-head" d="M0 0L8 4L0 8z"/></marker>"""


def draw(house: House, title: str) -> str:
    """Return the picture. The same house gives the same picture, to the byte."""
    return _Picture(house, arrange(house), title).render()


def still_true(svg: str, house: House) -> bool:
    """Whether a picture that `draw` has made shows these rooms and imports, and about these numbers."""
    shown = [each.attrib for each in ElementTree.fromstring(svg).iter()]  # noqa: S314 - our own file
    lines = {each["data-room"]: int(each["data-lines"]) for each in shown if "data-room" in each}
    imports = {
        (each["data-importer"], each["data-imported"]): int(each["data-count"])
        for each in shown
        if "data-importer" in each
    }
    return (
        lines.keys() == house.rooms.keys()
        and imports.keys() == house.imports.keys()
        and all(_near(lines[name], room.lines, _LINES_TOLERANCE) for name, room in house.rooms.items())
        and all(_near(imports[pair], count, _COUNT_TOLERANCE) for pair, count in house.imports.items())
    )


def _near(shown: int, true: int, tolerance: int) -> bool:
    return abs(shown - true) <= max(tolerance, true * _TOLERANCE)


class _Picture:
    def __init__(self, house: House, layout: Layout, title: str) -> None:
        self._house = house
        self._layout = layout
        self._title = title
        places = [place for storey in layout.storeys for place in storey]
        extent = round(max(place.x + place.width / 2 for place in places))
        self._rooms = [place for place in places if place.room]
        self._width = max(extent + 2 * _MARGIN, _LEAST_WIDTH)
        self._left = (self._width - extent) // 2
        self._ground = _ABOVE + len(layout.storeys) * (ROOM_HEIGHT + STOREY_GAP) - STOREY_GAP
        self._leaves, self._arrives = _ends(self._rooms, layout.lines)

    def render(self) -> str:
        width, height = self._width, self._ground + _BELOW
        return "\n".join(
            [
                _SVG.format(width=width, height=height),
                f"<title>{escape(self._title)}</title>",
                f"<style>\n{_STYLE}\n</style>",
                *(_HEAD.format(kind=kind) for kind in ("falls", "rises")),
                f'<rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10"/>',
                f'<text class="title" x="{_MARGIN}" y="34">{escape(self._title)}</text>',
                f'<text class="note" x="{_MARGIN}" y="53">{escape(self._legend())}</text>',
                *(part for line in self._layout.lines for part in self._line(line)),
                *(self._room(place) for place in self._rooms),
                f'<text class="note" x="{_MARGIN}" y="{height - 22}">{escape(self._sums())}</text>',
                "</svg>\n",
            ]
        )

    def _legend(self) -> str:
        legend = "An arrow leads from a room to one that it imports from; its number says how many imports."
        rising = sum(line.rises for line in self._layout.lines)
        return f"{legend} Dashed: against the direction of the others." if rising else legend

    def _sums(self) -> str:
        total = sum(room.lines for room in self._house.rooms.values())
        beside = ", ".join(f"{name} {_hundreds(lines)}" for name, lines in self._house.beside.items())
        sums = f"{len(self._house.rooms)} rooms with {_hundreds(total)} lines."
        return f"{sums} Beside them: {beside}." if beside else sums

    def _room(self, place: Place) -> str:
        room = self._house.rooms[place.room]
        kind = "room service" if room.is_service else "room"
        x, y, width = self._x(place.x), self._y(place), place.width
        return (
            f'<g data-room={quoteattr(room.name)} data-lines="{room.lines}">'
            f"<title>{escape(room.about)}</title>"
            f'<rect class="{kind}" x="{x - width // 2}" y="{y}"'
            f' width="{width}" height="{ROOM_HEIGHT}" rx="5"/>'
            f'<text class="name" x="{x}" y="{y + 20}">{escape(room.name)}</text>'
            f'<text class="lines" x="{x}" y="{y + 36}">{_hundreds(room.lines)} lines</text></g>'
        )

    def _line(self, line: Line) -> Iterator[str]:
        start, *further = self._points(line)
        x, y = start
        way = f"M{x} {y}"
        for next_x, next_y in further:
            half = (y + next_y) // 2
            way += f"V{next_y}" if x == next_x else f"C{x} {half} {next_x} {half} {next_x} {next_y}"
            x, y = next_x, next_y
        kind = "rises" if line.rises else "falls"
        yield (
            f"<path data-importer={quoteattr(line.importer)} data-imported={quoteattr(line.imported)}"
            f' data-count="{line.count}" class="import {kind}"'
            f' stroke-width="{1 + math.log2(line.count) / 3:.1f}" d="{way}"/>'
        )
        x, y = start
        y += -2 if line.rises else _STRAIGHT - 2
        yield f'<text class="count {kind}-count" x="{x + 3}" y="{y}">{line.count}</text>'

    def _points(self, line: Line) -> Sequence[tuple[int, int]]:
        """Return the way from importer to imported, up to where the arrowhead begins."""
        upper, *bends, lower = line.places
        x, y = self._x(self._leaves[line]), self._y(upper) + ROOM_HEIGHT
        points = [(x, y + _ARROWHEAD if line.rises else y), (x, y + _STRAIGHT)]
        for bend in bends:
            x, y = self._x(bend.x), self._y(bend)
            points += [(x, y - _STRAIGHT), (x, y + ROOM_HEIGHT + _STRAIGHT)]
        x, y = self._x(self._arrives[line]), self._y(lower)
        points += [(x, y - _STRAIGHT), (x, y if line.rises else y - _ARROWHEAD)]
        return points[::-1] if line.rises else points

    def _x(self, x: float) -> int:
        return round(x) + self._left

    def _y(self, place: Place) -> int:
        return self._ground - ROOM_HEIGHT - place.storey * (ROOM_HEIGHT + STOREY_GAP)


def _ends(rooms: Sequence[Place], lines: Sequence[Line]) -> tuple[dict[Line, float], dict[Line, float]]:
    """Return where each line leaves the upper room and where it arrives, so that none cross there."""
    leaves: dict[Line, float] = {}
    arrives: dict[Line, float] = {}
    for room in rooms:
        down = sorted((each for each in lines if each.places[0] is room), key=lambda each: each.places[1].x)
        leaves |= _side_by_side(down, room)
        up = sorted((each for each in lines if each.places[-1] is room), key=lambda each: each.places[-2].x)
        arrives |= _side_by_side(up, room)
    return leaves, arrives


def _side_by_side(lines: Sequence[Line], room: Place) -> dict[Line, float]:
    first = room.x - (len(lines) - 1) * LINE_GAP / 2
    return {line: first + index * LINE_GAP for index, line in enumerate(lines)}


def _hundreds(lines: int) -> str:
    return f"{max(round(lines, -2), 100):,}"
