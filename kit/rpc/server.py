"""One gRPC server: servicers behind the pipeline, with health and reflection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from kit.rpc.pipeline import Pipeline

# Requests that are being answered get this long at shutdown.
GRACE_S: Final = 5.0

# A request of ours is a few kilobytes; a webhook at most some hundred.
_MAX_MESSAGE_BYTES: Final = 4 << 20

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", 4096),
    # Two servers on one port would share its callers by chance; a port in use is an error.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


@dataclass(frozen=True, slots=True)
class Servicer:
    """A gRPC service: its full name, the generated `add_…_to_server` and what implements it."""

    name: str
    register: Callable[[Any, grpc.aio.Server], None]
    implementation: Any


class Server:
    """A gRPC server that answers health and reflection, and says NOT_SERVING before it goes."""

    def __init__(self, *, host: str, port: int, servicers: Sequence[Servicer]) -> None:
        self._address = f"{host}:{port}"
        self._names = [servicer.name for servicer in servicers]
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # its stubs lack it
        self._serving: bool | None = None
        self._server = grpc.aio.server(interceptors=[Pipeline()], options=_OPTIONS)
        for servicer in servicers:
            servicer.register(servicer.implementation, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            [*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )
        self.port = 0

    async def start(self) -> None:
        """Bind and serve; raises RuntimeError if the port is taken."""
        self.port = self._server.add_insecure_port(self._address)
        await self._server.start()
        await self.serving(True)

    async def serving(self, healthy: bool) -> None:
        """Tell those who ask by gRPC whether this process can work; nobody is answered while it is busy."""
        if healthy is self._serving:
            return
        self._serving = healthy
        status = (
            health_pb2.HealthCheckResponse.SERVING
            if healthy
            else (health_pb2.HealthCheckResponse.NOT_SERVING)
        )
        for name in ("", *self._names):
            await self._health.set(name, status)

    async def stop(self) -> None:
        """Say NOT_SERVING, finish what is being answered, stop."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(GRACE_S)
