"""`docs/reference/errors.md`, and the catalogue of all reasons that it is made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import edge.reasons
import kit.rpc.reasons
import kit.store.reasons
import kit.values.reasons
from edge.errors import EDGE_ERRORS
from edge.reasons import EdgeReason
from kit.values.errors import Reason
from roster import ROSTER
from tools.reference.markdown import code, page, table

AnyReason = Reason[Any] | EdgeReason

_INTRODUCTION = """\
Every refusal has the same shape, `google.rpc.Status`; over REST as JSON, over gRPC in the trailer
`grpc-status-details-bin`:

```json
{
  "code": 3,
  "message": "the merchant does not sell 'cup'",
  "details": [
    {
      "@type": "type.googleapis.com/google.rpc.ErrorInfo",
      "reason": "UNKNOWN_PRODUCT",
      "domain": "florin",
      "metadata": {"sku": "cup"}
    }
  ]
}
```

Programs go by `reason`, which is stable; `message` is for people. `BadRequest` is added where single
fields are at fault, `RetryInfo` (and the header `retry-after`) where sending the same again makes sense.
Nothing has happened unless the table says that it may have. A reason marked **edge** can also come from
the edge without any service having seen the request.

An order that fails later than its 202 is no error of a call: it ends in `FAILED` and says why in
`Order.reason`."""


def catalogue(services: Iterable[str] = ROSTER.packages) -> tuple[AnyReason, ...]:
    """Return every reason that a caller can be told, from the tables of those who tell it."""
    return (
        *kit.values.reasons.REASONS,
        *kit.rpc.reasons.REASONS,
        *kit.store.reasons.REASONS,
        *_of_services(services),
        *edge.reasons.REASONS,
    )


def _of_services(services: Iterable[str]) -> Iterator[Reason[Any]]:
    for service in services:
        # A service that refuses for common reasons only has no table.
        if find_spec(f"{service}.domain.reasons"):
            yield from import_module(f"{service}.domain.reasons").REASONS


def render() -> str:
    """Return the page: one table, by HTTP status."""
    from_edge = {error.reason for error in EDGE_ERRORS}
    # Within a status in the order of the tables, where what belongs together stands together.
    reasons = sorted(catalogue(), key=lambda reason: reason.http_statuses)
    return page(
        "Errors",
        "the tables in `reasons.py` of kit, services and edge",
        _INTRODUCTION,
        table(
            ("HTTP", "gRPC", "reason", "when", "way out"),
            [_row(reason, reason in from_edge) for reason in reasons],
        ),
    )


def _row(reason: AnyReason, from_edge: bool) -> tuple[str, ...]:
    statuses = ", ".join(str(status) for status in reason.http_statuses)
    grpc_code = reason.code.name
    if isinstance(reason, EdgeReason) and reason.over_grpc is not None:
        grpc_code += f" (gRPC callers: {reason.over_grpc.name})"
    mark = " **edge**" if from_edge else ""
    return statuses, grpc_code, code(reason.name) + mark, reason.when, reason.way_out
