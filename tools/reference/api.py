"""`docs/reference/api.md`, from the comments and options of the protos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from florin.common.v1 import options_pb2

from roster import ROSTER
from tools.reference.markdown import code, codes, page, table
from tools.reference.protos import Message, Rpc, Service, our_files, short

_INTRODUCTION: Final = """\
One contract, three ways to call it through the edge: REST, gRPC and gRPC-Web. A call with a REST path is
public; the others are internal, reachable only on their service's own port.

- JSON has the field names below. 64-bit integers are written as strings and read as either; enums are
  words; times are RFC 3339. Amounts are whole minor units (cents) of `currency`.
- `Authorization: Bearer …` says who calls ([tokens](cli.md#florin-token)); the table of a call says which
  roles may.
- A call that changes something needs an `Idempotency-Key` header (or `request_id`). The same key and body
  give the same answer for 24 hours, with `idempotent-replayed: true`.
- Every answer carries `x-request-id` and `x-correlation-id`. Refusals are in [errors.md](errors.md)."""

_PACKAGES: Final = (*(context.name for context in ROSTER), "common")


def render() -> str:
    """Return the page: an overview, then the calls and messages of each package."""
    files = our_files()
    messages = {message.full_name: message for file in files for message in file.messages()}
    services = [service for file in files for service in file.services()]
    services.sort(key=lambda service: _PACKAGES.index(_owner(service.full_name)))
    parts = [_INTRODUCTION, "## Overview", _overview(services)]
    for owner in _PACKAGES:
        parts.append(f"## {owner.capitalize()}")
        own = [service for service in services if _owner(service.full_name) == owner]
        for service in own:
            parts += _service(service, messages)
        requests = {rpc.request for service in own for rpc in service.rpcs}
        parts += [
            _message(message)
            for message in messages.values()
            if _owner(message.full_name) == owner
            and message.full_name not in requests
            and message.event is None
            and (owner != "common" or _travels(message))
        ]
    return page("API", "protos/", *parts)


def _owner(full_name: str) -> str:
    return full_name.split(".")[1]


def _travels(message: Message) -> bool:
    # The options of the contract itself are no part of a call.
    return message.name not in {"Role", "Access", "Event"}


def _overview(services: Sequence[Service]) -> str:
    return table(
        ("call", "REST", "who"),
        [
            (f"[{rpc.name}](#{rpc.name.lower()})", codes(rpc.http) or "internal", _who(rpc))
            for service in services
            for rpc in service.rpcs
        ],
    )


def _who(rpc: Rpc) -> str:
    if rpc.access is None or not rpc.access.roles:
        return "anyone with a valid signature" if rpc.http else "other services"
    return ", ".join(options_pb2.Role.Name(role).lower() for role in rpc.access.roles)


def _service(service: Service, messages: Mapping[str, Message]) -> list[str]:
    parts = [f"`{service.full_name}`: {_first_lower(service.comment)}"]
    for rpc in service.rpcs:
        parts += [f"### {rpc.name}", _facts(rpc), rpc.comment]
        request = messages.get(rpc.request)
        if request is None:
            parts.append(f"Takes {code(rpc.request)}.")
        elif request.fields:
            parts.append(_fields(request))
    return parts


def _facts(rpc: Rpc) -> str:
    answer = code(short(rpc.response))
    facts = [
        codes(rpc.http) or "internal",
        f"roles: {_who(rpc)}",
        f"answers a stream of {answer}" if rpc.streams else f"answers {answer}",
    ]
    if rpc.access is not None and rpc.access.mutation:
        facts.append("needs an idempotency key")
    return " · ".join(facts)


def _message(message: Message) -> str:
    return "\n\n".join([f"### {message.name}", message.comment, _fields(message)])


def _fields(message: Message) -> str:
    if message.is_enum:
        return table(("value", "means"), [(code(value.name), value.comment) for value in message.fields])
    return table(
        ("field", "type", "what it is"),
        [(code(field.name), field.type, field.comment) for field in message.fields],
    )


def _first_lower(text: str) -> str:
    return text[:1].lower() + text[1:]
