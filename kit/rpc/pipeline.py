"""What happens around every RPC, in this order: telemetry, errors, who calls, deadline, validation, key.

One interceptor with plain functions in place of six interceptors: grpc.aio pays for each layer on each
call, a function call costs next to nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message
from opentelemetry.trace import SpanKind, Status, StatusCode

from kit.observe import telemetry
from kit.observe.logs import is_followed
from kit.rpc.call import Call, enter
from kit.rpc.callers import caller_of, require_role
from kit.rpc.cards import refuse_card_numbers
from kit.rpc.contract import MethodContract, contract_of
from kit.rpc.keys import request_key
from kit.rpc.status import florin_error, grpc_code, trailing_metadata
from kit.rpc.validation import validate
from kit.values.errors import Internal
from kit.values.ids import new_id
from kit.values.redaction import contains_card_number
from kit.values.trail import Trail, traceparent_of

log = structlog.get_logger(__name__)

# The first answer comes within this time, or within the caller's own deadline if that is shorter; no unary
# call of ours takes as long. Whatever follows the first answer of a stream has the caller's deadline alone,
# and without one all the time it takes: an order is watched until it has ended.
FIRST_ANSWER_S: Final = 10.0

Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[Message, Context], Awaitable[Message]]
Stream = Callable[[Message, Context], AsyncGenerator[Message, None]]
Answer = Callable[[Message, Call, Context, Callable[[], None]], Awaitable[Message | None]]
"""Answers a call; the last argument is to be told of the first of several answers."""


if TYPE_CHECKING:
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]
else:
    # Generic in their stubs only.
    Interceptor = grpc.aio.ServerInterceptor
    Handler = grpc.RpcMethodHandler


class Pipeline(Interceptor):
    """The interceptor of every Florin server."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
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


def _wrap(method: str, contract: MethodContract, handler: Handler) -> Handler:
    if handler.response_streaming:
        answer, make = _one_by_one(cast("Stream", handler.unary_stream)), grpc.unary_stream_rpc_method_handler
    else:
        answer, make = _at_once(cast("Unary", handler.unary_unary)), grpc.unary_unary_rpc_method_handler
    return make(
        _guarded(method, contract, answer),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _guarded(
    method: str, contract: MethodContract, answer: Answer
) -> Callable[[Message, Context], Awaitable[Message | None]]:
    """Return the method with everything around it, in the order that this module's first line names."""

    async def guarded(request: Message, context: Context) -> Message | None:
        call = _called(method, context)
        with _recorded(call):
            try:
                require_role(call, contract)
                first_by, until = _deadlines(context)
                async with asyncio.timeout_at(first_by) as limit:
                    validate(request)
                    if contract.mutation:
                        refuse_card_numbers(request)
                        call.request_key = request_key(call, contract, request)
                    return await answer(request, call, context, lambda: limit.reschedule(until))
            except Exception as error:  # the boundary of the RPC: everything becomes a status here
                await _refuse(call, context, error)

    return guarded


def _at_once(handler: Unary) -> Answer:
    async def answer(request: Message, call: Call, context: Context, _: Callable[[], None]) -> Message:
        response = await handler(request, context)
        await _send_metadata(call, context)
        return response

    return answer


def _one_by_one(handler: Stream) -> Answer:
    async def answer(request: Message, call: Call, context: Context, begun: Callable[[], None]) -> None:
        async with aclosing(handler(request, context)) as responses:
            async for response in responses:
                # Not before: an answer that has begun cannot become a 404 any more.
                if not call.begun:
                    begun()
                    await _send_metadata(call, context)
                await context.write(response)
        if not call.begun:
            await _send_metadata(call, context)

    return answer


def _deadlines(context: Context) -> tuple[float, float | None]:
    """Return until when the first answer has to come, and until when all, by the clock of the event loop."""
    now = asyncio.get_running_loop().time()
    left_s: float | None = context.time_remaining()  # its stubs leave the None out
    if left_s is None:
        return now + FIRST_ANSWER_S, None
    return now + min(left_s, FIRST_ANSWER_S), now + left_s


def _called(method: str, context: Context) -> Call:
    """Return the call, under the correlation id it came with or a new one, and make it the current one."""
    metadata = {key: value for key, value in (context.invocation_metadata() or ()) if isinstance(value, str)}
    correlation_id = metadata.get("x-correlation-id", "")
    if not correlation_id or contains_card_number(correlation_id):
        correlation_id = new_id("cor")
    trail = Trail(correlation_id, traceparent_of(metadata.get("traceparent", "")))
    call = Call(method, metadata, trail, caller=caller_of(metadata), waited_s=_waited_s(metadata, context))
    enter(call)
    return call


def _waited_s(metadata: Mapping[str, str], context: Context) -> float:
    """Return for how long a call was in the queues of gRPC and of the event loop.

    gRPC starts the time of a deadline when the call's headers arrive, in a thread of its own, however busy
    the event loop is. What of it is gone now has been waited, by this machine's clock alone.
    """
    given_ms, left_s = metadata.get("x-florin-timeout-ms", ""), context.time_remaining()
    if left_s is None or not given_ms.isdecimal():
        return 0.0
    return max(0.0, int(given_ms) / 1000 - left_s)


@contextmanager
def _recorded(call: Call) -> Iterator[None]:
    """Record the call as one span and one line of the log; calls that went well by sample."""
    started = time.perf_counter()
    opened = telemetry.start_span(call.method.lstrip("/"), call.trail, SpanKind.SERVER)
    if opened is not None:
        call.trail = opened[1]
    try:
        yield
    except asyncio.CancelledError:
        call.outcome = "CANCELLED"
        raise
    finally:
        if opened is not None:
            # A caller that goes away is no error of ours, least of all at the end of a stream.
            if call.outcome not in ("OK", "CANCELLED"):
                opened[0].set_status(Status(StatusCode.ERROR, call.outcome))
            opened[0].end()
        if call.outcome != "OK" or is_followed(call.trail):
            log.info(
                "rpc.answered",
                method=call.method,
                code=call.outcome,
                ms=round((time.perf_counter() - started) * 1000, 1),
                caller=str(call.caller) if call.caller else None,
                correlation_id=call.trail.correlation_id,
                trace_id=call.trail.trace_id,
            )


async def _refuse(call: Call, context: Context, error: Exception) -> NoReturn:
    """End the call with what its caller is told of an error."""
    refusal = florin_error(error)
    call.outcome = refusal.reason
    if isinstance(refusal, Internal):
        log.error(
            "rpc.surprised",
            method=call.method,
            correlation_id=call.trail.correlation_id,
            trace_id=call.trail.trace_id,
            exc_info=error,
        )
    elif error is not refusal:
        # What the caller is told hides the cause; whoever looks after the system needs it.
        log.warning(
            "rpc.failed",
            method=call.method,
            code=refusal.reason,
            correlation_id=call.trail.correlation_id,
            trace_id=call.trail.trace_id,
            error=repr(error),
        )
    if not call.begun:
        await _send_metadata(call, context)
    await context.abort(grpc_code(refusal), refusal.message, trailing_metadata=trailing_metadata(refusal))
    raise AssertionError("abort raises") from error


async def _send_metadata(call: Call, context: Context) -> None:
    """Send what the answer carries besides its messages; the edge sends the correlation id by itself."""
    call.begun = True
    if "x-correlation-id" not in call.metadata:
        call.reply_metadata["x-correlation-id"] = call.trail.correlation_id
    if call.reply_metadata:
        await context.send_initial_metadata(tuple(call.reply_metadata.items()))
