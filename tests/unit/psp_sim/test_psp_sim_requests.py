"""How requests are read: forms, searches, lists, keys, expansions."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psp_sim.control.config import SimConfig
from psp_sim.control.faults import Faults
from psp_sim.stripe.errors import ApiError
from psp_sim.stripe.objects.rows import Answer
from psp_sim.stripe.objects.store import ANSWER_TTL_S, Change
from psp_sim.stripe.payments import intents
from psp_sim.stripe.requests import forms, listing, search
from psp_sim.stripe.requests.api_keys import ApiKeys, api_key
from psp_sim.stripe.requests.expand import expand
from psp_sim.stripe.requests.idempotency import RunningKeys, fingerprint

from .conftest import NOW, Sim


def test_forms_nest_as_stripe_nests_them() -> None:
    params = forms.parse(
        "amount=10&metadata[a%20b]=x+y&metadata%5B0%5D=zero&expand[]=one&expand[]=two"
        "&list[1]=b&list[0]=a&created[gte]=5&empty="
    )
    assert params["metadata"] == {"a b": "x y", "0": "zero"}
    assert forms.words(params, "expand") == ["one", "two"]
    assert params["created"] == {"gte": "5"}
    assert forms.text(params, "empty") is None


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=8))
def test_flat_forms_survive_the_way(params: dict[str, str]) -> None:
    flat = {key: value for key, value in params.items() if "[" not in key}
    assert forms.parse(urlencode(flat)) == flat


@pytest.mark.parametrize("encoded", ["a=1&a[b]=2", "a[b][c][d][e][f][g]=1", "&".join(["x=1"] * 1001)])
def test_contradictory_and_endless_forms_are_refused(encoded: str) -> None:
    with pytest.raises(ApiError):
        forms.parse(encoded)


@pytest.mark.parametrize("value", ["0", "-5", "1.5", "", "ten", "1_000"])
def test_amounts_are_whole_and_positive(value: str) -> None:
    with pytest.raises(ApiError) as refused:
        forms.required_amount({"amount": value}, "amount")
    assert refused.value.param == "amount"


def test_metadata_has_stripes_limits() -> None:
    with pytest.raises(ApiError):
        forms.metadata({"metadata": {"k" * 41: "v"}})
    with pytest.raises(ApiError):
        forms.metadata({"metadata": {"k": "v" * 501}})
    with pytest.raises(ApiError):
        forms.metadata({"metadata": {str(number): "v" for number in range(51)}})
    assert forms.metadata({"metadata": {"k": "v", "gone": ""}}) == {"k": "v"}


def test_searches_are_clauses_joined_by_and() -> None:
    query = search.parse("""metadata["k"]:"v" and status:'succeeded' AND metadata['l']:'w'""")
    assert query.metadata == {"k": "v", "l": "w"}
    assert query.fields == {"status": "succeeded"}


@pytest.mark.parametrize(
    "text", ["", "status", "amount>5", "status:'a' OR status:'b'", "status:'a' AND", "-status:'a'"]
)
def test_other_searches_are_refused(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        search.parse(text)
    assert refused.value.param == "query"


@given(count=st.integers(0, 12), limit=st.integers(1, 5))
def test_cursors_reach_every_row_once(count: int, limit: int) -> None:
    sim = Sim()
    made = [sim.do(intents.create, {"amount": "1", "currency": "eur"}).id for _ in range(count)]
    seen: list[str] = []
    params: dict[str, str] = {"limit": str(limit)}
    while True:
        page = listing.page(sim.store.intents, params)
        assert len(page.rows) <= limit
        seen += [row.id for row in page.rows]
        if not page.has_more:
            break
        params["starting_after"] = seen[-1]
    assert seen == made[::-1]


def test_keys_come_as_bearer_or_basic() -> None:
    assert api_key("Bearer sk_test_1") == "sk_test_1"
    assert api_key("Basic c2tfdGVzdF8xOg==") == "sk_test_1"
    assert api_key("Digest x") == api_key("") == api_key("Basic ?") == ""
    ApiKeys().check("Bearer sk_test_any")
    for keys, header in (
        (ApiKeys(), "Bearer sk_live_1"),
        (ApiKeys("sk_test_1"), "Bearer sk_test_2"),
    ):
        with pytest.raises(ApiError) as refused:
            keys.check(header)
        assert refused.value.status == 401
        assert header.removeprefix("Bearer ") not in refused.value.message


def test_a_fingerprint_is_about_parameters_not_their_order() -> None:
    assert fingerprint("POST", "/v1/x", "a=1&b=2") == fingerprint("POST", "/v1/x", "b=2&a=1")
    assert fingerprint("POST", "/v1/x", "a=1") != fingerprint("POST", "/v1/y", "a=1")


def test_an_idempotency_key_runs_once_and_is_forgotten_after_a_day(sim: Sim) -> None:
    keys = RunningKeys(sim.store)
    assert keys.begin("k", "print", NOW) is None
    with pytest.raises(ApiError) as running:
        keys.begin("k", "print", NOW)
    assert running.value.status == 409
    sim.store.apply(Change(rows=[Answer("k", NOW, "print", 200, b"{}", "req_1")]))
    keys.end("k")
    answer = keys.begin("k", "print", NOW + ANSWER_TTL_S - 1)
    assert answer is not None
    assert answer.body == b"{}"
    with pytest.raises(ApiError) as reused:
        keys.begin("k", "other", NOW)
    assert reused.value.type == "idempotency_error"
    assert keys.begin("k", "other", NOW + ANSWER_TTL_S) is None


def test_expansion_goes_through_lists_and_levels() -> None:
    objects = {"ch_1": {"id": "ch_1", "balance_transaction": "txn_1"}, "txn_1": {"id": "txn_1"}}
    page = {"data": [{"latest_charge": "ch_1"}, {"latest_charge": None}]}
    expand(page, ["data.latest_charge.balance_transaction"], lambda name: dict(objects[name]))
    assert page["data"][0]["latest_charge"]["balance_transaction"] == {"id": "txn_1"}  # type: ignore[index]
    for path in ("data.colour", "data", "a.b.c.d.e"):
        with pytest.raises(ApiError):
            expand({"data": [{}]}, [path], lambda name: None)


def test_a_configuration_changes_key_by_key() -> None:
    config = SimConfig().changed_by({"webhook": {"forge": True}, "latency_ms": 5})
    config = config.changed_by({"webhook": {"delay_ms": 7}})
    assert (config.latency_ms, config.webhook.forge, config.webhook.delay_ms) == (5, True, 7)
    for wrong in ({"latencyms": 1}, {"error_rate": 2}, {"webhook": {"x": 1}}, {"webhook": 3}):
        with pytest.raises(ValueError, match="validation error"):
            config.changed_by(wrong)


def test_the_same_seed_brings_the_same_faults_and_counts_them() -> None:
    def run() -> tuple[list[bool], int]:
        faults = Faults(seed=7)
        struck = [faults.strikes("x", 0.3) for _ in range(50)]
        return struck, faults.counts["x"]

    struck, counted = run()
    assert run() == (struck, counted)
    assert counted == sum(struck) > 0
