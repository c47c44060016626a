"""A network between two programs that can lose its packets, be slow, or be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from threading import Thread
from urllib.parse import urlsplit, urlunsplit

_CHUNK_BYTES = 64 * 1024


class Proxy:
    """Forwards TCP connections to one server.

    While it swallows, nothing passes in either direction, and neither side is told: connections stay open
    and new ones are taken and never answered. What was on its way arrives afterwards, as TCP would send it
    again.

    Attributes:
        port: where it listens, on this machine.
        delay_s: how much later everything arrives.
        accepted: how many connections there have been.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._flows = asyncio.Event()
        self._flows.set()
        # Of those that are not lost for good.
        self._open: set[asyncio.Event] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.delay_s = 0.0
        self.accepted = 0

    def swallow(self) -> None:
        """Let nothing through any more."""
        self._flows.clear()
        for each in self._open:
            each.clear()

    def flow(self) -> None:
        """Let everything through again."""
        self._flows.set()
        for each in self._open:
            each.set()

    def lose(self) -> None:
        """Let nothing through on the connections there are, ever; new ones work."""
        for each in self._open:
            each.clear()
        self._open.clear()

    def cut(self) -> None:
        """Reset every connection there is; new ones work."""
        for writer in self._writers:
            writer.transport.abort()

    def url(self, url: str) -> str:
        """Return an address of the server as one that leads through here."""
        parts = urlsplit(url)
        login = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{self.port}".removeprefix("@")))

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        flows = asyncio.Event()
        self._open.add(flows)
        try:
            await self._flows.wait()
            flows.set()
            server_reader, server_writer = await asyncio.open_connection(*self._target)
            self._writers.add(server_writer)
            await asyncio.gather(
                self._forward(reader, server_writer, flows), self._forward(server_reader, writer, flows)
            )
        except (OSError, asyncio.CancelledError):
            pass  # The server is not there, or the test is over.
        finally:
            self._open.discard(flows)
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def close(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await flows.wait()
                writer.write(data)
                await writer.drain()
        await flows.wait()
        self._writers.discard(writer)
        writer.close()


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """Yield a proxy to the server that an address names."""
    parts = urlsplit(url)
    assert parts.hostname, url
    assert parts.port, url
    proxy = Proxy(parts.hostname, parts.port)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()


class Line:
    """A proxy that runs beside the tests, for programs that live longer than the event loop of one of them.

    Attributes:
        port: where it listens, on this machine.
    """

    def __init__(self, proxy: Proxy, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy = proxy
        self._loop = loop
        self.port = proxy.port

    def url(self, url: str) -> str:
        """Return an address of the server as one that leads through here."""
        return self._proxy.url(url)

    def swallow(self) -> None:
        """Let nothing through any more."""
        self._do(self._proxy.swallow)

    def flow(self) -> None:
        """Let everything through again."""
        self._do(self._proxy.flow)

    def lose(self) -> None:
        """Let nothing through on the connections there are, ever; new ones work."""
        self._do(self._proxy.lose)

    def _do(self, what: Callable[[], None]) -> None:
        async def done() -> None:
            what()

        asyncio.run_coroutine_threadsafe(done(), self._loop).result()


@contextmanager
def line_to(url: str) -> Iterator[Line]:
    """Yield a proxy to the server that an address names, on an event loop and a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="proxy", daemon=True)
    thread.start()
    opened = proxy_to(url)
    try:
        yield Line(asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result(), loop)
    finally:
        asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
