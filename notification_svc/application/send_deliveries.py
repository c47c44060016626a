"""Sends what was asked for: at least once, many at a time.

A delivery is claimed for a while, rendered, handed to the carrier, and only then marked. A process that
dies in between leaves a claim that runs out, and the message is sent again. It then has the same bytes and
the same Message-ID, so that a mailbox overwrites it and mail programs can recognise it; SMTP offers no more.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog
from opentelemetry.trace import SpanKind

from kit.messaging.step import to_the_end
from kit.observe import faultpoints, telemetry
from kit.observe.pulse import Pulse
from kit.store.database import STORE_UNAVAILABLE
from kit.values.redaction import redact
from notification_svc.application.ports import Carrier, Deliveries
from notification_svc.domain.delivery import Answer, Delivery, Move, Refused, Status, after_attempt
from notification_svc.domain.message import Mail, compose
from notification_svc.domain.templates import render

log = structlog.get_logger(__name__)

# A batch is sent within the time of a claim even by a slow mail server, and marked by one statement.
MAX_BATCH: Final = 100

# New deliveries beyond this are left to their rows: they are due again when their claim runs out.
MAX_WAITING: Final = 5_000

# A few more in one batch cost a fraction of what a batch costs; nobody waits for an e-mail in milliseconds.
_LINGER_S: Final = 0.05

# A batch that takes longer than even the slowest mail server is given does not move.
_STILL_S: Final = 60.0

# How long an unreachable database is waited for between two tries of marking the same batch.
_STORE_PAUSE_S: Final = 0.5


class Sender:
    """Sends deliveries in the background: new ones straight from memory, others when they are due."""

    def __init__(
        self, *, deliveries: Deliveries, carrier: Carrier, mail_from: str, linger_s: float = _LINGER_S
    ) -> None:
        self._deliveries = deliveries
        self._carrier = carrier
        self._mail_from = mail_from
        self._linger_s = linger_s
        self._waiting: deque[Delivery] = deque()
        # What waits or is being sent, however long that takes: a claim that runs out meanwhile does not make
        # it due for this process.
        self._at_work: set[str] = set()
        self._arrived = asyncio.Event()
        self.pulse = Pulse(within_s=_STILL_S)
        self._idle = asyncio.Event()
        self._idle.set()

    def offer(self, deliveries: Sequence[Delivery]) -> None:
        """Take over deliveries that this process has claimed."""
        taken = deliveries[: MAX_WAITING - len(self._waiting)]
        self._waiting.extend(taken)
        self._at_work.update(delivery.id for delivery in taken)
        if self._waiting:
            self._idle.clear()
            self._arrived.set()

    async def claim_due(self) -> int:
        """Claim what is due and return how much that was; retries, and what a dead process has left."""
        if self._waiting:
            return 0
        due = await self._deliveries.claim_due(MAX_BATCH, but_not=self._at_work)
        self.offer(due)
        return len(due)

    async def run(self) -> None:
        """Send until cancelled; a batch that has begun is finished first."""
        while True:
            await self._arrived.wait()
            if len(self._waiting) < MAX_BATCH and self._linger_s > 0:
                await asyncio.sleep(self._linger_s)
            while batch := self.take_waiting():
                with self.pulse.at_work():
                    await to_the_end(self.send(batch))
            self._arrived.clear()
            self._idle.set()

    def take_waiting(self) -> list[Delivery]:
        """Return what waits, at most one batch of it; it is the caller's to send."""
        return [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]

    async def drain(self, timeout_s: float) -> None:
        """Wait until all that was offered is sent, or the time is up: the rest is sent by its rows."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            log.warning("mail.left_to_others", count=len(self._waiting))

    async def send(self, deliveries: Sequence[Delivery]) -> None:
        """Send one batch and mark it."""
        try:
            await self._send(deliveries)
        finally:
            self._at_work.difference_update(delivery.id for delivery in deliveries)

    async def _send(self, deliveries: Sequence[Delivery]) -> None:
        started = time.perf_counter()
        answers: dict[str, Answer] = {}
        mails: list[Mail] = []
        for delivery in deliveries:
            try:
                mails.append(self._compose(delivery))
            except ValueError as error:
                answers[delivery.id] = Refused(str(error), for_good=True)
        carried = await self._carrier.carry(mails) if mails else []
        answers.update(zip([mail.id for mail in mails], carried, strict=True))
        faultpoints.passing("notification_svc.after_send")
        moves = [after_attempt(delivery, answers[delivery.id]) for delivery in deliveries]
        await self._mark(moves)
        log.info(
            "mail.sent",
            mails=len(deliveries),
            sent=sum(move.to is Status.SENT for move in moves),
            errors=sorted({redact(move.error) for move in moves if move.error}),
            ms=round((time.perf_counter() - started) * 1000, 1),
            order_ids=[delivery.order_id for delivery in deliveries],
            correlation_ids=[delivery.trail.correlation_id for delivery in deliveries],
        )

    def _compose(self, delivery: Delivery) -> Mail:
        with telemetry.span("mail send", delivery.trail, SpanKind.CLIENT, {"delivery_id": delivery.id}):
            text = render(delivery)
            return compose(
                delivery_id=delivery.id,
                order_id=delivery.order_id,
                correlation_id=delivery.trail.correlation_id,
                sender=self._mail_from,
                recipient=delivery.recipient,
                subject=text.subject,
                body=text.body,
                requested_at=delivery.requested_at,
            )

    async def _mark(self, moves: Sequence[Move]) -> None:
        """Note what was sent; waits for the database, because forgetting means sending twice."""
        while True:
            try:
                await self._deliveries.move(moves)
                return
            except STORE_UNAVAILABLE as error:
                log.warning("mail.waits_for_store", mails=len(moves), error=repr(error))
                self.pulse.waits_for("its store")
                await asyncio.sleep(_STORE_PAUSE_S)
