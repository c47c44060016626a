"""The one exception a call to the edge raises, read from `google.rpc.Status` as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

# Reasons of our own, for what no server could say.
UNREACHABLE: Final = "UNREACHABLE"
UNREADABLE: Final = "UNREADABLE"

# Of an answer that is no error document, this much is shown: enough to recognise a proxy's page.
_SHOWN_BODY: Final = 200

_TYPE_PREFIX: Final = "type.googleapis.com/google.rpc."


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field of a request and what is wrong with it."""

    field: str
    problem: str


class ApiError(Exception):
    """A call that was refused, or that had no answer.

    Attributes:
        reason: the word in capitals to decide by; `docs/reference/errors.md` lists them.
        message: what is wrong and the way out, for people.
        metadata: further facts as text.
        http_status: of the answer; 0 if there was none.
        retry_after_s: when the same call makes sense again; None if it never does.
        fields: problems of single fields.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        http_status: int,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        fields: tuple[FieldProblem, ...] = (),
    ) -> None:
        super().__init__(f"{http_status} {reason}: {message}")
        self.reason = reason
        self.message = message
        self.http_status = http_status
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s
        self.fields = fields

    @property
    def is_transient(self) -> bool:
        """Whether the same call, with the same key, may well succeed in a moment."""
        return self.http_status == 0 or self.retry_after_s is not None


class StillOpen(Exception):
    """An order that did not come as far as was waited for; the message says how far it came."""


def decode_error(http_status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error that an answer holds; an answer that holds none is itself one, `UNREADABLE`.

    Retry advice is taken from `RetryInfo`, which is exact, and else from the `retry-after` header,
    which has whole seconds.
    """
    try:
        status = json.loads(body)
        details = {_short(detail["@type"]): detail for detail in status.get("details", [])}
        message = str(status["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        shown = body.decode(errors="replace")[:_SHOWN_BODY]
        return ApiError(
            UNREADABLE,
            f"the answer is no error document of Florin: {shown!r}",
            http_status=http_status,
            retry_after_s=_header_advice(headers),
        )
    info = details.get("ErrorInfo", {})
    violations = details.get("BadRequest", {}).get("field_violations", [])
    advice = _retry_info(details.get("RetryInfo"))
    return ApiError(
        str(info.get("reason") or UNREADABLE),
        message,
        http_status=http_status,
        metadata=info.get("metadata") or {},
        retry_after_s=advice if advice is not None else _header_advice(headers),
        fields=tuple(FieldProblem(each["field"], each["description"]) for each in violations),
    )


def _short(type_url: str) -> str:
    return type_url.removeprefix(_TYPE_PREFIX)


def _retry_info(detail: Mapping[str, Any] | None) -> float | None:
    """ProtoJSON writes a duration as `1.5s`."""
    delay = str((detail or {}).get("retry_delay", ""))
    try:
        return float(delay.removesuffix("s"))
    except ValueError:
        return None


def _header_advice(headers: Mapping[str, str]) -> float | None:
    try:
        return float(headers["retry-after"])
    except (KeyError, ValueError):
        # A date is allowed there, too; Florin never sends one.
        return None
