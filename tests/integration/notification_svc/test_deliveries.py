"""Orders that end become messages: each once, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from email import message_from_string, policy
from pathlib import Path

import psycopg
import pytest

from kit.observe.pulse import Pulse
from notification_svc.adapters.mailbox import Mailbox
from notification_svc.application.send_deliveries import MAX_BATCH, Sender
from notification_svc.domain.delivery import MAX_ATTEMPTS, NO_ADDRESS, Answer, Refused, Taken
from notification_svc.domain.message import Mail
from tests.integration.notification_svc.conftest import (
    FROM,
    Notifier,
    completed,
    failed,
    orders,
)
from tests.support.service import envelope_of
from tests.support.waiting import eventually


class Crash(BaseException):
    """The end of the process: nothing after it runs, and nothing catches it."""


class CrashingMailbox(Mailbox):
    """Dies after the messages are out and before anybody knows."""

    async def carry(self, mails: Sequence[Mail]) -> list[Answer]:
        await super().carry(mails)
        raise Crash


class Answering:
    """A mail server that gives the same answer to everything, and remembers who asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.mails: list[Mail] = []

    async def carry(self, mails: Sequence[Mail]) -> list[Answer]:
        self.mails += mails
        return [self.answer] * len(mails)

    async def close(self) -> None:
        return None


class Slow(Answering):
    """A mail server that takes its time."""

    def __init__(self) -> None:
        super().__init__(Taken())
        self.began = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def carry(self, mails: Sequence[Mail]) -> list[Answer]:
        self.began.set()
        await self.may_go_on.wait()
        return await super().carry(mails)


async def test_a_completed_order_gets_a_receipt_and_a_failed_one_an_explanation(service: Notifier) -> None:
    await service.scenario.when(completed("ord_1"), failed("ord_2", "insufficient_funds"))
    service.scenario.then_nothing()
    assert await service.send_waiting() == 2
    mails = {
        m["X-Florin-Order"]: m for m in (message_from_string(t, policy=policy.SMTP) for t in service.mails())
    }
    assert "€19.99" in mails["ord_1"].get_content()
    assert "not enough money" in mails["ord_2"].get_content()
    assert await service.states() == [("ord_1", "SENT", 1, ""), ("ord_2", "SENT", 1, "")]


async def test_an_order_is_announced_once_however_often_its_event_comes(service: Notifier) -> None:
    event = envelope_of(completed("ord_1"))
    await service.scenario.given(event, event)
    await service.scenario.given(event)
    # The same news under another id, as after a producer's repair.
    await service.scenario.given(completed("ord_1"))
    assert await service.send_waiting() == 1
    assert len(service.mails()) == 1


async def test_a_buyer_without_an_address_gets_nothing_and_a_wrong_address_fails_at_once(
    service: Notifier,
) -> None:
    await service.scenario.when(
        completed("ord_1", email=""), completed("ord_2", email="ada@example.com\r\nBcc: eve@example.com")
    )
    assert await service.send_waiting() == 0
    assert await service.states() == [("ord_2", "FAILED", 0, NO_ADDRESS)]


async def test_a_crash_between_send_and_mark_sends_again_into_the_same_file(service: Notifier) -> None:
    crashing = service.restarted(CrashingMailbox(service.folder))
    await crashing.scenario.given(completed("ord_1"))
    with pytest.raises(Crash):
        await crashing.send_waiting()
    before = service.mails()
    assert len(before) == 1

    survivor = service.restarted()
    assert await survivor.sender.claim_due() == 0, "the claim of the dead process still holds"
    await survivor.make_due()
    assert await survivor.sender.claim_due() == 1
    await survivor.send_waiting()
    assert survivor.mails() == before
    assert await survivor.states() == [("ord_1", "SENT", 2, "")]


async def test_a_crash_before_the_send_loses_nothing(service: Notifier) -> None:
    await service.scenario.given(*orders(3))
    survivor = service.restarted()
    await survivor.make_due()
    assert await survivor.sender.claim_due() == 3
    await survivor.send_waiting()
    assert len(survivor.mails()) == 3


async def test_a_step_that_is_rolled_back_sends_nothing(service: Notifier) -> None:
    async with service.runtime.database.connection() as connection:
        await connection.execute(
            "INSERT INTO inbox (consumer, event_id) VALUES ('notification_svc', 'evt_1')"
        )
    await service.scenario.given(envelope_of(completed("ord_1"), event_id="evt_1"))
    assert await service.send_waiting() == 0


async def test_two_processes_never_claim_the_same_delivery(service: Notifier) -> None:
    await service.scenario.given(*orders(60))
    await service.make_due()
    claims = await asyncio.gather(*[service.deliveries.claim_due(10) for _ in range(8)])
    claimed = [delivery.order_id for claim in claims for delivery in claim]
    assert len(claimed) == len(set(claimed)) == 60


@pytest.mark.parametrize("facts", ['{"lines": []}', '{"lines": [{}]}', "[]", '{"unknown": 1, "lines": []}'])
async def test_a_delivery_that_cannot_be_read_fails_alone_and_is_seen(service: Notifier, facts: str) -> None:
    await service.scenario.given(*orders(3))
    survivor = service.restarted()
    async with service.runtime.database.connection() as connection:
        await connection.execute("UPDATE deliveries SET facts = %s WHERE order_id = 'ord_001'", (facts,))
    await survivor.make_due()
    assert await survivor.sender.claim_due() == 2
    await survivor.send_waiting()
    assert [status for _, status, *_ in await survivor.states()] == ["SENT", "PENDING", "SENT"]
    [unread] = await survivor.deliveries.of_order("ord_001")
    assert unread.last_error.startswith("not readable")
    assert await survivor.sender.claim_due() == 0, "it waits for its next attempt"

    async with service.runtime.database.connection() as connection:
        await connection.execute(
            "UPDATE deliveries SET attempts = %s, due_at = now() WHERE status = 'PENDING'",
            (MAX_ATTEMPTS - 1,),
        )
    await survivor.sender.claim_due()
    assert [status for _, status, *_ in await survivor.states()] == ["SENT", "FAILED", "SENT"]


async def test_a_refusal_for_now_is_tried_again_and_given_up_after_the_last_attempt(
    service: Notifier,
) -> None:
    server = Answering(Refused("450 busy", for_good=False))
    service = service.restarted(server)
    await service.scenario.given(completed("ord_1"))
    await service.send_waiting()
    assert await service.states() == [("ord_1", "PENDING", 1, "450 busy")]
    assert await service.sender.claim_due() == 0, "it pauses first"
    for _ in range(MAX_ATTEMPTS - 1):
        await service.make_due()
        assert await service.sender.claim_due() == 1
        await service.send_waiting()
    assert await service.states() == [("ord_1", "FAILED", MAX_ATTEMPTS, "450 busy")]
    await service.make_due()
    assert await service.sender.claim_due() == 0
    assert len({mail.content for mail in server.mails}) == 1


async def test_a_retry_that_succeeds_clears_the_error(service: Notifier) -> None:
    server = Answering(Refused("450 busy", for_good=False))
    service = service.restarted(server)
    await service.scenario.given(completed("ord_1"))
    await service.send_waiting()
    server.answer = Taken()
    await service.make_due()
    await service.sender.claim_due()
    await service.send_waiting()
    assert await service.states() == [("ord_1", "SENT", 2, "")]


async def test_a_late_failure_of_an_attempt_that_was_overtaken_changes_nothing(service: Notifier) -> None:
    await service.scenario.given(completed("ord_1"))
    slow = service.sender.take_waiting()
    other = service.restarted()
    await other.make_due()
    await other.sender.claim_due()
    await other.send_waiting()
    stuck = Sender(
        deliveries=service.deliveries,
        carrier=Answering(Refused("450 busy", for_good=False)),
        mail_from=FROM,
    )
    await stuck.send(slow)
    assert await service.states() == [("ord_1", "SENT", 2, "")]


async def test_a_send_that_does_not_end_is_told(service: Notifier) -> None:
    server = Slow()
    service = service.restarted(server)
    service.sender.pulse = Pulse(within_s=0)
    await service.scenario.given(completed("ord_1"))
    sending = asyncio.create_task(service.sender.run())
    await server.began.wait()
    await eventually(lambda: "has not moved" in service.sender.pulse.problem(), "it is told")
    server.may_go_on.set()
    await eventually(lambda: not service.sender.pulse.problem(), "it moves")
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_a_send_that_has_begun_is_finished_and_marked_when_the_service_stops(service: Notifier) -> None:
    server = Slow()
    service = service.restarted(server)
    background = asyncio.create_task(service.sender.run())
    await service.scenario.given(completed("ord_1"))
    await asyncio.wait_for(server.began.wait(), 5)
    background.cancel()
    server.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await background
    assert await service.states() == [("ord_1", "SENT", 1, "")]


async def test_what_is_still_being_sent_is_not_due_again_for_its_sender_when_its_claim_runs_out(
    service: Notifier,
) -> None:
    server = Slow()
    service = service.restarted(server)
    background = asyncio.create_task(service.sender.run())
    await service.scenario.given(completed("ord_1"))
    await asyncio.wait_for(server.began.wait(), 5)
    await service.make_due()
    assert await service.sender.claim_due() == 0
    server.may_go_on.set()
    await service.sender.drain(5.0)
    background.cancel()
    assert len(server.mails) == 1
    assert await service.states() == [("ord_1", "SENT", 1, "")]


async def test_one_delivery_that_cannot_be_written_does_not_keep_the_others(service: Notifier) -> None:
    await service.scenario.given(*orders(2))
    async with service.runtime.database.connection() as connection:
        await connection.execute(
            'UPDATE deliveries SET facts = facts || \'{"merchant_id": "mer\\r\\nBcc: eve"}\''
            " WHERE order_id = 'ord_000'"
        )
    service = service.restarted()
    await service.make_due()
    await service.sender.claim_due()
    await service.send_waiting()
    assert [(order, status) for order, status, _, _ in await service.states()] == [
        ("ord_000", "FAILED"),
        ("ord_001", "SENT"),
    ]
    assert "Bcc" not in "".join(service.mails())


async def test_the_background_sends_what_it_is_offered_and_claims_what_is_due(service: Notifier) -> None:
    background = asyncio.create_task(service.sender.run())
    await service.scenario.given(*orders(MAX_BATCH + 1))
    await eventually(lambda: len(service.mails()) == MAX_BATCH + 1, "all are sent")
    await service.sender.drain(5.0)
    assert {status for _, status, _, _ in await service.states()} == {"SENT"}
    background.cancel()


async def test_the_mailbox_heals_when_somebody_removes_its_folder(service: Notifier, tmp_path: Path) -> None:
    await service.scenario.given(completed("ord_1"))
    await service.send_waiting()
    for path in sorted(service.folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    await service.scenario.given(completed("ord_2"))
    await service.send_waiting()
    await service.make_due()
    await service.sender.claim_due()
    await service.send_waiting()
    assert len(service.mails()) == 1
    assert {status for _, status, _, _ in await service.states()} == {"SENT"}


async def test_a_delivery_read_back_is_the_one_that_was_asked_for(service: Notifier) -> None:
    await service.scenario.given(completed("ord_1"))
    [offered] = service.sender.take_waiting()
    assert await service.deliveries.of_order("ord_1") == [offered]
    assert await service.deliveries.of_order("ord_none") == []


@pytest.mark.parametrize(
    "broken",
    [
        "status = 'SENT'",
        "status = 'FAILED', last_error = ''",
        "status = 'SENT', sent_at = now(), last_error = 'x'",
        "attempts = -1",
        "channel = 'pigeon'",
    ],
)
async def test_the_table_refuses_what_makes_no_sense(service: Notifier, broken: str) -> None:
    await service.scenario.given(completed("ord_1"))
    async with service.runtime.database.connection() as connection:
        with pytest.raises(psycopg.errors.CheckViolation):
            await connection.execute(f"UPDATE deliveries SET {broken}")
