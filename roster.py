"""The one list of what Florin consists of.

Everything that has to know which services there are asks here: the runner (processes, ports, databases,
roles), the edge (routes), the outboxes (who has to confirm what), the proof, the import contracts, the docs
and the tests. A context is a package of its own; which process hosts it is a word in its line, so that a
small installation runs few processes and a large one many.
"""

from __future__ import annotations

from typing import Final

from kit.runtime.roster import Context, Roster

ROSTER: Final = Roster(
    (
        Context(
            package="order_svc",
            port=50051,
            consumes=(
                "stock.reserved",
                "stock.rejected",
                "stock.sold",
                "stock.released",
                "payment.requires_action",
                "payment.captured",
                "payment.failed",
                "journal.posted",
            ),
            calls=("inventory_svc",),
        ),
        Context(
            package="inventory_svc",
            port=50052,
            consumes=("order.placed", "payment.captured", "payment.failed"),
        ),
        Context(package="payment_svc", port=50053, consumes=("stock.reserved",), calls_psp=True),
        Context(package="ledger_svc", port=50054, consumes=("payment.captured",)),
        Context(package="notification_svc", port=50055, consumes=("order.completed", "order.failed")),
    )
)
