"""What becomes of a call that the system refuses: one line for a person."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from client import ApiError, StillOpen
from terminal.errors import EXIT_NOT_RUNNING, CommandError

T = TypeVar("T")


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


def _spoken(error: ApiError) -> CommandError:
    if error.http_status == 0:
        return CommandError(
            f"{error.message}.", way_out="Start the system with `florin up`.", exit_code=EXIT_NOT_RUNNING
        )
    facts = [f"{name}: {value}" for name, value in error.metadata.items()]
    if error.retry_after_s is not None:
        facts.append(f"retry after {error.retry_after_s:g} s")
    return CommandError(f"{error.http_status} {error.reason}: {error.message}.", detail="\n".join(facts))
