"""What was begun at the PSP is known before the service is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import psycopg

from payment_svc.domain.payment import Payment, PspFact
from tests.integration.payment_svc.conftest import captured, reserved
from tests.support.databases import ServiceDatabase
from tests.support.service import handle, wired
from tests.support.waiting import eventually

KEYS = {"psp_api_key": "sk_test", "psp_webhook_secret": "whsec_test"}


class SlowPsp:
    """A PSP that takes the money and answers when the test says so."""

    name = "stripe"
    key_lifetime = timedelta(hours=23)

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.answers = asyncio.Event()

    async def charge(self, payment: Payment) -> PspFact:
        """Wait, then say that the money is taken."""
        self.called.set()
        await self.answers.wait()
        return captured(payment)


async def test_an_answer_that_comes_while_the_service_closes_is_stored(
    service_database: Callable[[str], ServiceDatabase],
) -> None:
    database, psp = service_database("payment_svc"), SlowPsp()
    runtime = wired("payment_svc", database.url, KEYS, psps=[psp])
    await runtime.database.open()
    for gatherer in runtime.gatherers.values():
        gatherer.start()
    await handle(runtime, runtime.pump, reserved("ord_1"))
    await eventually(psp.called.is_set, "the PSP is called")
    closing = asyncio.create_task(runtime.close())
    await asyncio.sleep(0)
    psp.answers.set()
    await closing
    with psycopg.connect(database.superuser_url) as connection:
        assert connection.execute("SELECT status FROM payments").fetchall() == [("CAPTURED",)]
