"""JSON that is kept."""

from typing import Any

import orjson


def kept(document: Any) -> bytes:
    """Return a document's JSON in no more memory than it needs.

    orjson writes into a buffer of many kilobytes and returns it whole: fine for an answer that is
    sent and forgotten, ten times too much for one that is remembered for a day.
    """
    return bytes(memoryview(orjson.dumps(document)))
