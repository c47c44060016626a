"""Which requests are let in, and where to: one route per public RPC and way to call it.

Whatever no route names is answered 404 by the edge: an internal RPC is unreachable, not forbidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from edge.descriptors import Binding, PublicRpc
from edge.settings import EdgeSettings

Json = dict[str, Any]

JWT: Final = "envoy.filters.http.jwt_authn"
TRANSCODER: Final = "envoy.filters.http.grpc_json_transcoder"
BUFFER: Final = "envoy.filters.http.buffer"
CORS: Final = "envoy.filters.http.cors"
SHEDDING: Final = "envoy.filters.http.admission_control"
STATUS: Final = "envoy.filters.http.lua"
ANSWERS: Final = "florin.answers"

_TYPES: Final = "type.googleapis.com/envoy.extensions.filters.http"
# Switches a filter off on one route.
_DISABLED: Final[Json] = {
    "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
    "disabled": True,
}

# What a service puts beside an answer to choose its HTTP status (202, 402, 422). Only REST answers
# are rewritten: to a gRPC caller any status but 200 is a broken connection.
_STATUS_FROM_SERVICE: Final[Json] = {"@type": f"{_TYPES}.lua.v3.LuaPerRoute", "name": "status.lua"}
# What the transcoder leaves of gRPC in a REST answer; status and body say it all.
_NO_GRPC_HEADERS: Final[Json] = {
    "@type": f"{_TYPES}.header_mutation.v3.HeaderMutationPerRoute",
    "mutations": {
        "response_mutations": [
            {"remove": name} for name in ("grpc-status", "grpc-message", "grpc-accept-encoding")
        ]
    },
}
_REST_ANSWERS: Final[Json] = {STATUS: _STATUS_FROM_SERVICE, ANSWERS: _NO_GRPC_HEADERS}

# Ends at the edge. Each header more is work for the services, and a token is not theirs to see.
_KEPT_FROM_SERVICES: Final = (
    "authorization",
    "accept",
    "accept-encoding",
    "x-envoy-external-address",
)

_NEVER_CACHED: Final[Json] = {"header": {"key": "cache-control", "value": "no-store"}}

# Sent again, to another replica, if the connection could not be made or broke before there was an answer, as
# when a replica is killed. Anything may be: what changes something is executed under its caller's key alone,
# once however often it comes, and a webhook is known again by its event's id. Never because of an answer:
# UNAVAILABLE says that there is too much to do, and asking twice would make it more.
_RETRY_ON: Final = "connect-failure,refused-stream,reset"
# The dead replica looks least busy, so the choice falls on it again and again.
_HOST_TRIES: Final = 16

# The edge gives up this much before the service has to: it cancels the call then, and its answer
# tells the caller what to do next.
_EDGE_ANSWERS_FIRST_S: Final = 0.25

# What a browser may send and read beyond the harmless few.
_CORS_REQUEST_HEADERS: Final = (
    "authorization,content-type,idempotency-key,traceparent,tracestate,x-correlation-id,"
    "x-grpc-web,x-user-agent,grpc-timeout"
)
_CORS_ANSWER_HEADERS: Final = (
    "x-request-id,x-correlation-id,idempotent-replayed,retry-after,"
    "grpc-status,grpc-message,grpc-status-details-bin"
)
# A shop under development, on whatever port its tools chose.
_LOOPBACK_ORIGIN: Final = r"https?://(localhost|127\.0\.0\.1)(:[0-9]+)?"

_VARIABLE: Final = re.compile(r"\{[a-z_.]+\}")


def route_config(rpcs: Iterable[PublicRpc], settings: EdgeSettings) -> Json:
    """The whole route table, with the refusal of everything else at its end."""
    known = tuple(rpcs)
    routes = [route for rpc in known for route in _routes(rpc, settings)]
    return {
        "name": "florin",
        "virtual_hosts": [
            {
                "name": "florin",
                "domains": ["*"],
                "typed_per_filter_config": {CORS: _cors(settings.cors_origins)},
                "request_headers_to_remove": list(_KEPT_FROM_SERVICES),
                "routes": [*routes, _preflight(known[0].cluster), _not_found()],
            }
        ],
    }


def path_regex(template: str) -> str:
    """The regular expression of a `google.api.http` path, where a variable is one segment.

    Segments have no colon, so that `/v1/orders/x:watch` is never the order `x:watch`.

    Raises:
        ValueError: The template uses `*`, `**` or `{name=…}`, which no RPC of ours needs.
    """
    if "*" in template or "=" in template:
        raise ValueError(f"only plain variables are supported in a path: {template}")
    literals = _VARIABLE.split(template)
    return "[^/:]+".join(re.escape(literal) for literal in literals)


def _routes(rpc: PublicRpc, settings: EdgeSettings) -> Iterator[Json]:
    for binding in rpc.bindings:
        yield _rest_route(rpc, binding, settings)
    yield _grpc_route(rpc, settings)


def _rest_route(rpc: PublicRpc, binding: Binding, settings: EdgeSettings) -> Json:
    template = binding.path_template
    path = {"safe_regex": {"regex": path_regex(template)}} if "{" in template else {"path": template}
    match = path | {"headers": [_header(":method", {"exact": binding.http_method})]}
    return _route(rpc, settings, f"{binding.http_method} {template}", match, _REST_ANSWERS)


def _grpc_route(rpc: PublicRpc, settings: EdgeSettings) -> Json:
    # The prefix takes gRPC-Web and the codecs (`+proto`) in.
    match = {
        "path": rpc.grpc_path,
        "headers": [_header("content-type", {"prefix": "application/grpc"})],
    }
    return _route(rpc, settings, rpc.grpc_path, match, {TRANSCODER: _DISABLED})


def _route(rpc: PublicRpc, settings: EdgeSettings, name: str, match: Json, filters: Json) -> Json:
    if not rpc.needs_token:
        filters = filters | {JWT: _DISABLED}
    if not rpc.is_for_crowds:
        filters = filters | {SHEDDING: _DISABLED}
    return {
        "name": name,
        "match": match,
        "route": {
            "cluster": rpc.cluster,
            # Too much at once is refused, but neither who watches nor a webhook, which has no token.
            "priority": "HIGH" if rpc.is_stream or not rpc.needs_token else "DEFAULT",
            "retry_policy": _retry_policy(),
            **_time_limits(rpc, settings),
        },
        # One span name for each RPC, whichever way it is called.
        "decorator": {"operation": rpc.grpc_path[1:], "propagate": False},
        "request_headers_to_add": list(_deadline(rpc, settings.request_timeout_s)),
        "typed_per_filter_config": filters,
        # Server-sent events are worth nothing out of a cache.
        "response_headers_to_add": [_NEVER_CACHED] if rpc.is_stream else [],
    }


def _time_limits(rpc: PublicRpc, settings: EdgeSettings) -> Json:
    if rpc.is_stream:
        return {"timeout": "0s", "idle_timeout": seconds(settings.watch_idle_timeout_s)}
    return {"timeout": seconds(settings.request_timeout_s)}


def _deadline(rpc: PublicRpc, timeout_s: float) -> Iterator[Json]:
    """Tells the service how long it is waited for; a gRPC caller has often said so itself.

    Not so for what a crowd does. There the deadline is also a watch that the edge starts: a service knows by
    what is left of it for how long a call has waited before anybody looked at it, and whose that time was.
    """
    if rpc.is_stream:
        return
    deadline_ms = round((timeout_s + _EDGE_ANSWERS_FIRST_S) * 1000)
    keep = "OVERWRITE_IF_EXISTS_OR_ADD" if rpc.is_for_crowds else "ADD_IF_ABSENT"
    yield {"header": {"key": "grpc-timeout", "value": f"{deadline_ms}m"}, "append_action": keep}
    if rpc.is_for_crowds:
        yield {"header": {"key": "x-florin-timeout-ms", "value": str(deadline_ms)}, "append_action": keep}


def _retry_policy() -> Json:
    return {
        "retry_on": _RETRY_ON,
        "num_retries": 2,
        # With a dead replica beside a living one, the second try goes to the living one.
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3"
                    ".PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": _HOST_TRIES,
        "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"},
    }


def _preflight(cluster: str) -> Json:
    # The CORS filter answers every preflight, but only on a route that leads somewhere.
    present = ("origin", "access-control-request-method")
    return {
        "name": "preflight",
        "match": {
            "prefix": "/",
            "headers": [
                _header(":method", {"exact": "OPTIONS"}),
                *({"name": name, "present_match": True} for name in present),
            ],
        },
        "route": {"cluster": cluster},
        "typed_per_filter_config": {JWT: _DISABLED, SHEDDING: _DISABLED, TRANSCODER: _DISABLED},
    }


def _not_found() -> Json:
    return {
        "name": "not found",
        "match": {"prefix": "/"},
        "direct_response": {
            "status": 404,
            "body": {"inline_string": "no such method and path; see the API reference"},
        },
        # That a path does not exist is no secret, and a typo is easier to find without a token.
        "typed_per_filter_config": dict.fromkeys((JWT, SHEDDING, TRANSCODER, BUFFER), _DISABLED),
    }


def _cors(origins: Iterable[str]) -> Json:
    named = [{"prefix": ""} if origin == "*" else {"exact": origin} for origin in origins]
    return {
        "@type": f"{_TYPES}.cors.v3.CorsPolicy",
        "allow_origin_string_match": [{"safe_regex": {"regex": _LOOPBACK_ORIGIN}}, *named],
        "allow_methods": "GET, POST, PUT, PATCH, DELETE",
        "allow_headers": _CORS_REQUEST_HEADERS,
        "expose_headers": _CORS_ANSWER_HEADERS,
        # A preflight from elsewhere is answered too, without the permission.
        "forward_not_matching_preflights": False,
        # Browsers ask again after at most two hours anyway.
        "max_age": "7200",
    }


def _header(name: str, match: Json) -> Json:
    return {"name": name, "string_match": match}


def seconds(value: float) -> str:
    """A duration as protobuf's JSON writes it."""
    return f"{value:g}s"
