"""What outlives the process, and how events are signed and tried again."""

import hashlib
import hmac
from pathlib import Path

import pytest

from psp_sim import webhooks
from psp_sim.memory.journal import FILE_NAME, Journal, JournalInUse
from psp_sim.stripe.errors import ApiError
from psp_sim.stripe.objects.rows import Answer
from psp_sim.stripe.objects.store import Change, Store
from psp_sim.stripe.payments import intents, refunds
from psp_sim.stripe.signature import signature

from .conftest import NOW, Sim


def busy(sim: Sim) -> Sim:
    """Give the simulator a bit of everything to remember."""
    base = {"amount": "2000", "currency": "eur", "confirm": "true"}
    for method in ("pm_card_visa", "pm_card_createDispute", "pm_card_pendingRefund"):
        paid = sim.do(intents.create, {**base, "payment_method": method, "metadata": {"n": method}})
    sim.do(refunds.create, {"payment_intent": paid.id})
    with pytest.raises(ApiError):
        sim.do(intents.create, {**base, "payment_method": "pm_card_chargeDeclined"})
    change = Change(
        rows=[Answer("key", NOW, "print", 402, '{"name":"Zoë"}'.encode(), "req_9")],
        tripped=["once"],
        delivered=[sim.events[0].id],
    )
    sim.lines.append(change.encoded())
    sim.store.apply(change)
    return sim


def contents(store: Store) -> list[object]:
    tables = (store.intents, store.charges, store.refunds, store.disputes)
    return [
        *(list(table.oldest_first()) for table in tables),
        list(store.transactions.oldest_first()),
        [(event.id, event.body) for event in store.events.oldest_first()],
        list(store.undelivered),
        store.answer("key", NOW),
        store.has_tripped("once"),
        [intent.id for intent in store.intents_with({"n": "pm_card_visa"})],
    ]


def remembered(lines: list[bytes]) -> Store:
    store = Store()
    for line in lines:
        store.apply(Change.decoded(line))
    return store


def test_the_journal_rebuilds_the_memory(sim: Sim) -> None:
    busy(sim)
    assert contents(remembered(sim.lines)) == contents(sim.store)


def test_a_snapshot_rebuilds_the_memory(sim: Sim) -> None:
    busy(sim)
    lines = [change.encoded() for change in sim.store.snapshot()]
    assert contents(remembered(lines)) == contents(sim.store)


def test_a_torn_last_line_is_left_out_and_gone_after_a_rewrite(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.append(b"one\n")
        journal.append(b"two\n")
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b"tor")
    with Journal(tmp_path) as journal:
        lines = list(journal.lines())
        assert lines == [b"one\n", b"two\n"]
        journal.rewrite(lines)
        journal.append(b"three\n")
        assert list(journal.lines()) == [b"one\n", b"two\n", b"three\n"]


def test_a_journal_has_one_writer(tmp_path: Path) -> None:
    with Journal(tmp_path), pytest.raises(JournalInUse):
        Journal(tmp_path)
    Journal(tmp_path).close()


def test_expired_answers_make_room(sim: Sim) -> None:
    day_s = 24 * 3600
    for number in range(3):
        answer = Answer(f"k{number}", NOW + number * day_s, "print", 200, b"{}", "req")
        sim.store.apply(Change(rows=[answer]))
    kept = [row.id for change in sim.store.snapshot() for row in change.rows]
    assert kept == ["k2"]


def test_signatures_are_hmac_sha256_over_time_and_body() -> None:
    header = signature(b"whsec_1", b'{"a":1}', 12345)
    expected = hmac.new(b"whsec_1", b'12345.{"a":1}', hashlib.sha256).hexdigest()
    assert header == f"t=12345,v1={expected}"


def test_retries_double_up_to_a_minute() -> None:
    waits = [webhooks.retry_after_s(attempts) for attempts in range(1, 12)]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(waits) == waits[-1] == 60.0
    assert webhooks.retry_after_s(10_000) == 60.0
