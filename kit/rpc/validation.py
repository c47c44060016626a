"""Whether a request keeps the rules that the protos state."""

from __future__ import annotations

from typing import Any

import protovalidate
from google.protobuf.message import Message

from kit.values.errors import FieldProblem, InvalidRequest
from kit.values.reasons import FIELD_INVALID

# Building one compiles the rules of every message; it is made once.
_validator = protovalidate.Validator()


def validate(request: Message) -> None:
    """Refuse a request that breaks a rule.

    Raises:
        InvalidRequest: FIELD_INVALID, naming every field that is at fault.
    """
    try:
        _validator.validate(request)
    except protovalidate.ValidationError as error:
        problems = tuple(
            FieldProblem(_field_path(violation.proto), violation.proto.message)
            for violation in error.violations
        )
        raise InvalidRequest(
            FIELD_INVALID,
            "; ".join(f"{p.field}: {p.problem}" for p in problems),
            fields=problems,
        ) from error


def _field_path(violation: Any) -> str:
    """Return the path of a violation as a caller writes it: `items[2].quantity`."""
    parts: list[str] = []
    for element in violation.field.elements if violation.field else ():
        subscript = element.subscript
        index = "" if subscript is None else f"[{subscript.value}]"
        parts.append(element.field_name + index)
    return ".".join(parts) or "request"
