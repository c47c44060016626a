"""Events on their way to the webhook endpoint: signed, delivered, tried again for three days."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Generic, Literal, Protocol, TypeVar

import aiohttp
import structlog

from psp_sim.control.faults import Faults

log = structlog.get_logger()

# As many deliveries at once as connections: more would only queue at the endpoint.
CONCURRENCY: Final = 64
# An endpoint that has not answered by then is taken to have failed.
DELIVERY_TIMEOUT_S: Final = 10.0
# Real providers begin with minutes. Tests and demonstrations live in seconds.
FIRST_RETRY_AFTER_S: Final = 0.5
LONGEST_RETRY_AFTER_S: Final = 60.0
# Real providers give up after about three days.
GIVE_UP_AFTER_S: Final = 3 * 24 * 3600
# How long an event that is to be overtaken stays behind: longer than a delivery takes.
HELD_BACK_S: Final = 1.5
# With `reorder` each event waits up to this long, so that neighbours change places.
SHUFFLE_S: Final = 0.5
# How an event travels apart from the ordinary: twice, held back until later ones have passed,
# ahead of the answer to its request, or not at all.
Manner = Literal["", "duplicate", "late", "before_answer", "never"]


class Event(Protocol):
    """What is known of an event on its way."""

    @property
    def id(self) -> str:
        """What the endpoint tells it by."""
        ...

    @property
    def created(self) -> int:
        """Unix seconds."""
        ...

    @property
    def manner(self) -> Manner:
        """How it travels."""
        ...


E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Letter:
    """An event as it is sent, with what proves its sender."""

    body: bytes
    headers: Mapping[str, str]


def retry_after_s(attempts: int) -> float:
    """Return how long to wait after a number of failed deliveries: doubling, up to a minute."""
    # 2 ** 7 half seconds are past the cap; the bound keeps the power from growing for days.
    return float(min(FIRST_RETRY_AFTER_S * 2 ** min(attempts - 1, 7), LONGEST_RETRY_AFTER_S))


@dataclass(frozen=True, slots=True)
class Parcel(Generic[E]):
    """One delivery of one event."""

    event: E
    genuine: bool = True
    # A second copy of a delivery: sent once, whatever comes of it.
    duplicate: bool = False
    attempts: int = 0


@dataclass(slots=True)
class DeliveryCounts:
    """How deliveries went."""

    sent: int = 0
    failed: int = 0
    given_up: int = 0
    forged_sent: int = 0
    # A forged event that was answered 2xx: the endpoint does not check signatures.
    forged_accepted: int = 0


class Courier(Generic[E]):
    """Delivers events to the one webhook endpoint, with bounded concurrency.

    Args:
        headers: what every delivery carries.
        sign: makes a letter of an event.
        forge: makes one that claims to be of an event like it, and whose proof is wrong.
        on_delivered: told the id of each event that need not be sent again.
    """

    def __init__(
        self,
        *,
        url: str,
        headers: Mapping[str, str],
        sign: Callable[[E], Letter],
        forge: Callable[[E], Letter],
        faults: Faults,
        on_delivered: Callable[[str], None],
    ) -> None:
        self.counts = DeliveryCounts()
        self._url = url
        self._headers = headers
        self._sign = sign
        self._forge = forge
        self._faults = faults
        self._on_delivered = on_delivered
        self._queue: asyncio.Queue[Parcel[E]] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the connections and begin to deliver."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONCURRENCY, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=DELIVERY_TIMEOUT_S),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._workers = [asyncio.create_task(self._work()) for _ in range(CONCURRENCY)]

    async def stop(self) -> None:
        """Stop delivering; what is left is delivered after the next start."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def post(self, event: E) -> None:
        """Send an event on its way, with whatever the configuration does to it."""
        config = self._faults.config.webhook
        parcel = Parcel(event)
        wait_s = config.delay_ms / 1000
        if wait_s:
            self._faults.counts["webhook_delay"] += 1
        if event.manner == "late":
            wait_s += HELD_BACK_S
        if config.reorder:
            self._faults.counts["webhook_shuffle"] += 1
            wait_s += self._faults.uniform_s(SHUFFLE_S)
        self._post_after(wait_s, parcel)
        if event.manner == "duplicate" or self._faults.strikes("webhook_duplicated", config.duplicate_rate):
            self._post_after(wait_s, replace(parcel, duplicate=True))
        if config.forge:
            self._faults.counts["webhook_forged"] += 1
            self._post_after(wait_s, Parcel(event, genuine=False))

    async def post_now(self, event: E) -> None:
        """Deliver an event before going on; if that fails, it goes the ordinary way."""
        await self._deliver(Parcel(event))

    def _post_after(self, wait_s: float, parcel: Parcel[E]) -> None:
        if wait_s > 0:
            asyncio.get_running_loop().call_later(wait_s, self._queue.put_nowait, parcel)
        else:
            self._queue.put_nowait(parcel)

    async def _work(self) -> None:
        while True:
            parcel = await self._queue.get()
            try:
                await self._deliver(parcel)
            except Exception:
                # A worker is a pump: one parcel must not stop those behind it.
                log.exception("webhook.broke", event_id=parcel.event.id)

    async def _deliver(self, parcel: Parcel[E]) -> None:
        letter = self._sign(parcel.event) if parcel.genuine else self._forge(parcel.event)
        status = await self._send(letter)
        accepted = 200 <= status < 300
        if not parcel.genuine:
            self.counts.forged_sent += 1
            self.counts.forged_accepted += accepted
        elif accepted:
            self.counts.sent += 1
            if not parcel.duplicate:
                self._on_delivered(parcel.event.id)
        else:
            self.counts.failed += 1
            if not parcel.duplicate:
                self._retry(replace(parcel, attempts=parcel.attempts + 1), status)

    async def _send(self, letter: Letter) -> int:
        """Return the endpoint's HTTP status, 0 if it gave none."""
        assert self._session is not None
        try:
            async with self._session.post(
                self._url, data=letter.body, headers=letter.headers, allow_redirects=False
            ) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0

    def _retry(self, parcel: Parcel[E], status: int) -> None:
        event = parcel.event
        if time.time() - event.created > GIVE_UP_AFTER_S:
            self.counts.given_up += 1
            self._on_delivered(event.id)
            log.warning("webhook.given_up", event_id=event.id, attempts=parcel.attempts)
            return
        wait_s = retry_after_s(parcel.attempts)
        log.debug("webhook.failed", event_id=event.id, status=status, retry_after_s=wait_s)
        self._post_after(wait_s, parcel)
