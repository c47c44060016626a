"""A mail server, by SMTP: one connection for many messages, opened again when the server has closed it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from email.utils import parseaddr
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog
from aiosmtplib import SMTP, SMTPException, SMTPRecipientsRefused, SMTPResponseException

from notification_svc.domain.delivery import Answer, Refused, Taken
from notification_svc.domain.message import Mail

log = structlog.get_logger(__name__)

# For one command. Slower servers exist, but none that should hold up a batch.
_COMMAND_TIMEOUT_S: Final = 10.0

# For a whole batch; below the time of a claim, or another process would send the same messages.
BATCH_TIMEOUT_S: Final = 45.0

# One broken connection may be the fault of the message; after so many it is the server's.
_MAX_FAILURES_IN_A_ROW: Final = 3

# What breaks a connection, or keeps it from coming about.
_BROKEN: Final = (SMTPException, OSError, TimeoutError)

# 5xx answers are final (RFC 5321 §4.2.1), save for those that speak of the session, not of the message.
_FINAL: Final = range(500, 600)
_ABOUT_THE_SESSION: Final = frozenset({500, 501, 502, 503, 530, 535})


class SmtpCarrier:
    """Sends messages to one mail server.

    Args:
        url: `smtp://user:password@host:587` or `smtps://…`. With a password, the connection is encrypted
            or not used, unless the server is on this machine.
        mail_from: sender, `Name <address>`; bounces go to its address.
    """

    def __init__(self, url: str, mail_from: str) -> None:
        parts = urlsplit(url)
        host = parts.hostname or "localhost"
        implicit_tls = parts.scheme == "smtps"
        must_encrypt = bool(parts.password) and not implicit_tls and not _is_here(host)
        self._client = SMTP(
            hostname=host,
            port=parts.port or (465 if implicit_tls else 25),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            use_tls=implicit_tls,
            # None: encrypt if the server offers it.
            start_tls=True if must_encrypt else (False if implicit_tls else None),
            timeout=_COMMAND_TIMEOUT_S,
        )
        self._bounces_to = parseaddr(mail_from)[1]

    async def carry(self, mails: Sequence[Mail]) -> list[Answer]:
        """Send messages one after the other and return the server's answers.

        A message over which the connection breaks fails alone; the server is given up, for this batch,
        when it breaks every time.
        """
        answers: list[Answer] = []
        failures_in_a_row = 0
        problem: Exception = TimeoutError(f"not done within {BATCH_TIMEOUT_S:g} s")
        with suppress(TimeoutError):
            async with asyncio.timeout(BATCH_TIMEOUT_S):
                for mail in mails:
                    try:
                        answers.append(await self._send(mail))
                        failures_in_a_row = 0
                    except _BROKEN as error:
                        self._client.close()
                        answers.append(_unusable(error))
                        failures_in_a_row += 1
                        if failures_in_a_row == _MAX_FAILURES_IN_A_ROW:
                            problem = error
                            break
        if len(answers) < len(mails):
            self._client.close()
            log.warning("smtp.given_up", answered=len(answers), of=len(mails), error=repr(problem))
            answers += [_unusable(problem)] * (len(mails) - len(answers))
        return answers

    async def close(self) -> None:
        """Say goodbye."""
        if not self._client.is_connected:
            return
        try:
            await self._client.quit()
        except _BROKEN:
            self._client.close()

    async def _send(self, mail: Mail) -> Answer:
        if not self._client.is_connected:
            await self._client.connect()
        try:
            return await self._hand_over(mail)
        except aiosmtplib.SMTPServerDisconnected:
            # Servers close connections that were idle, or have carried enough messages.
            self._client.close()
            await self._client.connect()
            return await self._hand_over(mail)

    async def _hand_over(self, mail: Mail) -> Answer:
        try:
            await self._client.sendmail(self._bounces_to, [mail.recipient], mail.content)
        except SMTPRecipientsRefused as error:
            first = error.recipients[0]
            return _refusal(first.code, first.message)
        except SMTPResponseException as error:
            if error.code == aiosmtplib.SMTPStatus.domain_unavailable:
                raise  # 421: the server is about to close the connection.
            return _refusal(error.code, error.message)
        return Taken()


def _unusable(error: Exception) -> Refused:
    return Refused(f"the mail server cannot be used: {error!r}", for_good=False)


def _refusal(code: int, message: str) -> Refused:
    for_good = code in _FINAL and code not in _ABOUT_THE_SESSION
    return Refused(f"the mail server answered {code} {message}", for_good=for_good)


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
