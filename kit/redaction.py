"""Keeps card numbers out of everything that is written down.

Florin never asks for a card number, but people type them into names and descriptions.
"""

from __future__ import annotations

import re

# 13 to 19 digits, with the spaces or dashes people put between them: the lengths of ISO/IEC 7812 numbers.
_CANDIDATE = re.compile(r"(?<![\dA-Za-z])\d(?:[ -]?\d){12,18}(?![\dA-Za-z])")


def passes_luhn(digits: str) -> bool:
    """Return whether the digits carry a valid check digit (ISO/IEC 7812-1, annex B)."""
    total = 0
    for index, character in enumerate(reversed(digits)):
        value = int(character)
        if index % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def _mask(match: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", match.group())
    return f"[card …{digits[-4:]}]" if passes_luhn(digits) else match.group()


def redact(text: str) -> str:
    """Return the text with everything that looks like a card number masked but for its last four digits."""
    return _CANDIDATE.sub(_mask, text)


def contains_card_number(text: str) -> bool:
    """Return whether something in the text looks like a card number."""
    return any(passes_luhn(re.sub(r"\D", "", m.group())) for m in _CANDIDATE.finditer(text))
