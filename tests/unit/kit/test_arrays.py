"""Lists on their way to Postgres."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from kit.store.arrays import ArrayDumper


@pytest.mark.parametrize(
    ("items", "literal"),
    [
        ([], b"{}"),
        (["mug", 'a "b" \\c', ""], b'{"mug","a \\"b\\" \\\\c",""}'),
        ([1, None, -2], b"{1,NULL,-2}"),
        ([True, False], b"{t,f}"),
        ([b"\x00\xff"], b'{"\\\\x00ff"}'),
        ([date(2026, 2, 28)], b"{2026-02-28}"),
        ([datetime(2026, 2, 28, 23, 59, tzinfo=UTC)], b'{"2026-02-28T23:59:00+00:00"}'),
    ],
)
def test_a_list_is_written_as_postgres_reads_arrays(items: list[Any], literal: bytes) -> None:
    assert ArrayDumper(list).dump(items) == literal


def test_an_item_that_it_does_not_know_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="complex"):
        ArrayDumper(list).dump([1j])
