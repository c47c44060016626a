"""How commands call the running system: as whom, and what becomes of a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from client import ApiError, EdgeClient, PspSimulator, StillOpen
from runner import tokens
from runner.errors import EXIT_NOT_RUNNING, CommandError
from runner.settings import Settings

T = TypeVar("T")

# Who the terminal is when it looks after the system.
_OPERATOR: Final = "usr_operator"
_MERCHANT_USER: Final = "usr_merchant"


def buyer(settings: Settings, customer_id: str) -> EdgeClient:
    """The edge as a shopper sees it: their own orders and payments."""
    return _edge(settings, tokens.mint(settings, role="buyer", subject=customer_id))


def merchant(settings: Settings, merchant_id: str) -> EdgeClient:
    """The edge as a seller sees it: their own products, and the orders for them."""
    token = tokens.mint(settings, role="merchant", subject=_MERCHANT_USER, merchant_id=merchant_id)
    return _edge(settings, token)


def ops(settings: Settings) -> EdgeClient:
    """The edge as an operator sees it: everybody's orders and payments."""
    return _edge(settings, tokens.mint(settings, role="ops", subject=_OPERATOR))


def psp(settings: Settings) -> PspSimulator:
    """The switches of the PSP simulator."""
    return PspSimulator(f"http://{settings.local_host}:{settings.psp_sim_port}")


def run(call: Coroutine[Any, Any, T]) -> T:
    """The result of `call`.

    Raises:
        CommandError: it was refused, had no answer or did not end in time.
    """
    try:
        return asyncio.run(call)
    except ApiError as error:
        raise _spoken(error) from error
    except StillOpen as error:
        raise CommandError(
            f"{error}.", way_out="Look at `florin order timeline`, `florin status` and `florin dlq list`."
        ) from error


def _edge(settings: Settings, token: str) -> EdgeClient:
    return EdgeClient(f"http://{settings.local_host}:{settings.edge_port}", token)


def _spoken(error: ApiError) -> CommandError:
    if error.http_status == 0:
        return CommandError(
            f"{error.message}.", way_out="Start the system with `florin up`.", exit_code=EXIT_NOT_RUNNING
        )
    facts = [f"{name}: {value}" for name, value in error.metadata.items()]
    if error.retry_after_s is not None:
        facts.append(f"retry after {error.retry_after_s:g} s")
    return CommandError(f"{error.http_status} {error.reason}: {error.message}.", detail="\n".join(facts))
