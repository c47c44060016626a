"""Sets of names, written as one writes them."""


def names(text: str) -> frozenset[str]:
    """Return the set of the words of a text."""
    return frozenset(text.split())
