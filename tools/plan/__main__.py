"""Draw the plan of the house: `make plan`. With arguments, that of another checkout."""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.plan.house import read_house
from tools.plan.picture import draw
from tools.plan.today import PICTURE, ROOT, TITLE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    parser.add_argument("--room", action="append", default=[], help="a package within another that is a room")
    parser.add_argument("--title", default=TITLE)
    parser.add_argument("--out", type=Path, default=PICTURE, help="the picture to write")
    arguments = parser.parse_args()
    house = read_house(arguments.root.resolve(), arguments.room)
    arguments.out.write_text(draw(house, arguments.title), encoding="utf-8")


if __name__ == "__main__":
    main()
