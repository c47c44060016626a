"""A real SMTP conversation: one connection for many messages, and servers that behave badly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from notification_svc.adapters.smtp import SmtpCarrier
from notification_svc.domain.delivery import Refused, Taken
from notification_svc.domain.message import Mail, compose
from tests.integration.notification_svc.conftest import FROM, Notifier, orders
from tests.support.stores import free_port
from tests.unit.notification_svc.deliveries import NOON


@dataclass
class Office:
    """A mail server that counts its connections and may be told how to misbehave.

    Attributes:
        hangs_up_after: messages it takes on one connection.
        hangs_up_on: recipients at whom it breaks the connection.
        answers: other answers than 250, by recipient.
    """

    port: int = field(default_factory=free_port)
    connections: int = 0
    taken: list[bytes] = field(default_factory=list)
    hangs_up_after: int = 1_000
    hangs_up_on: frozenset[str] = frozenset()
    answers: dict[str, str] = field(default_factory=dict)
    controller: Controller | None = None
    _on_this_connection: int = 0

    async def handle_HELO(self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str) -> str:
        return await self._greet(session, hostname)

    async def handle_EHLO(
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        await self._greet(session, hostname)
        return responses

    async def _greet(self, session: Session, hostname: str) -> str:
        session.host_name = hostname
        self.connections += 1
        self._on_this_connection = 0
        return "250 here"

    async def handle_RCPT(
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address in self.hangs_up_on:
            assert server.transport is not None
            server.transport.close()
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.taken.append(envelope.content)
        self._on_this_connection += 1
        if self._on_this_connection >= self.hangs_up_after:
            assert server.transport is not None
            server.loop.call_later(0.01, server.transport.close)
        return "250 taken"

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def open(self) -> None:
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self.controller.start()

    def close(self) -> None:
        if self.controller is not None:
            self.controller.stop()
            self.controller = None


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    office = Office()
    office.open()
    yield office
    office.close()


@pytest.fixture
async def carrier(office: Office) -> AsyncIterator[SmtpCarrier]:
    carrier = SmtpCarrier(office.url, FROM)
    yield carrier
    await carrier.close()


def a_mail(number: int, recipient: str = "") -> Mail:
    return compose(
        delivery_id=f"dlv_{number}",
        order_id=f"ord_{number}",
        correlation_id="cor_1",
        sender=FROM,
        recipient=recipient or f"buyer{number}@example.com",
        subject="Your receipt",
        body="Total: €19.99\n.\n",
        requested_at=NOON,
    )


async def test_many_mails_share_one_connection_over_several_batches(
    office: Office, carrier: SmtpCarrier
) -> None:
    for batch in range(3):
        mails = [a_mail(batch * 20 + n) for n in range(20)]
        assert await carrier.carry(mails) == [Taken()] * 20
    assert office.connections == 1
    assert len(office.taken) == 60
    # A line with a single dot ends a message for SMTP; it arrives as the line it was.
    assert message_from_bytes(office.taken[0], policy=policy.SMTP).get_content() == "Total: €19.99\r\n.\r\n"


async def test_a_server_that_closes_connections_early_gets_every_mail_once(
    office: Office, carrier: SmtpCarrier
) -> None:
    office.hangs_up_after = 1
    for number in range(5):
        assert await carrier.carry([a_mail(number)]) == [Taken()]
    assert len(office.taken) == 5


async def test_an_unknown_recipient_fails_for_good_and_a_full_mailbox_for_now(
    office: Office, carrier: SmtpCarrier
) -> None:
    office.answers = {"gone@example.com": "550 no such user", "full@example.com": "452 mailbox full"}
    answers = await carrier.carry([a_mail(1, "gone@example.com"), a_mail(2, "full@example.com"), a_mail(3)])
    assert answers == [
        Refused("the mail server answered 550 no such user", for_good=True),
        Refused("the mail server answered 452 mailbox full", for_good=False),
        Taken(),
    ]


async def test_a_mail_that_breaks_the_connection_fails_alone(office: Office, carrier: SmtpCarrier) -> None:
    office.hangs_up_on = frozenset({"poison@example.com"})
    answers = await carrier.carry([a_mail(1), a_mail(2, "poison@example.com"), a_mail(3)])
    assert [isinstance(answer, Taken) for answer in answers] == [True, False, True]
    assert isinstance(answers[1], Refused)
    assert not answers[1].for_good


async def test_while_the_server_is_away_everything_waits_and_afterwards_everything_arrives(
    office: Office, service: Notifier
) -> None:
    office.close()
    carrier = SmtpCarrier(office.url, FROM)
    service = service.restarted(carrier)
    await service.scenario.given(*orders(10))
    await service.send_waiting()
    states = await service.states()
    assert {status for _, status, _, _ in states} == {"PENDING"}
    assert all("the mail server cannot be used" in error for _, _, _, error in states)

    office.open()
    await service.make_due()
    assert await service.sender.claim_due() == 10
    await service.send_waiting()
    await carrier.close()
    assert {(status, error) for _, status, _, error in await service.states()} == {("SENT", "")}
    assert len(office.taken) == 10
