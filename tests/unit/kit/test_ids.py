"""Ids are unique, and sort by the time they were made."""

from __future__ import annotations

import re
import time

import pytest

from kit.values.ids import new_id


def test_an_id_is_its_prefix_and_26_characters_that_nobody_misreads() -> None:
    assert re.fullmatch(r"ord_[0-9A-HJKMNP-TV-Z]{26}", new_id("ord"))


def test_many_ids_are_all_different() -> None:
    assert len({new_id("ord") for _ in range(50_000)}) == 50_000


def test_ids_sort_by_the_millisecond_they_were_made_in(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [0, 1, 31, 32, 1_023, 1_024, 1_700_000_000_000, 1_700_000_000_001, 2**48 - 1]
    ids = []
    for moment_ms in moments:
        monkeypatch.setattr(time, "time_ns", lambda moment_ms=moment_ms: moment_ms * 1_000_000)
        ids.append(new_id("ord"))
    assert ids == sorted(ids)
