"""Log lines as JSON off a terminal, readable on one, and never with a card number in them."""

from __future__ import annotations

import logging
import sys
import zlib
from collections.abc import MutableMapping
from typing import Any, Literal

import orjson
import structlog

from kit.values.redaction import redact
from kit.values.trail import Trail

# Of this many equal parts of all correlation ids, those below `_followed_parts` are followed.
_PARTS = 2**32
_followed_parts = _PARTS

Format = Literal["auto", "json", "console"]


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    if isinstance(value, dict):
        return {key: _redacted(item) for key, item in value.items()}
    return value


def redact_card_numbers(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Mask everything in a log line that looks like a card number; the last step before it is written."""
    for key, value in event.items():
        if not isinstance(value, int | float | bool):
            event[key] = _redacted(value)
    return event


def _to_json(event: Any, **_: Any) -> bytes:
    return orjson.dumps(event, default=str)


class _RedactingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def is_followed(trail: Trail) -> bool:
    """Return whether what goes well on this trail is worth a line, too: if it is traced, or drawn by lot.

    The lot is drawn from the correlation id, so that all processes draw alike: a checkout that is followed is
    followed through every log, and the others cost nothing.
    """
    return trail.sampled or zlib.crc32(trail.correlation_id.encode()) < _followed_parts


def configure(
    service: str, log_format: Format = "auto", level: str = "INFO", follow_ratio: float = 1.0
) -> None:
    """Set up structlog for this process; `service` is on every line.

    Args:
        follow_ratio: share of the trails of which lines say what went well.
    """
    global _followed_parts
    _followed_parts = round(follow_ratio * _PARTS)
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact_card_numbers,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=_to_json) if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer)
        if as_json
        else structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)
    # Libraries (grpc, nats, alembic) log through the standard library: their warnings, redacted as well.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_RedactingFormatter("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
