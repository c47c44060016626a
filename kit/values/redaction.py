"""Keeps card numbers out of everything that is written down.

Florin never asks for a card number, but people type them into names and descriptions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# The lengths of ISO/IEC 7812 numbers.
_MIN_DIGITS = 13
_MAX_DIGITS = 19

# Groups of digits with the spaces or dashes people put between them. An expiry date or a security code may
# follow the number in the same way, so a run can be longer than a number. A UUID (RFC 9562) is matched first
# and left alone: one in a thousand would pass for a card number, and they are in every log line.
_RUN = re.compile(
    r"(?P<uuid>(?<![\dA-Za-z])[\da-fA-F]{8}(?:-[\da-fA-F]{4}){3}-[\da-fA-F]{12}(?![\dA-Za-z]))"
    r"|(?<![\dA-Za-z])\d(?:[ -]?\d){12,}(?![\dA-Za-z])"
)
_GROUP = re.compile(r"\d+")


def passes_luhn(digits: str) -> bool:
    """Return whether the digits carry a valid check digit (ISO/IEC 7812-1, annex B)."""
    total = 0
    for index, character in enumerate(reversed(digits)):
        value = int(character)
        if index % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def _numbers(run: str) -> Iterator[tuple[int, int]]:
    """Yield where card numbers are in a run: whole groups of digits whose check digit is right."""
    groups = [match.span() for match in _GROUP.finditer(run)]
    first = 0
    while first < len(groups):
        digits, found = "", None
        for last in range(first, len(groups)):
            digits += run[slice(*groups[last])]
            if len(digits) > _MAX_DIGITS:
                break
            if len(digits) >= _MIN_DIGITS and passes_luhn(digits):
                found = last  # The longest wins: too much is masked rather than too little.
        if found is not None:
            yield groups[first][0], groups[found][1]
            first = found
        first += 1


def _mask(match: re.Match[str]) -> str:
    run = match.group()
    if match["uuid"]:
        return run
    for start, end in reversed(list(_numbers(run))):
        last_four = run[start:end].replace(" ", "").replace("-", "")[-4:]
        run = f"{run[:start]}[card …{last_four}]{run[end:]}"
    return run


def redact(text: str) -> str:
    """Return the text with everything that looks like a card number masked but for its last four digits."""
    return _RUN.sub(_mask, text)


def contains_card_number(text: str) -> bool:
    """Return whether something in the text looks like a card number."""
    runs = (match.group() for match in _RUN.finditer(text) if not match["uuid"])
    return any(True for run in runs for _ in _numbers(run))
