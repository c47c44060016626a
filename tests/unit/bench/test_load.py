"""The load generator does not wait for one answer before it sends the next request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from bench import http1
from bench.carts import Mix
from bench.load import Answers, Assignment, Load
from bench.window import Window

Answer = Callable[[web.Request], Awaitable[web.Response]]

_DEADLINE_S = 30.0


@asynccontextmanager
async def _edge(answer: Answer) -> AsyncIterator[int]:
    """Something that answers checkouts as told and says that every order has been completed."""

    async def look_up(request: web.Request) -> web.Response:
        return web.json_response({"id": request.match_info["id"], "status": "COMPLETED"})

    app = web.Application()
    app.router.add_post("/v1/checkouts", answer)
    app.router.add_get("/v1/orders/{id}", look_up)
    # Connections that are being opened when the load is over need not be waited for.
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _load(answer: Answer, window: Window) -> Answers:
    async with _edge(answer) as port:
        client = http1.Client("127.0.0.1", port, opened=1, most=100)
        assignment = Assignment(
            host="127.0.0.1",
            port=port,
            window=window,
            mix=Mix(products=3),
            tokens=["alice", "bob"],
            name="run",
            seed=1,
        )
        load = Load(assignment, client)
        async with asyncio.timeout(_DEADLINE_S):
            await client.open()
            await load.run(time.monotonic())
        client.close()
        return load.answers()


async def _accept(request: web.Request) -> web.Response:
    return web.json_response({"id": f"ord_{request.headers['idempotency-key']}"}, status=202)


async def test_every_checkout_has_a_key_of_its_own_and_buyers_take_turns() -> None:
    seen: list[tuple[str, str]] = []

    async def note(request: web.Request) -> web.Response:
        seen.append((request.headers["idempotency-key"], request.headers["authorization"]))
        return await _accept(request)

    answers = await _load(note, Window(rate_per_s=1_000, warmup_s=0, measure_s=0.01))

    assert sorted(seen) == [(f"run-{n}", f"Bearer {'bob' if n % 2 else 'alice'}") for n in range(10)]
    assert answers.order_id == [f"ord_run-{n}" for n in range(10)]


async def test_all_are_sent_although_none_is_answered_yet() -> None:
    all_are_here = asyncio.Event()
    here = 0

    async def answer_when_all_are_here(request: web.Request) -> web.Response:
        nonlocal here
        here += 1
        if here == 20:
            all_are_here.set()
        await all_are_here.wait()
        return await _accept(request)

    answers = await _load(answer_when_all_are_here, Window(rate_per_s=1_000, warmup_s=0, measure_s=0.02))

    assert answers.status == [202] * 20


async def test_refusals_and_lost_connections_are_noted_and_do_not_stop_the_load() -> None:
    async def refuse_or_hang_up(request: web.Request) -> web.Response:
        number = int(request.headers["idempotency-key"].rpartition("-")[2])
        if number == 1:
            return web.json_response({}, status=503)
        if number == 2:
            assert request.transport is not None
            request.transport.close()
        return await _accept(request)

    answers = await _load(refuse_or_hang_up, Window(rate_per_s=1_000, warmup_s=0, measure_s=0.004))

    assert answers.status == [202, 503, 0, 202]
    assert answers.order_id == ["ord_run-0", "", "", "ord_run-3"]
    assert answers.answered_s[2] is None


async def test_a_few_buyers_watch_their_orders_until_the_end() -> None:
    answers = await _load(_accept, Window(rate_per_s=1_000, warmup_s=0, measure_s=0.01))

    assert len(answers.watched_ms) == 1
