"""Every name in prose exists; see tests/contract/prose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.contract.prose.exceptions import EXCEPTIONS
from tests.contract.prose.known import ROOT, Known
from tests.contract.prose.passages import Passage, files_below, is_written, passages_in
from tests.contract.prose.rules import problems_in

# Where the exceptions are listed.
OWN: Final = "tests/contract/prose/"


@pytest.fixture(scope="module")
def known() -> Known:
    return Known()


@pytest.fixture(scope="module")
def passages() -> Sequence[Passage]:
    named = ((path, path.relative_to(ROOT).as_posix()) for path in files_below(ROOT))
    return [passage for path, name in named if is_written(name) for passage in passages_in(path, name)]


def test_every_name_in_prose_exists(known: Known, passages: Sequence[Passage]) -> None:
    problems = [str(problem) for passage in passages for problem in problems_in(passage, known)]
    assert not problems, "\n".join(problems)


def test_every_exception_is_used(passages: Sequence[Passage]) -> None:
    prose = [" ".join(passage.text.split()) for passage in passages if not passage.path.startswith(OWN)]
    assert not [name for name in EXCEPTIONS if not any(name in text for text in prose)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("See `kit/messaging/mailbox.py`.", "file or folder 'kit/messaging/mailbox.py'"),
        ("Put it into `envoy/`.", "file or folder 'envoy/'"),
        ("```\nenvoy/   the edge's fixed part\n```", "folder 'envoy/'"),
        ("The rest is in `order_svc/domain/rules/*.py`.", "file or folder 'order_svc/domain/rules/*.py'"),
        ("What contract.md calls slow.", "file 'contract.md'"),
        ("By `kit.messaging.mailbox`.", "module 'kit.messaging.mailbox'"),
        ("By `kit.messaging.pump.Press`.", "module 'kit.messaging.pump.Press'"),
        ("Run `python -m kit.press`.", "module to run 'python -m kit.press'"),
        ("Set FLORIN_SPEED to 3.", "setting 'FLORIN_SPEED'"),
        ("`FLORIN_SPEED` says how fast.", "setting 'FLORIN_SPEED'"),
        ("`make coffee` helps.", "make target 'make coffee'"),
        ("```sh\nmake coffee && make demo\n```", "make target 'make coffee'"),
        ("`florin brew` helps.", "florin command 'florin brew'"),
        ("`florin dlq brew`", "florin command 'florin dlq brew'"),
        ("`florin status --brew`", "florin command 'florin status --brew'"),
        ("```sh\n$ florin brew | head\n```", "florin command 'florin brew'"),
        ("The header `x-florin-mood` is kept.", "header 'x-florin-mood'"),
        ("The header x-florin-mood is kept.", "header 'x-florin-mood'"),
        ("It has `ce-mood`, too.", "word of the code 'ce-mood'"),
        ("Then `order.brewed` is sent.", "event 'order.brewed'"),
        ("```mermaid\nOrder-)Payment: order.brewed\n```", "event 'order.brewed'"),
        ("It calls `BrewOrder`.", "word of the code 'BrewOrder'"),
        ("`florin.order.v1.OrderService/BrewOrder`", "name in the contract"),
        ("`florin.order.v1.Brew` says how.", "name in the contract 'florin.order.v1.Brew'"),
        ("`POST /v1/brews`", "route 'POST /v1/brews'"),
        ("NOT_FOUND (`BREW_NOT_FOUND`) without one.", "constant 'BREW_NOT_FOUND'"),
        ("Up to MAX_BREWS at a time.", "constant 'MAX_BREWS'"),
        (
            "`FLORIN_FAULTPOINT=payment.after_charge:3`",
            "fault point 'FLORIN_FAULTPOINT=payment.after_charge'",
        ),
        ("The column `brew_id` is unique.", "word of the code 'brew_id'"),
        ("The names\n`order_id` and `brew_\nid`.", "word of the code 'brew_'"),
    ],
)
def test_a_name_that_does_not_exist_is_found(text: str, problem: str, known: Known) -> None:
    found = [str(each) for each in problems_in(Passage("docs/somewhere.md", 7, text), known)]
    assert any(f"there is no {problem}" in each for each in found), found


@pytest.mark.parametrize(
    "text",
    [
        "`kit/messaging/outbox.py`, `domain/`, `<service>_events.proto`, `gen/python`, README.md",
        "`kit.messaging.pump.Pump` and `kit.messaging`",
        "`python -m order_svc serve`, `python -m <service> migrate`",
        "`FLORIN_ORDER_PORT`, `FLORIN_ORDER_DATABASE_URL` and `FLORIN_…`",
        '`make demo`, `make`, `make test ARGS="-k outbox"`',
        "`florin dlq list`, `florin status [--json]`, `florin order timeline ORDER`",
        "`x-correlation-id`, `Idempotency-Key`, `Nats-Msg-Id` and `ce-id`",
        "`payment.captured`, and order.placed before.",
        "`florin.order.v1.OrderService/GetOrder`, `florin.order.order_placed.<shard>`",
        "`florin.common.v1.access`, `florin.order.v1.Order.Status`",
        "`GET /v1/orders/{id}`, `/v1/orders/ord_1:watch`, `POST /_sim/config`",
        "`FLORIN_FAULTPOINT=payment_svc.after_charge:3`, `FLORIN_FAULTPOINT=order_svc.before_publish`",
        "INVALID_ARGUMENT, `KEY_TTL` and RESERVATION_TTL",
        "An id such as `ord_01JD…`, `pay_…` or `ord_1`; the replica `order_svc-2`.",
        "Once it was “order.brewed” in “kit/brew.py”.",
        "```python\norder.brewed(BREW_ID)\n```",
        "# Data\n\nBelow `.florin`: `keys/`, `logs/` and `secrets.json`.",
    ],
)
def test_names_that_exist_are_left_alone(text: str, known: Known) -> None:
    assert [str(each) for each in problems_in(Passage("docs/somewhere.md", 7, text), known)] == []


def test_a_module_may_only_use_plain_words_that_are_near_or_known_by_name(known: Known) -> None:
    """`lease_s` is a parameter elsewhere; `outbox` is a module, `card_declined` a literal."""
    text = "Give it `lease_s`, as `outbox` does with `card_declined`."
    assert [each.name for each in problems_in(Passage("kit/values/money.py", 1, text), known)] == ["lease_s"]
    assert not list(problems_in(Passage("docs/somewhere.md", 1, text), known))


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        ("a.md", "# Title\n\nSee `brew_id`.\n", ["a.md:3"]),
        ("a.py", '"""Says `brew_id`."""\n', ["a.py:1"]),
        ("a.py", 'def f() -> None:\n    """One.\n\n    Then `brew_id`.\n    """\n', ["a.py:4"]),
        ("a.py", "A = 1\n# One line\n# and `brew_id`.\nB = 2  # `brew_id` again\n", ["a.py:3", "a.py:4"]),
        ("a.py", 'HELP = f"Give `brew_id` to {1}."\n', ["a.py:1"]),
        ("a.proto", 'string url = 1; // `brew_id`\nstring s = "https://brew_id";\n', ["a.proto:1"]),
        ("a.sql", "SELECT 1; -- `brew_id`\n", ["a.sql:1"]),
        ("a.lua", "-- `brew_id`\n", ["a.lua:1"]),
        ("a.yaml", "a: 1  # `brew_id`\n", ["a.yaml:1"]),
        ("a.toml", "# `brew_id`\n", ["a.toml:1"]),
        ("a.sh", "# `brew_id`\n", ["a.sh:1"]),
        ("Makefile", "# `brew_id`\n", ["Makefile:1"]),
    ],
)
def test_prose_is_found_wherever_it_stands(
    name: str, content: str, places: list[str], known: Known, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    problems = [
        each for passage in passages_in(tmp_path / name, name) for each in problems_in(passage, known)
    ]
    assert [each.place for each in problems] == places
    assert {each.name for each in problems} == {"brew_id"}
