"""Prefixed ids that sort by the time they were made: `ord_01JD8Z…`.

48 bits of milliseconds and 80 random bits in Crockford's base 32, as a ULID has them
(https://github.com/ulid/spec). Sorting keeps primary-key inserts at the right edge of the index.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Two characters at a time: 13 look-ups for an id in place of 26.
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]

NewId = Callable[[str], str]


def new_id(prefix: str) -> str:
    """Return a fresh id such as `ord_01JD8Z5X…`: the prefix, `_` and 26 characters."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return prefix + "_" + "".join([_PAIRS[(value >> shift) & 0x3FF] for shift in range(120, -1, -10)])
