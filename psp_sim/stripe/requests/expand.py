"""`expand[]`: ids in an answer replaced by the objects they name."""

from collections.abc import Callable
from typing import Final

from psp_sim.stripe.errors import invalid_request
from psp_sim.stripe.objects.rendering import Document

# Stripe's limit.
MAX_DEPTH: Final = 4

_EXPANDABLE: Final = frozenset(
    (
        "balance_transaction",
        "charge",
        "failure_balance_transaction",
        "latest_charge",
        "payment_intent",
        "payment_method",
        "source",
    )
)


def expand(document: Document, paths: list[str], resolve: Callable[[str], Document | None]) -> Document:
    """Return the document with what each dotted path names expanded in place.

    Raises:
        ApiError: 400 for a path that leads nowhere or too deep.
    """
    for path in paths:
        names = path.split(".")
        if len(names) > MAX_DEPTH:
            raise invalid_request(
                f"You cannot expand more than {MAX_DEPTH} levels of a property.", param="expand"
            )
        _expand(document, names, resolve, path)
    return document


def _expand(value: Document, names: list[str], resolve: Callable[[str], Document | None], path: str) -> None:
    name, *rest = names
    if name == "data" and isinstance(value.get("data"), list) and rest:
        for item in value["data"]:
            _expand(item, rest, resolve, path)
        return
    if name not in _EXPANDABLE or name not in value:
        raise invalid_request(f"This property cannot be expanded ({path}).", param="expand")
    inner = value[name]
    if isinstance(inner, str):
        inner = resolve(inner)
        if inner is not None:
            value[name] = inner
    if rest and isinstance(inner, dict):
        _expand(inner, rest, resolve, path)
