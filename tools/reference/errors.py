"""`docs/reference/errors.md`, from the catalogue in `kit/values/errors.py`."""

from __future__ import annotations

from edge.errors import EDGE_ERRORS
from kit.values.errors import REASONS, EdgeAnswer, Meaning
from tools.reference.markdown import code, page, table

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


def render() -> str:
    """Return the page: one table, by HTTP status."""
    edge = {error.reason for error in EDGE_ERRORS}
    entries = sorted(REASONS.items(), key=lambda entry: (entry[1].http_statuses, _rank(entry[0])))
    return page(
        "Errors",
        "kit/values/errors.py",
        _INTRODUCTION,
        table(
            ("HTTP", "gRPC", "reason", "when", "way out"),
            [_row(reason, meaning, reason in edge) for reason, meaning in entries],
        ),
    )


def _rank(reason: str) -> int:
    # Within a status as in the source, where what belongs together stands together.
    return list(REASONS).index(reason)


def _row(reason: str, meaning: Meaning, from_edge: bool) -> tuple[str, ...]:
    statuses = ", ".join(str(status) for status in meaning.http_statuses)
    grpc_code = meaning.code.name
    if isinstance(meaning.error, EdgeAnswer) and meaning.error.over_grpc:
        grpc_code += f" (gRPC callers: {meaning.error.over_grpc.name})"
    mark = " **edge**" if from_edge else ""
    return statuses, grpc_code, code(reason) + mark, meaning.when, meaning.way_out
