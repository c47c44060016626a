"""Each check says yes to a healthy peer, and no with a reason to everything else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kit.runtime.health import Health
from runner import health
from runner.health import Check, NotServing, Unhealthy
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
        "service": health.service("127.0.0.1", port),
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
        ("service", saying(b"HTTP/1.1 503 Service Unavailable\r\n\r\nbusy"), "503"),
    ],
)
async def test_a_peer_that_is_not_ready_says_why(name: str, talk: Talk, reason: str) -> None:
    async with serving(talk) as port:
        with pytest.raises(Unhealthy, match=reason):
            await checks(port)[name]()


@pytest.mark.parametrize("name", ["nats", "redis", "http", "service", "postgres"])
async def test_a_silent_peer_is_unhealthy_within_the_deadline(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHECK_DEADLINE_S", 0.1)
    async with serving(silent) as port, asyncio.timeout(5):
        with pytest.raises(Unhealthy):
            await checks(port)[name]()


@pytest.mark.parametrize("name", ["nats", "redis", "http", "service", "postgres"])
async def test_nobody_there_is_unhealthy(name: str) -> None:
    async with serving(silent) as port:
        pass
    with pytest.raises(Unhealthy):
        await checks(port)[name]()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"live": True, "reasons": ["order_svc: pump waits"], "troubles": []}, NotServing),
        ({"live": False, "reasons": ["the event loop has not moved"], "troubles": []}, Unhealthy),
    ],
)
async def test_a_service_is_as_healthy_as_it_says_and_says_whether_it_lives(
    said: dict[str, Any], told: type[Unhealthy]
) -> None:
    body = json.dumps(said).encode()
    head = b"HTTP/1.0 503 Service Unavailable\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with serving(saying(head + body)) as port:
        with pytest.raises(Unhealthy, match=said["reasons"][0]) as raised:
            await health.service("127.0.0.1", port)()
    assert type(raised.value) is told


async def test_a_process_of_ours_is_understood() -> None:
    process = Health([])
    async with process.answering("127.0.0.1", 0) as port:
        with pytest.raises(NotServing, match="is starting"):
            await health.service("127.0.0.1", port)()
        process.phase = ""
        assert not await health.service("127.0.0.1", port)()


async def test_what_a_process_fails_at_again_and_again_is_a_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Health([])
    process.phase = ""
    monkeypatch.setattr(process, "troubles", lambda: ["ledger_svc: seals.append fails each time: KeyError()"])
    async with process.answering("127.0.0.1", 0) as port:
        remark = await health.service("127.0.0.1", port)()
    assert remark == "ledger_svc: seals.append fails each time: KeyError()"
