"""Everything the simulator knows, in memory, with the look-ups that its endpoints need."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from psp_sim.memory.kept_json import kept
from psp_sim.memory.table import Table
from psp_sim.stripe.objects.rows import (
    Answer,
    BalanceTransaction,
    Charge,
    Dispute,
    Event,
    PaymentIntent,
    Refund,
    Row,
)

# Stripe forgets an idempotency key after a day.
ANSWER_TTL_S: Final = 24 * 3600

_ROW_TYPES: Final[dict[str, type[Any]]] = {
    kind.KIND: kind for kind in (PaymentIntent, Charge, Refund, Dispute, BalanceTransaction, Event, Answer)
}


@dataclass(slots=True)
class Change:
    """What one request alters: it is written to the journal and applied as a whole."""

    rows: list[Row] = field(default_factory=list)
    # Idempotency keys whose one-time fault has been served.
    tripped: list[str] = field(default_factory=list)
    # Events that reached the webhook endpoint.
    delivered: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows or self.tripped or self.delivered)

    def encoded(self) -> bytes:
        """Return the change as one line of the journal."""
        record: dict[str, Any] = {"rows": [(row.KIND, row) for row in self.rows]}
        if self.tripped:
            record["tripped"] = self.tripped
        if self.delivered:
            record["delivered"] = self.delivered
        return orjson.dumps(record, default=_spliced, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def decoded(cls, line: bytes) -> "Change":
        """Return the change that a line of the journal holds.

        Raises:
            ValueError: if the line is not whole, as the last one after a crash may be.
        """
        record = orjson.loads(line)
        return cls(
            rows=[_row(kind, values) for kind, values in record["rows"]],
            tripped=record.get("tripped", []),
            delivered=record.get("delivered", []),
        )


def _spliced(value: object) -> orjson.Fragment:
    """Let stored JSON (the only bytes in a row) be part of the line as it is."""
    if isinstance(value, bytes):
        return orjson.Fragment(value)
    raise TypeError(f"{type(value).__name__} has no place in the journal")


def _row(kind: str, values: dict[str, Any]) -> Row:
    if "body" in values:
        # Keys keep their order and there are no floats, so these are the same bytes again.
        values["body"] = kept(values["body"])
    row: Row = _ROW_TYPES[kind](**values)
    return row


class Store:
    """The provider's memory. It changes by `apply` alone."""

    def __init__(self) -> None:
        self.intents: Table[PaymentIntent] = Table()
        self.charges: Table[Charge] = Table()
        self.refunds: Table[Refund] = Table()
        self.disputes: Table[Dispute] = Table()
        self.transactions: Table[BalanceTransaction] = Table()
        self.events: Table[Event] = Table()
        self.undelivered: dict[str, None] = {}
        self._answers: dict[str, Answer] = {}
        self._tripped: dict[str, None] = {}
        self._intents_by_metadata: dict[tuple[str, str], list[str]] = {}
        self._charges_by_intent: dict[str, list[str]] = {}
        self._refunds_by_charge: dict[str, list[str]] = {}

    def apply(self, change: Change) -> None:
        """Make a change part of the memory."""
        for row in change.rows:
            self._put(row)
        for key in change.tripped:
            self._tripped[key] = None
        for event_id in change.delivered:
            self.undelivered.pop(event_id, None)

    def _put(self, row: Row) -> None:
        match row:
            case PaymentIntent():
                if self.intents.put(row):
                    for item in row.metadata.items():
                        self._intents_by_metadata.setdefault(item, []).append(row.id)
            case Charge():
                if self.charges.put(row):
                    self._charges_by_intent.setdefault(row.payment_intent, []).append(row.id)
            case Refund():
                if self.refunds.put(row):
                    self._refunds_by_charge.setdefault(row.charge, []).append(row.id)
            case Dispute():
                self.disputes.put(row)
            case BalanceTransaction():
                self.transactions.put(row)
            case Event():
                self.events.put(row)
                if row.awaits_delivery:
                    self.undelivered[row.id] = None
            case Answer():
                self._forget_before(row.created - ANSWER_TTL_S)
                self._answers[row.id] = row

    def find(self, row_id: str) -> Row | None:
        """Return the row that an id names, whatever its kind, or None."""
        return (
            self.intents.get(row_id)
            or self.charges.get(row_id)
            or self.transactions.get(row_id)
            or self.refunds.get(row_id)
            or self.disputes.get(row_id)
        )

    def answer(self, key: str, now: int) -> Answer | None:
        """Return the answer stored under an idempotency key, if it is not older than a day."""
        answer = self._answers.get(key)
        return answer if answer is not None and answer.created > now - ANSWER_TTL_S else None

    def has_tripped(self, key: str) -> bool:
        """Return whether this idempotency key has had its one-time fault."""
        return key in self._tripped

    def _forget_before(self, oldest: int) -> None:
        """Drop answers from the old end; each new one pays for at most the few that expired."""
        expired = []
        for answer in self._answers.values():
            if answer.created > oldest:
                break
            expired.append(answer.id)
        for key in expired:
            del self._answers[key]

    def intents_with(self, metadata: dict[str, str]) -> Iterator[PaymentIntent]:
        """Yield the payment intents that carry all of these keys and values, newest first."""
        candidates = min((self._intents_by_metadata.get(item, []) for item in metadata.items()), key=len)
        for intent_id in reversed(candidates):
            intent = self.intents.get(intent_id)
            if intent is not None and metadata.items() <= intent.metadata.items():
                yield intent

    def charges_of(self, intent_id: str) -> Iterator[Charge]:
        """Yield the charges of a payment intent, newest first."""
        for charge_id in reversed(self._charges_by_intent.get(intent_id, [])):
            charge = self.charges.get(charge_id)
            if charge is not None:
                yield charge

    def refunds_of(self, charge_id: str) -> Iterator[Refund]:
        """Yield the refunds of a charge, newest first."""
        for refund_id in reversed(self._refunds_by_charge.get(charge_id, [])):
            refund = self.refunds.get(refund_id)
            if refund is not None:
                yield refund

    def snapshot(self) -> Iterator[Change]:
        """Yield changes that together rebuild this memory, in bounded pieces."""
        rows = self._rows()
        while piece := [row for _, row in zip(range(_SNAPSHOT_ROWS), rows, strict=False)]:
            yield Change(rows=piece)
        yield Change(tripped=list(self._tripped))

    def _rows(self) -> Iterator[Row]:
        for table in (
            self.intents,
            self.charges,
            self.refunds,
            self.disputes,
            self.transactions,
        ):
            yield from table.oldest_first()
        for event in self.events.oldest_first():
            yield replace(event, awaits_delivery=event.id in self.undelivered)
        yield from self._answers.values()


# One line of a snapshot holds this many rows: few enough to parse at once, enough to be quick.
_SNAPSHOT_ROWS: Final = 256
