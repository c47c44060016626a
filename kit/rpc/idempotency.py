"""The same key and the same body have one effect and one answer, however often they come.

Postgres decides: the key's row is written in the transaction of the effect, with the whole answer.
Redis only answers replays sooner; empty or gone, nothing changes but the latency.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Generic, TypeVar

import psycopg
import structlog
from google.protobuf.message import DecodeError, Message
from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit.messaging.step import Step, Steps
from kit.rpc.reasons import IDEMPOTENCY_KEY_REUSED, REQUEST_IN_PROGRESS
from kit.store.database import STORE_UNAVAILABLE, Connection, store_unavailable
from kit.values.errors import Conflict, FlorinError, KeyReused

C = TypeVar("C")
M = TypeVar("M", bound=Message)

log = structlog.get_logger(__name__)

# Long enough for any client's retries, and as long as PSPs keep theirs.
KEY_TTL: Final = timedelta(hours=24)

# Redis is a short cut: if it does not answer at once, Postgres is as fast.
_REDIS_TIMEOUT_S: Final = 0.05

# After a failure Redis is left alone for this long, so that its absence costs nobody the time-out.
_REDIS_REST_S: Final = 1.0

_ASKED: Final = "unnest(%s::text[], %s::text[], %s::text[]) AS asked (principal, method, key)"
_FIND_SQL: Final = (
    "SELECT k.principal, k.method, k.key, k.fingerprint, k.response, k.expires_at <= now()"
    f" FROM {_ASKED} JOIN idempotency_keys k USING (principal, method, key)"
)
_FORGET_SQL: Final = (
    f"DELETE FROM idempotency_keys k USING {_ASKED} WHERE k.expires_at <= now()"
    " AND (k.principal, k.method, k.key) = (asked.principal, asked.method, asked.key)"
)

# Races for one key between replicas are rare; a third round means something is wrong.
_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Whose request this is, and what it asks for.

    Attributes:
        principal: role and subject of the caller.
        method: full gRPC method, e.g. `/florin.order.v1.OrderService/CreateCheckout`.
        key: as the caller chose it, 1 to 255 printable ASCII characters.
        fingerprint: SHA-256 of the request, 32 bytes.
    """

    principal: str
    method: str
    key: str
    fingerprint: bytes

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes the key unique."""
        return self.principal, self.method, self.key


@dataclass(frozen=True, slots=True)
class Keyed(Generic[C]):
    """A command with its key."""

    key: RequestKey
    command: C


@dataclass(frozen=True, slots=True)
class Answer(Generic[M]):
    """The answer to a command, and whether it is the answer of an earlier, equal request."""

    message: M
    replayed: bool


class ReplayCache:
    """Answers of earlier requests in Redis; silent when Redis is not there."""

    def __init__(self, url: str) -> None:
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=_REDIS_TIMEOUT_S,
            socket_connect_timeout=_REDIS_TIMEOUT_S,
            retry_on_timeout=False,
            retry=None,
        )
        self._rests_until = 0.0
        self._under_way: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Finish what is being remembered and disconnect."""
        await asyncio.gather(*self._under_way)
        await self._redis.aclose()

    async def get(self, keys: Sequence[RequestKey]) -> list[bytes | None]:
        """Return fingerprint and answer (`32 bytes + message`) of each key that is known here."""
        unknown: list[bytes | None] = [None] * len(keys)
        if time.monotonic() < self._rests_until:
            return unknown
        try:
            values = await self._redis.mget([self._name(key) for key in keys])
            return [value if isinstance(value, bytes) else None for value in values]
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)
            return unknown

    def remember(self, answers: Sequence[tuple[RequestKey, bytes]]) -> None:
        """Remember answers (serialised messages) for `KEY_TTL`, in the background."""
        task = asyncio.create_task(self._put(answers))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _put(self, answers: Sequence[tuple[RequestKey, bytes]]) -> None:
        if time.monotonic() < self._rests_until or not answers:
            return
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for key, message in answers:
                    pipeline.set(self._name(key), key.fingerprint + message, ex=KEY_TTL)
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)

    def _rest(self, error: Exception) -> None:
        self._rests_until = time.monotonic() + _REDIS_REST_S
        log.warning("replay_cache.unavailable", error=repr(error))

    @staticmethod
    def _name(key: RequestKey) -> str:
        return "idempotency:" + "\x1f".join(key.identity)


Outcomes = dict[tuple[str, str, str], tuple[bytes, Answer[M] | Exception]]
"""Fingerprint and answer (or refusal) by the identity of the key."""

Apply = Callable[[Step, Sequence[C]], Awaitable[Sequence[M | FlorinError]]]


class IdempotentBatch(Generic[C, M]):
    """Runs a batch of keyed commands as one step, each key once.

    Args:
        apply: runs fresh commands inside the step; one message or refusal per command, in order.
        response: class of the answer.
    """

    def __init__(self, *, steps: Steps, cache: ReplayCache, apply: Apply[C, M], response: type[M]) -> None:
        self._steps = steps
        self._cache = cache
        self._apply = apply
        self._response = response

    async def __call__(self, calls: list[Keyed[C]]) -> list[Answer[M] | Exception]:
        """Return one answer or refusal per call, in order. A refusal does not use up its key."""
        first: dict[tuple[str, str, str], Keyed[C]] = {}
        for call in calls:
            first.setdefault(call.key.identity, call)
        outcomes = await self._remembered(list(first.values()))
        fresh = [call for identity, call in first.items() if identity not in outcomes]
        if fresh:
            outcomes.update(await self._run(fresh))
        results = [self._outcome(call, first, outcomes) for call in calls]
        # Whoever came second with another body may go on if the first was refused.
        unused = [i for i, result in enumerate(results) if result is None]
        again = await self([calls[i] for i in unused]) if unused else []
        for i, result in zip(unused, again, strict=True):
            results[i] = result
        return [result for result in results if result is not None]

    async def _remembered(self, calls: Sequence[Keyed[C]]) -> Outcomes[M]:
        """Return what Redis knows; a value that cannot be read is not known."""
        outcomes: Outcomes[M] = {}
        for call, value in zip(calls, await self._cache.get([c.key for c in calls]), strict=True):
            if value is None:
                continue
            try:
                outcomes[call.key.identity] = (value[:32], self._replay(value[32:]))
            except DecodeError:
                log.warning("replay_cache.unreadable", key=call.key.key)
        return outcomes

    def _outcome(
        self, call: Keyed[C], first: dict[tuple[str, str, str], Keyed[C]], outcomes: Outcomes[M]
    ) -> Answer[M] | Exception | None:
        """Return what a call is told; None if its key belongs to another body that was refused."""
        fingerprint, outcome = outcomes[call.key.identity]
        if fingerprint != call.key.fingerprint:
            if not isinstance(outcome, Answer):
                return None
            return KeyReused(
                IDEMPOTENCY_KEY_REUSED,
                f"the idempotency key {call.key.key!r} was used with another body; use a new key",
            )
        if call is not first[call.key.identity] and isinstance(outcome, Answer):
            return Answer(outcome.message, replayed=True)
        return outcome

    async def _run(self, calls: Sequence[Keyed[C]]) -> Outcomes[M]:
        for _ in range(_ROUNDS):
            try:
                outcomes = await self._steps.take(lambda step: self._body(step, calls))
            except STORE_UNAVAILABLE as error:
                log.warning("idempotent_batch.store_unavailable", error=repr(error))
                refusal = store_unavailable()
                return {call.key.identity: (call.key.fingerprint, refusal) for call in calls}
            except Exception as error:  # the boundary of the batch: one bad command must not stop the others
                if _lost_the_race(error):
                    continue  # Another replica was first: it has the answer now.
                if len(calls) == 1:
                    return {calls[0].key.identity: (calls[0].key.fingerprint, error)}
                log.warning("idempotent_batch.split", error=repr(error))
                middle = len(calls) // 2
                return {**await self._run(calls[:middle]), **await self._run(calls[middle:])}
            self._remember(calls, outcomes)
            return outcomes
        conflict = Conflict(
            REQUEST_IN_PROGRESS, "a request with this key is still running", retry_after_s=1.0
        )
        return {call.key.identity: (call.key.fingerprint, conflict) for call in calls}

    async def _body(self, step: Step, calls: Sequence[Keyed[C]]) -> Outcomes[M]:
        outcomes = await self._stored(step.connection, calls)
        fresh = [call for call in calls if call.key.identity not in outcomes]
        if not fresh:
            return outcomes
        results = await self._apply(step, [call.command for call in fresh])
        answered: list[tuple[RequestKey, bytes]] = []
        for call, result in zip(fresh, results, strict=True):
            if isinstance(result, FlorinError):
                outcomes[call.key.identity] = (call.key.fingerprint, result)
            else:
                answered.append((call.key, result.SerializeToString()))
                outcomes[call.key.identity] = (call.key.fingerprint, Answer(result, replayed=False))
        await self._store(step.connection, answered)
        return outcomes

    async def _stored(self, connection: Connection, calls: Sequence[Keyed[C]]) -> Outcomes[M]:
        """Return the answers of keys that are in use, after forgetting those whose time is over."""
        identities = (
            [call.key.principal for call in calls],
            [call.key.method for call in calls],
            [call.key.key for call in calls],
        )
        cursor = await connection.execute(_FIND_SQL, identities)
        rows = await cursor.fetchall()
        if any(row[5] for row in rows):
            await connection.execute(_FORGET_SQL, identities)
        return {
            (principal, method, key): (bytes(fingerprint), self._replay(bytes(response)))
            for principal, method, key, fingerprint, response, expired in rows
            if not expired
        }

    async def _store(self, connection: Connection, answered: Sequence[tuple[RequestKey, bytes]]) -> None:
        """Write the keys with their answers; a key that another replica just used is a unique violation."""
        if not answered:
            return
        keys = [key for key, _ in answered]
        await connection.execute(
            "INSERT INTO idempotency_keys (principal, method, key, fingerprint, response, expires_at)"
            " SELECT a.*, now() + %s"
            " FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[], %s::bytea[]) AS a",
            (
                KEY_TTL,
                [key.principal for key in keys],
                [key.method for key in keys],
                [key.key for key in keys],
                [key.fingerprint for key in keys],
                [message for _, message in answered],
            ),
        )

    def _remember(
        self,
        calls: Sequence[Keyed[C]],
        outcomes: Outcomes[M],
    ) -> None:
        """Put answers into Redis, each for the body it belongs to.

        A call that used a key again with another body found the answer to the first body; remembered under
        its own fingerprint, that answer would from then on be the wrong caller's.
        """
        answers = [
            (call.key, outcome.message.SerializeToString())
            for call in calls
            for fingerprint, outcome in (outcomes[call.key.identity],)
            if isinstance(outcome, Answer) and not outcome.replayed and fingerprint == call.key.fingerprint
        ]
        self._cache.remember(answers)

    def _replay(self, response: bytes) -> Answer[M]:
        return Answer(self._response.FromString(response), replayed=True)


def _lost_the_race(error: Exception) -> bool:
    """Return whether another transaction used one of the keys between our look and our write."""
    return (
        isinstance(error, psycopg.errors.UniqueViolation)
        and error.diag.constraint_name == "idempotency_keys_pkey"
    )
