"""Stripe's search language, as far as payment intents are looked for by it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, islice
from typing import Final

from psp_sim.stripe.errors import ApiError, invalid_request, missing_param
from psp_sim.stripe.objects.rows import PaymentIntent
from psp_sim.stripe.objects.store import Store
from psp_sim.stripe.requests import forms
from psp_sim.stripe.requests.forms import Params
from psp_sim.stripe.requests.listing import Page, limit_of

SEARCH_PARAMS: Final = frozenset(("query", "limit", "page", "expand"))

# One clause: metadata["key"]:"value", status:"…", currency:"…" or customer:"…".
_CLAUSE: Final = re.compile(
    r"""\s*(?:metadata\[(?P<q>['"])(?P<key>[^'"]+)(?P=q)\]|(?P<field>status|currency|customer))"""
    r"""\s*:\s*(?P<v>['"])(?P<value>[^'"]*)(?P=v)\s*""",
)
_AND: Final = re.compile(r"AND\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Query:
    """What a payment intent has to have, all of it."""

    metadata: dict[str, str]
    fields: dict[str, str]

    def matches(self, intent: PaymentIntent) -> bool:
        """Tell whether a payment intent has it."""
        return self.metadata.items() <= intent.metadata.items() and all(
            getattr(intent, name) == value for name, value in self.fields.items()
        )


def parse(text: str) -> Query:
    """Return the query that a search expression stands for.

    Raises:
        ApiError: 400 for anything but clauses joined by AND.
    """
    query = Query(metadata={}, fields={})
    position = 0
    while True:
        clause = _CLAUSE.match(text, position)
        if clause is None:
            raise _unsearchable(text)
        into, name = (query.metadata, clause["key"]) if clause["key"] else (query.fields, clause["field"])
        if into.setdefault(name, clause["value"]) != clause["value"]:
            raise invalid_request(f"{name} cannot have two values at once.", param="query")
        position = clause.end()
        if position == len(text):
            return query
        conjunction = _AND.match(text, position)
        if conjunction is None:
            raise _unsearchable(text)
        position = conjunction.end()


def search(store: Store, params: Params) -> Page:
    """Return the payment intents that match a query, newest first.

    Unlike at Stripe, where the index lags by up to a minute, a new intent is found at once.
    """
    text = forms.text(params, "query")
    if text is None:
        raise missing_param("query")
    query = parse(text)
    limit = limit_of(params)
    candidates: Iterator[PaymentIntent] = (
        store.intents_with(query.metadata) if query.metadata else store.intents.newest_first()
    )
    found: Iterator[PaymentIntent] = (intent for intent in candidates if query.matches(intent))
    last_seen = forms.text(params, "page")
    if last_seen is not None:
        if store.intents.get(last_seen) is None:
            raise invalid_request("Invalid page token.", param="page")
        found = islice(dropwhile(lambda intent: intent.id != last_seen, found), 1, None)
    rows = list(islice(found, limit + 1))
    has_more = len(rows) > limit
    shown = rows[:limit]
    return Page(list(shown), has_more, next_page=shown[-1].id if has_more else None)


def _unsearchable(text: str) -> ApiError:
    return invalid_request(
        f"The search query could not be parsed: {text}. Use clauses such as "
        "metadata['key']:'value' or status:'succeeded', joined by AND.",
        param="query",
    )
