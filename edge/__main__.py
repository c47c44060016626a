"""`python -m edge`: write the edge's configuration from the environment, or print it."""

from __future__ import annotations

import argparse
import os

from edge.config import render, write_config
from edge.settings import EdgeSettings


def main() -> None:
    """Write the configuration and print its path; with `--print`, only print the configuration."""
    parser = argparse.ArgumentParser(prog="python -m edge", description=main.__doc__)
    parser.add_argument("--print", action="store_true", help="print the configuration, write nothing")
    arguments = parser.parse_args()
    settings = EdgeSettings.from_environment(os.environ)
    if arguments.print:
        print(render(settings), end="")
    else:
        print(write_config(settings))


if __name__ == "__main__":
    main()
