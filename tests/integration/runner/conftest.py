"""One running set of stores for all tests of a module that do not destroy it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.testing import System, running_system
from tests.support.ports import system_settings

STORES = ("postgres", "nats", "redis")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Postgres, NATS and Redis under a real supervisor."""
    data_dir = _closed_folder(tmp_path_factory.mktemp("stores")) / "data"
    with system_settings(data_dir) as settings, running_system(settings, only=STORES) as system:
        yield system


def _closed_folder(parent: Path) -> Path:
    """A folder that only its owner may pass through, like a home directory."""
    folder = parent / "home"
    folder.mkdir(mode=0o700)
    return folder
