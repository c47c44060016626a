"""The endpoints of the API: which function answers which method and path."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from psp_sim.memory.table import Table
from psp_sim.stripe.errors import no_such, unrecognized_url
from psp_sim.stripe.objects.rows import (
    BalanceTransaction,
    Charge,
    Dispute,
    PaymentIntent,
    R,
    Refund,
    Resource,
)
from psp_sim.stripe.objects.store import Store
from psp_sim.stripe.objects.unit_of_work import UnitOfWork
from psp_sim.stripe.payments import disputes, intents, refunds
from psp_sim.stripe.requests import forms, listing, search
from psp_sim.stripe.requests.forms import Params
from psp_sim.stripe.requests.listing import PAGE_PARAMS, Page


@dataclass(frozen=True, slots=True)
class Command:
    """An endpoint that changes something: POST."""

    run: Callable[[UnitOfWork, Params, str], PaymentIntent | Charge | Refund | Dispute | BalanceTransaction]
    params: frozenset[str]
    # True where a payment method is tried, and so where its fault can strike.
    confirms: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """An endpoint that only looks: GET."""

    run: Callable[[Store, Params, str], Resource | Page]
    params: frozenset[str]


def _one(table: Callable[[Store], Table[R]], noun: str) -> Query:
    def run(store: Store, params: Params, row_id: str) -> R:
        row = table(store).get(row_id)
        if row is None:
            raise no_such(noun, row_id, param="id", status=404)
        return row

    return Query(run, frozenset(("expand", "client_secret")))


def _intents(store: Store, params: Params, _: str) -> Page:
    customer = forms.text(params, "customer")
    return listing.page(store.intents, params, lambda row: customer is None or row.customer == customer)


def _charges(store: Store, params: Params, _: str) -> Page:
    intent_id = forms.text(params, "payment_intent")
    if intent_id is not None:
        return listing.page_of(store.charges_of(intent_id), params)
    customer = forms.text(params, "customer")
    return listing.page(store.charges, params, lambda row: customer is None or row.customer == customer)


def _refunds(store: Store, params: Params, charge_in_path: str) -> Page:
    charge_id = charge_in_path or forms.text(params, "charge")
    if charge_id:
        return listing.page_of(store.refunds_of(charge_id), params)
    intent_id = forms.text(params, "payment_intent")
    return listing.page(
        store.refunds, params, lambda row: intent_id is None or row.payment_intent == intent_id
    )


def _disputes(store: Store, params: Params, _: str) -> Page:
    charge_id = forms.text(params, "charge")
    intent_id = forms.text(params, "payment_intent")
    return listing.page(
        store.disputes,
        params,
        lambda row: charge_id in (None, row.charge) and intent_id in (None, row.payment_intent),
    )


def _transactions(store: Store, params: Params, _: str) -> Page:
    kind = forms.text(params, "type")
    source = forms.text(params, "source")
    currency = forms.text(params, "currency")
    return listing.page(
        store.transactions,
        params,
        lambda row: (
            kind in (None, row.type) and source in (None, row.source) and currency in (None, row.currency)
        ),
    )


def _events(store: Store, params: Params, _: str) -> Page:
    kind = forms.text(params, "type")
    kinds = frozenset(forms.words(params, "types")) or frozenset((kind,) if kind else ())
    return listing.page(store.events, params, lambda row: not kinds or row.type in kinds)


def _with(*names: str) -> frozenset[str]:
    return PAGE_PARAMS | frozenset(names)


ENDPOINTS: Final[dict[str, Command | Query]] = {
    "POST /v1/payment_intents": Command(
        lambda unit, params, _: intents.create(unit, params), intents.CREATE_PARAMS, confirms=True
    ),
    "POST /v1/payment_intents/{id}/confirm": Command(intents.confirm, intents.CONFIRM_PARAMS, confirms=True),
    "POST /v1/payment_intents/{id}/capture": Command(intents.capture, intents.CAPTURE_PARAMS),
    "POST /v1/payment_intents/{id}/cancel": Command(intents.cancel, intents.CANCEL_PARAMS),
    "POST /v1/refunds": Command(lambda unit, params, _: refunds.create(unit, params), refunds.CREATE_PARAMS),
    "POST /v1/disputes/{id}": Command(disputes.update, disputes.UPDATE_PARAMS),
    "POST /v1/disputes/{id}/close": Command(disputes.close, disputes.CLOSE_PARAMS),
    "GET /v1/payment_intents": Query(_intents, _with("customer")),
    "GET /v1/payment_intents/search": Query(
        lambda store, params, _: search.search(store, params), search.SEARCH_PARAMS
    ),
    "GET /v1/payment_intents/{id}": _one(lambda store: store.intents, "payment_intent"),
    "GET /v1/charges": Query(_charges, _with("payment_intent", "customer")),
    "GET /v1/charges/{id}": _one(lambda store: store.charges, "charge"),
    "GET /v1/charges/{id}/refunds": Query(_refunds, PAGE_PARAMS),
    "GET /v1/refunds": Query(_refunds, _with("charge", "payment_intent")),
    "GET /v1/refunds/{id}": _one(lambda store: store.refunds, "refund"),
    "GET /v1/disputes": Query(_disputes, _with("charge", "payment_intent")),
    "GET /v1/disputes/{id}": _one(lambda store: store.disputes, "dispute"),
    "GET /v1/balance_transactions": Query(_transactions, _with("type", "source", "currency")),
    "GET /v1/balance_transactions/{id}": _one(lambda store: store.transactions, "balance_transaction"),
    "GET /v1/events": Query(_events, _with("type", "types")),
    "GET /v1/events/{id}": _one(lambda store: store.events, "event"),
}

# `/v1/<collection>/<id>/<action>`: the id is the third segment.
_ID_SEGMENT: Final = 3


def match(method: str, path: str) -> tuple[Command | Query, str]:
    """Return the endpoint of a request, and the id in its path or an empty string.

    Raises:
        ApiError: 404 if there is no such endpoint.
    """
    endpoint = ENDPOINTS.get(f"{method} {path}")
    if endpoint is not None:
        return endpoint, ""
    segments = path.split("/")
    if len(segments) > _ID_SEGMENT:
        row_id, segments[_ID_SEGMENT] = segments[_ID_SEGMENT], "{id}"
        endpoint = ENDPOINTS.get(f"{method} {'/'.join(segments)}")
        if endpoint is not None and row_id:
            return endpoint, row_id
    raise unrecognized_url(method, path)
