"""What happens around every RPC, in this order: telemetry, errors, auth, deadline, validation, key.

One interceptor with plain functions in place of six interceptors: grpc.aio pays for each layer on each
call, a function call costs next to nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
import protovalidate
import structlog
from google.protobuf.message import Message
from opentelemetry.trace import SpanKind

from kit.observe import telemetry
from kit.rpc.call import Call, Principal, Role, enter
from kit.rpc.cards import refuse_card_numbers
from kit.rpc.contract import MethodContract, contract_of
from kit.rpc.idempotency import RequestKey
from kit.rpc.reasons import IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_MISSING, ROLE_NOT_ALLOWED
from kit.rpc.status import florin_error, grpc_code, trailing_metadata
from kit.values.errors import FieldProblem, InvalidRequest, PermissionDenied, Unauthenticated
from kit.values.ids import new_id
from kit.values.reasons import CARD_NUMBER_REFUSED, FIELD_INVALID, UNAUTHENTICATED
from kit.values.redaction import contains_card_number
from kit.values.trail import Trail

log = structlog.get_logger(__name__)

# For callers that set no deadline of their own; longer than any unary call of ours takes.
DEFAULT_DEADLINE_S: Final = 10.0

MAX_KEY_LENGTH: Final = 255

Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[Message, Context], Awaitable[Message]]
Stream = Callable[[Message, Context], AsyncIterator[Message]]

# Building one compiles the rules of every message; it is made once.
_validator = protovalidate.Validator()


if TYPE_CHECKING:
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    # Generic in its stubs only.
    Interceptor = grpc.aio.ServerInterceptor


class Pipeline(Interceptor):
    """The interceptor of every Florin server."""

    def __init__(self) -> None:
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Return the method's handler with the pipeline around it."""
        method = str(handler_call_details.method)
        if method in self._handlers:
            return self._handlers[method]
        handler = await continuation(handler_call_details)
        contract = contract_of(method) if handler is not None else None
        if handler is None or contract is None:
            return handler
        wrapped = _wrap(method, contract, handler)
        self._handlers[method] = wrapped
        return wrapped


def _wrap(
    method: str, contract: MethodContract, handler: grpc.RpcMethodHandler[Any, Any]
) -> grpc.RpcMethodHandler[Any, Any]:
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(
            _around_stream(method, contract, handler.unary_stream),  # type: ignore[arg-type]
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
    return grpc.unary_unary_rpc_method_handler(
        _around_unary(method, contract, handler.unary_unary),  # type: ignore[arg-type]
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _around_unary(method: str, contract: MethodContract, answer: Unary) -> Unary:
    name = method.lstrip("/")

    async def call_unary(request: Message, context: Context) -> Message:
        started = time.perf_counter()
        call = _begin(method, context)
        code = "OK"
        try:
            with telemetry.span(name, call.trail, SpanKind.SERVER) as trail:
                call.trail = trail
                _admit(call, contract, request)
                remaining = context.time_remaining()
                async with asyncio.timeout(min(remaining or DEFAULT_DEADLINE_S, DEFAULT_DEADLINE_S)):
                    response = await answer(request, context)
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except Exception as error:  # the boundary of the RPC: everything becomes a status here
            refusal = florin_error(error)
            code = refusal.reason
            await _send_metadata(call, context)
            await context.abort(
                grpc_code(refusal), refusal.message, trailing_metadata=trailing_metadata(refusal)
            )
            raise AssertionError("abort raises") from error
        else:
            await _send_metadata(call, context)
            return response
        finally:
            _log(call, code, started)

    return call_unary


def _around_stream(method: str, contract: MethodContract, answer: Stream) -> Stream:
    async def call_stream(request: Message, context: Context) -> AsyncIterator[Message]:
        started = time.perf_counter()
        call = _begin(method, context)
        code, opened = "OK", False
        try:
            _admit(call, contract, request)
            async for response in answer(request, context):
                # Not before: an answer that has begun cannot become a 404 any more.
                if not opened:
                    await _send_metadata(call, context)
                    opened = True
                yield response
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except Exception as error:  # the boundary of the RPC: everything becomes a status here
            refusal = florin_error(error)
            code = refusal.reason
            if not opened:
                await _send_metadata(call, context)
            await context.abort(
                grpc_code(refusal), refusal.message, trailing_metadata=trailing_metadata(refusal)
            )
        finally:
            _log(call, code, started)

    return call_stream


def _begin(method: str, context: Context) -> Call:
    metadata = {key: value for key, value in (context.invocation_metadata() or ()) if isinstance(value, str)}
    correlation_id = metadata.get("x-correlation-id", "")
    if not correlation_id or contains_card_number(correlation_id):
        correlation_id = new_id("cor")
    trail = Trail(correlation_id, metadata.get("traceparent", ""))
    call = Call(method, metadata, trail, caller=_caller(metadata))
    enter(call)
    return call


def _caller(metadata: dict[str, str]) -> Principal | None:
    subject, role = metadata.get("x-florin-subject"), metadata.get("x-florin-role", "")
    if not subject or role not in Role._value2member_map_:
        return None
    return Principal(Role(role), subject, metadata.get("x-florin-merchant", ""))


def _admit(call: Call, contract: MethodContract, request: Message) -> None:
    """Refuse a call that may not go on: who calls, what is asked, under which key."""
    if contract.roles:
        if call.caller is None:
            raise Unauthenticated(UNAUTHENTICATED, "send a token: `Authorization: Bearer …`")
        if call.caller.role not in contract.roles:
            allowed = ", ".join(sorted(role.value for role in contract.roles))
            raise PermissionDenied(
                ROLE_NOT_ALLOWED,
                f"a {call.caller.role.value} may not call this; allowed: {allowed}",
                metadata={"allowed_roles": allowed},
            )
    _validate(request)
    if contract.mutation:
        refuse_card_numbers(request)
        call.request_key = _request_key(call, contract, request)


def _validate(request: Message) -> None:
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


def _request_key(call: Call, contract: MethodContract, request: Message) -> RequestKey:
    header = call.metadata.get("idempotency-key", "")
    in_message = str(getattr(request, "request_id", "")) if contract.has_request_id else ""
    key = header or in_message
    if not key:
        raise InvalidRequest(
            IDEMPOTENCY_KEY_MISSING,
            "send an `Idempotency-Key` header (or `request_id`), for instance a UUID",
        )
    if header and in_message and header != in_message:
        raise InvalidRequest(
            IDEMPOTENCY_KEY_INVALID, "`Idempotency-Key` and `request_id` differ; send one of them"
        )
    if len(key) > MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise InvalidRequest(
            IDEMPOTENCY_KEY_INVALID,
            f"the idempotency key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters",
        )
    if contains_card_number(key):
        raise InvalidRequest(CARD_NUMBER_REFUSED, "the idempotency key looks like a card number; use a UUID")
    return RequestKey(str(call.principal), call.method, key, _fingerprint(call.method, request, contract))


def _fingerprint(method: str, request: Message, contract: MethodContract) -> bytes:
    """Return the SHA-256 of what is asked, the key itself left out."""
    if contract.has_request_id and getattr(request, "request_id", None):
        stripped = type(request)()
        stripped.CopyFrom(request)
        stripped.ClearField("request_id")
        request = stripped
    return hashlib.sha256(method.encode() + b"\0" + request.SerializeToString(deterministic=True)).digest()


async def _send_metadata(call: Call, context: Context) -> None:
    """Send what the answer carries besides its message; the edge sends the correlation id by itself."""
    if "x-correlation-id" not in call.metadata:
        call.reply_metadata["x-correlation-id"] = call.trail.correlation_id
    if call.reply_metadata:
        await context.send_initial_metadata(tuple(call.reply_metadata.items()))


def _log(call: Call, code: str, started: float) -> None:
    log.info(
        "rpc.answered",
        method=call.method,
        code=code,
        ms=round((time.perf_counter() - started) * 1000, 1),
        caller=str(call.caller) if call.caller else None,
        correlation_id=call.trail.correlation_id,
        trace_id=call.trail.trace_id,
    )
