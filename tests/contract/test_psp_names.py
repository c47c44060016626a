"""What a PSP is called, takes and sends is known to its adapter and its simulator, and to nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

# Stripe's name, the prefixes of its ids, its word for a payment.
_STRIPE: Final = re.compile(r"stripe|\bpm_|\bpi_|payment_?intent", re.IGNORECASE)

AT_HOME: Final = ("payment_svc/adapters/stripe/", "psp_sim/")

# What is generated, or about the code rather than part of it.
_NOT_CODE: Final = frozenset({"gen", "docs", "tests", "build"})
_CODE: Final = frozenset({".py", ".proto", ".sql", ".yaml", ".lua"})

# Who else may name it, each with the reason.
ELSEWHERE: Final = {
    "payment_svc/bootstrap.py": "chooses the adapter",
    "payment_svc/migrations/0002_attempts/up.sql": "whose webhooks there had been until then",
    "runner/access/audit.py": "chooses the adapter's list",
    "payment_svc/transport/grpc.py": "each PSP has a door of its own for its webhooks",
    "protos/florin/payment/v1/payment_service.proto": "the same door",
    "protos/florin/common/v1/charge.proto": "an example",
    "protos/florin/order/v1/order_service.proto": "an example",
    "protos/florin/payment/v1/payment.proto": "an example",
    "protos/florin/payment/v1/payment_events.proto": "an example",
    "client/edge.py": "a buyer's card; the simulator's test tokens are part of the contract",
    "demo/scenarios.py": "buyers' cards",
    "bench/carts.py": "buyers' cards",
    "bench/made_rows.py": "rows as a load leaves them",
    "bench/history.py": "what the PSP's list would say of them",
    "bench/inventory_cost.py": "a buyer's card",
    "florin_cli/commands/checkout.py": "a buyer's card",
    "bench/psp_sim_cost.py": "calls the simulator as a library of Stripe's would",
}


def test_a_psp_is_named_by_its_adapter_and_its_simulator_only() -> None:
    assert {path for path in code() if is_named_in(path)} == set(ELSEWHERE)


def code() -> Iterator[str]:
    """Yield the files that are not at home with a PSP."""
    rooms = [room for room in ROOT.iterdir() if room.is_dir() and room.name[0] != "."]
    for room in rooms:
        if room.name not in _NOT_CODE:
            paths = [path for path in room.rglob("*") if path.suffix in _CODE]
            names = [path.relative_to(ROOT).as_posix() for path in paths]
            yield from (name for name in names if not name.startswith(AT_HOME))


def is_named_in(path: str) -> bool:
    return _STRIPE.search((ROOT / path).read_text()) is not None
