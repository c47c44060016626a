"""How a replica gets its events: by a pull that goes on, whatever becomes of the broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from kit.messaging.stream import BROKER_UNAVAILABLE, STREAM, Stream

log = structlog.get_logger(__name__)

# One pull request asks for this many, and a replica has one open at a time. So this bounds a batch, and what
# a replica that is killed or stuck takes with it.
FETCH_SIZE: Final = 256

# How long a pull request is open: for so long a replica that hangs still takes its turn.
_PULL_EXPIRES_S: Final = 3.0

# The server reports at this interval that a request is open; none of three means that it is gone.
_HEARTBEAT_S: Final = 1.0
_SILENCE_S: Final = 3 * _HEARTBEAT_S

# Between two tries to make what the broker has forgotten.
_RETRY_PAUSE_S: Final = 0.25


class Pull:
    """An endless pull on one durable consumer, that survives the loss of consumer, stream and server.

    One request is open at a time, and the next is made when somebody takes: a replica asks for as much as it
    can do. What comes late for a request that was given up is taken like everything else.

    Args:
        client: returns the connection that is used now.
        ended: told once that nobody takes from it any more.
    """

    def __init__(
        self,
        client: Callable[[], Client],
        stream: Stream,
        consumer: str,
        subjects: Sequence[str],
        is_new: Callable[[], Awaitable[bool]],
        *,
        ended: Callable[[Pull], None],
    ) -> None:
        self._client = client
        self._stream = stream
        self._ended = ended
        self._consumer = consumer
        self._subjects = subjects
        self._is_new = is_new
        self._inbox = client().new_inbox()
        self._subscription: Subscription | None = None
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer}"
        self._messages: list[Msg] = []
        self._signal = asyncio.Event()
        # The request that is open: where its answers go, and how many messages it may still bring.
        self._numbers = count(1)
        self._request = ""
        self._left = 0
        # Why consumer and request have to be made again; empty while all is well.
        self._lost = "new"

    async def open(self) -> None:
        """Subscribe to the inbox that the server delivers to."""
        self._subscription = await self._client().subscribe(f"{self._inbox}.*", cb=self._receive)

    async def close(self) -> list[Msg]:
        """End the pull and return what has come and was not taken; the server sends nothing more."""
        self._ended(self)
        if self._subscription is None:
            return []
        try:
            async with asyncio.timeout(_SILENCE_S):
                await self._subscription.drain()  # type: ignore[no-untyped-call]  # nats has no types here
        except BROKER_UNAVAILABLE as error:
            log.warning("bus.pull_not_drained", consumer=self._consumer, error=repr(error))
            with suppress(*BROKER_UNAVAILABLE):
                await self._subscription.unsubscribe()
        left, self._messages = self._messages, []
        return left

    def restart(self) -> None:
        """Make the consumer and the pull request again at the next `take`: the connection is a new one."""
        self._lose(self._lost or "reconnected")

    async def take(self, *, linger_s: float) -> list[Msg]:
        """Wait for messages and return those that came, at most `FETCH_SIZE`, in order.

        Args:
            linger_s: how long to let a batch fill after its first message.
        """
        while not self._messages:
            # Cleared before anything is awaited: what arrives from here on is not overlooked.
            self._signal.clear()
            if self._lost and not await self._made_again():
                continue
            if self._left <= 0:
                await self._ask()
            if not await self._signalled(_SILENCE_S):
                self._lose("silent")
        if linger_s > 0 and len(self._messages) < FETCH_SIZE:
            self._signal.clear()
            await self._signalled(linger_s)
        taken, self._messages = self._messages[:FETCH_SIZE], self._messages[FETCH_SIZE:]
        return taken

    async def _signalled(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._signal.wait()
        except TimeoutError:
            return False
        return True

    def _lose(self, why: str) -> None:
        self._lost = why
        self._signal.set()

    async def _made_again(self) -> bool:
        why, self._lost = self._lost, ""
        try:
            await self._stream.ensure()
            if why == "new":
                await self._stream.remove_shares(self._consumer)
            await self._stream.ensure_consumer(
                self._consumer, self._subjects, self._is_new, may_narrow=why == "new"
            )
        except BROKER_UNAVAILABLE as error:
            log.warning("bus.consumer_missing", consumer=self._consumer, error=repr(error))
            self._lost = why
            await asyncio.sleep(_RETRY_PAUSE_S)
            return False
        log.info("bus.pull_begun", consumer=self._consumer, why=why, given_up=self._left)
        self._left = 0
        return True

    async def _ask(self) -> None:
        self._request, self._left = f"{self._inbox}.{next(self._numbers)}", FETCH_SIZE
        request = {
            "batch": FETCH_SIZE,
            "expires": int(_PULL_EXPIRES_S * 1e9),
            "idle_heartbeat": int(_HEARTBEAT_S * 1e9),
        }
        try:
            await self._client().publish(self._next, json.dumps(request).encode(), reply=self._request)
        except BROKER_UNAVAILABLE as error:
            self._lose(repr(error))

    async def _receive(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status") if not message.data else None
        if status is None:
            self._left -= 1
            self._messages.append(message)
            # Within a linger only a full batch is worth waking up for.
            if len(self._messages) in (1, FETCH_SIZE):
                self._signal.set()
        elif message.subject != self._request:
            return  # About a request that was given up.
        elif status == "100":
            if not self._messages:
                self._signal.set()  # A heartbeat: the request is open.
        elif status == "408":
            self._left = 0  # The request has run out; ask again.
            self._signal.set()
        else:
            # 409 consumer deleted or 503 nobody there: the broker has forgotten us.
            self._lose(f"{status} {(message.headers or {}).get('Description', '')}")
