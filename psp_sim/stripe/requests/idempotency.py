"""Idempotency keys: the same request twice is one request."""

from hashlib import blake2b

from psp_sim.stripe.errors import key_in_use, key_reused
from psp_sim.stripe.objects.rows import Answer
from psp_sim.stripe.objects.store import Store


def fingerprint(method: str, path: str, body: str) -> str:
    """Return what two requests with the same parameters, in any order, have in common."""
    parameters = "&".join(sorted(body.split("&")))
    return blake2b(f"{method} {path}\n{parameters}".encode(), digest_size=16).hexdigest()


class RunningKeys:
    """The keys whose requests are being executed right now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: dict[str, str] = {}

    def begin(self, key: str, print_: str, now: int) -> Answer | None:
        """Return the stored answer of a key; if it has none, the key is running from here on.

        Raises:
            ApiError: 400 if the key came with other parameters before, 409 while it runs.
        """
        answer = self._store.answer(key, now)
        if answer is not None:
            if answer.fingerprint != print_:
                raise key_reused(key)
            return answer
        running = self._running.get(key)
        if running is not None:
            raise key_in_use(key) if running == print_ else key_reused(key)
        self._running[key] = print_
        return None

    def end(self, key: str) -> None:
        """Let the key be used again."""
        self._running.pop(key, None)
