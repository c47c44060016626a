"""Each check says yes to a healthy peer, and no with a reason to everything else."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as grpc_health  # type: ignore[attr-defined]

from runner import health
from runner.health import Check, Unhealthy
from tests.support.servers import Talk, serving


def saying(*answers: bytes, greeting: bytes = b"") -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        for answer in answers:
            await reader.readuntil(b"\r\n")
            writer.write(answer)
        await writer.drain()

    return talk


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def checks(port: int) -> dict[str, Check]:
    return {
        "nats": health.NatsCheck(f"nats://127.0.0.1:{port}"),
        "redis": health.redis("127.0.0.1", port),
        "http": health.http("127.0.0.1", port, "/ready"),
        "grpc": health.GrpcCheck("127.0.0.1", port),
        "postgres": health.PostgresCheck(f"postgresql://x:x@127.0.0.1:{port}/x"),
    }


@pytest.mark.parametrize(
    ("name", "talk"),
    [
        ("redis", saying(b"+PONG\r\n")),
        ("http", saying(b"HTTP/1.1 200 OK\r\n\r\n")),
    ],
)
async def test_a_healthy_peer_is_healthy(name: str, talk: Talk) -> None:
    async with serving(talk) as port:
        await checks(port)[name]()


@pytest.mark.parametrize(
    ("name", "talk", "reason"),
    [
        ("redis", saying(b"-LOADING Redis is loading\r\n"), "LOADING"),
        ("http", saying(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), "503"),
    ],
)
async def test_a_peer_that_is_not_ready_says_why(name: str, talk: Talk, reason: str) -> None:
    async with serving(talk) as port:
        with pytest.raises(Unhealthy, match=reason):
            await checks(port)[name]()


@pytest.mark.parametrize("name", ["nats", "redis", "http", "grpc", "postgres"])
async def test_a_silent_peer_is_unhealthy_within_the_deadline(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHECK_DEADLINE_S", 0.1)
    async with serving(silent) as port, asyncio.timeout(5):
        with pytest.raises(Unhealthy):
            await checks(port)[name]()


@pytest.mark.parametrize("name", ["nats", "redis", "http", "grpc", "postgres"])
async def test_nobody_there_is_unhealthy(name: str) -> None:
    async with serving(silent) as port:
        pass
    with pytest.raises(Unhealthy):
        await checks(port)[name]()


async def test_a_grpc_service_is_as_healthy_as_it_says() -> None:
    server = grpc.aio.server()
    servicer = grpc_health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    check = health.GrpcCheck("127.0.0.1", port)
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    await check()
    await servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    with pytest.raises(Unhealthy, match="NOT_SERVING"):
        await check()
    await server.stop(grace=None)
