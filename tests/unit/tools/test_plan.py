"""The plan of the house shows what the code says, whatever the house looks like."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.plan.house import House, Room, read_house
from tools.plan.picture import draw, still_true
from tools.plan.storeys import arrange

_NAMES = st.sampled_from(["attic", "bath", "cellar", "den", "entrance", "foyer", "garage", "hall"])


def house_of(imports: dict[tuple[str, str], int], lines: int = 1000, *alone: str) -> House:
    names = {*alone, *(name for pair in imports for name in pair)}
    return House({name: Room(name, f"{name} & co", lines, False) for name in names}, imports, {"tests": 9})


HOUSES = st.dictionaries(
    st.tuples(_NAMES, _NAMES).filter(lambda pair: pair[0] != pair[1]), st.integers(1, 99), max_size=16
).map(lambda imports: house_of(imports, 1000, "shed"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A garden whose shed is a package inside of the garden's, with a fence beside."""
    files = {
        "plants/__init__.py": '"""What grows\nhere.\n\nNothing else."""\n',
        "plants/tree.py": "import garden.shed\n",
        "garden/__init__.py": "",
        "garden/bed.py": "from plants import tree\nfrom garden.shed import spade\n",
        "garden/domain/__init__.py": "",
        "garden/shed/__init__.py": '"""Tools."""\n',
        "garden/shed/spade.py": "import plants.tree\n",
        "garden/shed/query.sql": "SELECT\n1;\n",
        "tests/__init__.py": "import garden\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_rooms_are_packages_at_the_top_and_those_that_are_named(checkout: Path) -> None:
    house = read_house(checkout, ["garden.shed"])
    assert house.rooms == {
        "garden": Room("garden", "", 2, True),
        "garden.shed": Room("garden.shed", "Tools.", 4, False),
        "plants": Room("plants", "What grows here.", 5, False),
    }
    assert house.imports == {
        ("garden", "garden.shed"): 1,
        ("garden", "plants"): 1,
        ("garden.shed", "plants"): 1,
        ("plants", "garden.shed"): 1,
    }
    assert house.beside == {"tests": 1}


def test_without_names_what_is_within_a_package_is_part_of_it(checkout: Path) -> None:
    house = read_house(checkout)
    assert {name: room.lines for name, room in house.rooms.items()} == {"garden": 6, "plants": 5}
    assert house.imports == {("garden", "plants"): 2, ("plants", "garden"): 1}


def test_who_imports_stands_above_and_what_goes_against_it_is_marked() -> None:
    layout = arrange(house_of({("roof", "walls"): 5, ("walls", "ground"): 5, ("ground", "roof"): 1}))
    assert [[place.room for place in storey if place.room] for storey in layout.storeys] == [
        ["ground"],
        ["walls"],
        ["roof"],
    ]
    assert [line.importer for line in layout.lines if line.rises] == ["ground"]


@settings(deadline=None)
@given(HOUSES)
def test_every_room_has_a_place_of_its_own_and_every_line_goes_storey_by_storey(house: House) -> None:
    layout = arrange(house)
    placed = [place.room for storey in layout.storeys for place in storey if place.room]
    assert sorted(placed) == sorted(house.rooms)
    for storey in layout.storeys:
        for left, right in pairwise(storey):
            assert left.x + left.width / 2 < right.x - right.width / 2
    for line in layout.lines:
        upper, lower = line.places[0], line.places[-1]
        assert {upper.room, lower.room} == {line.importer, line.imported}
        assert line.rises is (lower.room == line.importer)
        assert [place.storey for place in line.places] == list(range(upper.storey, lower.storey - 1, -1))


@settings(deadline=None)
@given(HOUSES)
def test_the_same_house_gives_the_same_picture_and_the_picture_is_true(house: House) -> None:
    picture = draw(house, "A <house>")
    assert picture == draw(house, "A <house>")
    assert still_true(picture, house)


def test_no_line_runs_through_a_room() -> None:
    """Three storeys; the line from top to bottom goes around the room between."""
    layout = arrange(house_of({("top", "middle"): 1, ("middle", "bottom"): 1, ("top", "bottom"): 1}))
    (middle,) = (place for place in layout.storeys[1] if place.room)
    (bend,) = (place for place in layout.storeys[1] if not place.room)
    assert abs(bend.x - middle.x) > middle.width / 2


HALL = house_of({("attic", "hall"): 20}, 2000, "shed")


@pytest.mark.parametrize(
    ("now", "is_true"),
    [
        (house_of({("attic", "hall"): 20}, 2190, "shed"), True),
        (house_of({("attic", "hall"): 20}, 2300, "shed"), False),
        (house_of({("attic", "hall"): 22}, 2000, "shed"), True),
        (house_of({("attic", "hall"): 23}, 2000, "shed"), False),
        (house_of({("attic", "hall"): 20}, 2000), False),
        (house_of({("attic", "hall"): 20}, 2000, "shed", "den"), False),
        (house_of({("attic", "hall"): 20, ("attic", "shed"): 1}, 2000), False),
        (house_of({("hall", "attic"): 20}, 2000, "shed"), False),
    ],
)
def test_a_picture_is_true_with_the_rooms_and_arrows_of_the_code_and_about_its_numbers(
    now: House, is_true: bool
) -> None:
    assert still_true(draw(HALL, "Hall"), now) is is_true


def test_names_are_shown_as_they_are() -> None:
    texts = [each.text for each in ElementTree.fromstring(draw(HALL, "Hall & home")).iter() if each.text]
    assert {"Hall & home", "attic", "hall", "shed", "2,000 lines", "shed & co"} <= set(texts)
