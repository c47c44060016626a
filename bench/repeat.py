"""Checkouts that were not answered 202, sent once more under their keys, as a good client does."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable
from typing import Final

from bench import carts
from bench.load import Assignment

_ACCEPTED: Final = 202
_DEADLINE_S: Final = 20.0
_PAUSE_S: Final = 0.5
_ATTEMPTS: Final = 20


def repeat(assignment: Assignment, numbers: Iterable[int]) -> tuple[list[str], Counter[str]]:
    """Sends the checkouts with these numbers again, one after the other, until each is answered 202.

    Returns:
        the orders' ids, and of those that never were accepted the last answers, counted.
    """
    filled = carts.fill(assignment.mix, seed=assignment.seed)
    order_ids, refused = [], Counter[str]()
    for number in numbers:
        cart = carts.chosen(filled, number)
        token = assignment.tokens[number % len(assignment.tokens)]
        for _ in range(_ATTEMPTS):
            status, body = _post(assignment, f"{assignment.name}-{number}", token, cart.body)
            if status == _ACCEPTED:
                order_ids.append(carts.order_id(body))
                break
            time.sleep(_PAUSE_S)
        else:
            refused[str(status)] += 1
    return order_ids, refused


def _post(assignment: Assignment, key: str, token: str, body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(
        f"http://{assignment.host}:{assignment.port}/v1/checkouts",
        data=body,
        headers={
            "authorization": f"Bearer {token}",
            "content-type": "application/json",
            "idempotency-key": key,
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=_DEADLINE_S) as answer:  # noqa: S310 - our own edge
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()
    except OSError:
        return 0, b""
