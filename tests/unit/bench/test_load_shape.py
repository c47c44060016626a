"""What the load is like before anything has been measured."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from bench import carts
from bench.carts import Mix
from bench.load import Assignment
from bench.window import Window


def test_checkouts_are_due_evenly_spaced_from_the_first_second_to_the_last() -> None:
    window = Window(rate_per_s=50, warmup_s=2, measure_s=8)

    due_s = [window.due_s(number) for number in range(window.checkouts)]

    assert len(due_s) == 500
    assert due_s[0] == 0
    assert due_s[-1] < window.length_s
    assert {round(after - before, 9) for before, after in pairwise(due_s)} == {0.02}


def test_only_what_is_due_after_the_warmup_counts() -> None:
    window = Window(rate_per_s=10, warmup_s=1, measure_s=2)

    counting = [number for number in range(window.checkouts) if window.counts(number)]

    assert counting == list(range(10, 30))


def test_a_slow_rate_still_offers_a_checkout() -> None:
    assert Window(rate_per_s=0.1, warmup_s=0, measure_s=1).checkouts == 1


@pytest.mark.parametrize("length", [{"warmup_s": -1, "measure_s": 1}, {"warmup_s": 0, "measure_s": 0}])
def test_a_window_without_length_is_refused(length: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needs a rate and a length"):
        Window(rate_per_s=1, **length)


def test_the_same_seed_fills_the_same_carts() -> None:
    mix = Mix(products=20)

    assert carts.fill(mix, seed=7) == carts.fill(mix, seed=7)
    assert carts.fill(mix, seed=7) != carts.fill(mix, seed=8)


def test_a_cart_names_each_product_once() -> None:
    for cart in carts.fill(Mix(products=3), seed=1):
        skus = [item["sku"] for item in json.loads(cart.body)["items"]]
        assert 1 <= len(skus) == len(set(skus)) <= 3


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_declined_share_is_the_share_of_bad_cards(share: float) -> None:
    filled = carts.fill(Mix(products=5, declined_share=share), seed=3)

    assert sum(cart.declined for cart in filled[:40]) == 40 * share
    for cart in filled:
        assert ("Declined" in json.loads(cart.body)["payment_method_id"]) == cart.declined


def test_a_hot_share_of_one_puts_the_hot_product_into_every_cart() -> None:
    for cart in carts.fill(Mix(products=50, hot_share=1.0), seed=5):
        assert carts.sku(0) in [item["sku"] for item in json.loads(cart.body)["items"]]


def test_a_request_carries_its_key_its_token_and_the_length_of_its_cart() -> None:
    cart = carts.fill(Mix(products=1), seed=1)[0]

    head, _, body = carts.request(carts.head(host="shop:80", token="t0"), "key-1", cart).partition(
        b"\r\n\r\n"
    )

    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/checkouts HTTP/1.1"
    assert {"idempotency-key: key-1", "authorization: Bearer t0", f"content-length: {len(body)}"} < set(lines)
    assert body == cart.body


def test_the_load_generator_reads_the_assignment_that_was_written(tmp_path: Path) -> None:
    assignment = Assignment(
        host="127.0.0.1",
        port=1234,
        window=Window(rate_per_s=1, warmup_s=2, measure_s=3),
        mix=Mix(products=4, hot_share=0.5),
        tokens=["a", "b"],
        name="run-1",
        seed=9,
    )
    path = tmp_path / "assignment.json"

    assignment.write(path)

    assert Assignment.read(path) == assignment
