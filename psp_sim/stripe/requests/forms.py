"""Form-encoded requests, as Stripe nests them: `metadata[order]=1&expand[]=latest_charge`."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote_plus

from psp_sim.stripe.errors import ApiError, invalid_request, missing_param

# A parsed request: text, or the same again one level down. Lists are mappings from their index,
# so that `metadata[0]` stays the metadata key "0".
Params = dict[str, Any]

# Stripe nests three levels at most; the bound keeps a hostile body from nesting a thousand.
MAX_DEPTH: Final = 6
# The largest ordinary request has some 50 fields.
MAX_FIELDS: Final = 1000

_SUBKEY: Final = re.compile(r"\[([^\[\]]*)\]")


def parse(encoded: str) -> Params:
    """Return the parameters of a form body or query string.

    Raises:
        ApiError: 400 for keys that contradict each other, or that nest without end.
    """
    params: Params = {}
    if not encoded:
        return params
    pairs = encoded.split("&")
    if len(pairs) > MAX_FIELDS:
        raise invalid_request(f"A request may have at most {MAX_FIELDS} parameters.")
    for pair in pairs:
        raw_key, _, raw_value = pair.partition("=")
        if not raw_key:
            continue
        value = unquote_plus(raw_value) if "%" in raw_value or "+" in raw_value else raw_value
        path = _key_path(raw_key)
        if len(path) == 1:
            params[path[0]] = value
        else:
            _set_nested(params, path, value)
    return params


@lru_cache(maxsize=4096)
def _key_path(raw_key: str) -> tuple[str, ...]:
    key = unquote_plus(raw_key)
    head, bracket, _ = key.partition("[")
    if not bracket:
        return (key,)
    path = (head, *_SUBKEY.findall(key[len(head) :]))
    if len(path) > MAX_DEPTH:
        raise invalid_request(f"Parameters may nest at most {MAX_DEPTH} levels deep.", param=head)
    return path


def _set_nested(params: Params, path: tuple[str, ...], value: str) -> None:
    inner = params
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            raise invalid_request(f"Invalid object: {path[0]} is given twice.", param=path[0])
    # `a[]` appends: the next free index is the number of entries so far.
    inner[path[-1] or str(len(inner))] = value


def text(params: Params, name: str) -> str | None:
    """Return a string parameter; absent and empty are both None, as Stripe unsets by empty."""
    value = params.get(name)
    if isinstance(value, dict):
        raise invalid_request(f"Invalid string: {name}", param=name)
    return value or None


def choice(params: Params, name: str, allowed: Iterable[str]) -> str | None:
    """Return a parameter that must be one of the allowed words, or None if it is absent."""
    value = text(params, name)
    if value is not None and value not in allowed:
        words = ", ".join(allowed)
        raise invalid_request(f"Invalid {name}: must be one of {words}", param=name)
    return value


def flag(params: Params, name: str) -> bool:
    """Return a boolean parameter, false if absent."""
    return choice(params, name, ("true", "false")) == "true"


def positive_amount(params: Params, name: str) -> int | None:
    """Return an amount of minor units, at least 1, or None if it is absent."""
    if name not in params:
        return None
    value = params[name]
    try:
        amount = int(value) if isinstance(value, str) and "_" not in value else None
    except ValueError:
        amount = None
    if amount is None:
        raise _invalid_integer(f"Invalid integer: {value}", name)
    if amount < 1:
        raise _invalid_integer("This value must be greater than or equal to 1.", name)
    return amount


def required_amount(params: Params, name: str) -> int:
    """Return an amount of minor units that has to be given."""
    amount = positive_amount(params, name)
    if amount is None:
        raise missing_param(name)
    return amount


def whole_number(params: Params, name: str, *, at_least: int, at_most: int, default: int) -> int:
    """Return an integer within bounds."""
    value = text(params, name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit()):
        raise _invalid_integer(f"Invalid integer: {value}", name)
    if not at_least <= int(value) <= at_most:
        raise _invalid_integer(f"This value must be between {at_least} and {at_most}.", name)
    return int(value)


def metadata(params: Params) -> dict[str, str]:
    """Return the caller's own keys and values, within Stripe's limits of 50 keys, 40 and 500."""
    given = params.get("metadata") or {}
    if not isinstance(given, dict):
        raise invalid_request("Invalid hash: metadata", param="metadata")
    if len(given) > 50:
        raise invalid_request("Metadata can have at most 50 keys.", param="metadata")
    for key, value in given.items():
        if not isinstance(value, str):
            raise invalid_request("Metadata values must be strings.", param=f"metadata[{key}]")
        if len(key) > 40 or len(value) > 500:
            raise invalid_request(
                "Metadata keys can have up to 40 characters and values up to 500.",
                param=f"metadata[{key}]",
            )
    return {key: value for key, value in given.items() if value}


def words(params: Params, name: str) -> list[str]:
    """Return a list parameter, in the order of its indices."""
    given = params.get(name) or {}
    if not isinstance(given, dict):
        raise invalid_request("Invalid array", param=name)
    return [value for value in given.values() if isinstance(value, str)]


def only(params: Params, known: frozenset[str]) -> None:
    """Refuse parameters that the endpoint does not have."""
    if params.keys() <= known:
        return
    name = min(params.keys() - known)
    raise invalid_request(f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


def _invalid_integer(message: str, name: str) -> ApiError:
    return invalid_request(message, code="parameter_invalid_integer", param=name)
