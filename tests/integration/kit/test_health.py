"""A process whose store is gone without a word says so, and says when it is back; nobody restarts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from inventory_svc.settings import Settings
from kit.runtime.process import build, serve
from kit.runtime.settings import ProcessSettings
from roster import ROSTER
from runner import health
from runner.health import NotServing, Unhealthy
from tests.support.databases import ServiceDatabase
from tests.support.servers import serving
from tests.support.stores import free_port
from tests.support.waiting import eventually


class Line:
    """A line to a store on which packets can get lost, in both directions and without a word."""

    def __init__(self) -> None:
        self.whole = asyncio.Event()
        self.whole.set()

    @asynccontextmanager
    async def to(self, url: str) -> AsyncIterator[str]:
        """Yield the store's address at this end of the line."""
        store = urlsplit(url)

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65_536):
                await self.whole.wait()
                writer.write(data)

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection(store.hostname, store.port)
            directions = [
                asyncio.create_task(carry(reader, far_writer)),
                asyncio.create_task(carry(far_reader, writer)),
            ]
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in directions:
                    each.cancel()
                await asyncio.gather(*directions, return_exceptions=True)
                far_writer.close()

        async with serving(talk) as port:
            credentials = store.netloc.rpartition("@")[0]
            yield urlunsplit(store._replace(netloc=f"{credentials}@127.0.0.1:{port}"))


async def said(check: health.Check) -> Unhealthy | None:
    try:
        await check()
    except Unhealthy as unhealthy:
        return unhealthy
    return None


async def test_a_store_that_is_gone_without_a_word_is_told_with_its_reason_and_so_is_its_return(
    service_database: Callable[[str], ServiceDatabase],
    nats_url: str,
    redis_url: str,
) -> None:
    line, until = Line(), asyncio.Event()
    port, health_port = sorted((free_port(), free_port()))
    own = ProcessSettings(health_port_step=health_port - port)
    async with line.to(service_database("inventory_svc").url) as url:
        settings = Settings(database_url=url, nats_url=nats_url, redis_url=redis_url)
        context = build(ROSTER, ROSTER["inventory_svc"], settings)
        process = asyncio.create_task(serve(own, port, [context], until=until))
        check = health.service("127.0.0.1", health_port)
        try:
            await eventually(lambda: _is(check, type(None)), "it serves")

            line.whole.clear()
            await eventually(lambda: _is(check, NotServing), "it says that it does not serve")
            unhealthy = await said(check)
            assert "inventory_svc: outbox.resend has not moved" in str(unhealthy)
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await eventually(lambda: _refuses(channel), "it says so by gRPC, too")

            line.whole.set()
            await eventually(lambda: _is(check, type(None)), "it serves again, by itself")
        finally:
            line.whole.set()
            until.set()
            await process


async def _refuses(channel: grpc.aio.Channel) -> bool:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    return bool(answer.status == health_pb2.HealthCheckResponse.NOT_SERVING)


async def _is(check: health.Check, kind: type) -> bool:
    return type(await said(check)) is kind
