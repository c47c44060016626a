"""Payments and books against the PSP's own lists.

Both sides are what is stored, ours in the databases and theirs at the PSP; what the services believe is not
asked. Only how to read the PSP's lists is taken from its adapter, which alone speaks the protocol and knows
how the PSP counts money. If it miscounted a currency, it would charge wrongly and list alike, and no
comparison could tell: so tests/unit/payment_svc/test_amounts.py holds its table against the one that the PSP
publishes, and tests/integration/proof what it makes of a list against amounts written down by hand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Self

from ledger_svc.proof import HORIZON, NOW, PostedJournal
from payment_svc.proof import PAYMENTS_BY_ID, SET_ASIDE, Money, Payment, PspCharge, PspMovement
from proof.audit import BOOKS, PAYMENTS, Audit
from proof.journals import journals_before
from proof.verdict import Finding, State

# A payment that is being charged is known at the PSP first, and to us when its answer, its webhook or a
# look-up arrives; `nothing_stuck` watches that this happens.
_IN_FLIGHT_S: Final = 60
# The PSP's clock, its list and ours are not quite one: as much is read again.
_OVERLAP_S: Final = 120
# Of the PSP's pages, as many are compared at once.
_AT_ONCE: Final = 1_000

_UNDECIDED: Final = frozenset({"INITIATED", "PROCESSING", "REQUIRES_ACTION", "AUTHORIZED", "UNKNOWN"})
_WITHOUT_MONEY: Final = frozenset({"FAILED", "VOIDED"})


# --- Payments: taken once, and by us alone.


async def no_double_charge(audit: Audit, state: State) -> Finding:
    """What the PSP has taken is what we know as captured: once per payment, once per order, to the cent."""
    problems: dict[str, str] = {}
    listed = taken = 0
    newest_s = state.get("since_s", 0)
    held = [charge for reference in state.get("held", ()) if (charge := await audit.psp.payment(reference))]
    still_held = await _judge(audit, held, problems)
    async for page in _together(audit.psp.pages(max(0, newest_s - _OVERLAP_S) if newest_s else 0)):
        listed += len(page)
        taken += sum(charge.money is Money.TAKEN for charge in page)
        newest_s = max([newest_s, *(charge.created_s for charge in page)])
        still_held |= await _judge(audit, page, problems)
    detail = f"{listed:,} payments at the PSP ({taken:,} succeeded)"
    if not state:
        [(set_aside,)] = await audit.rows(PAYMENTS, SET_ASIDE)
        detail += f", {set_aside:,} webhooks set aside" if set_aside else ""
    else:
        detail += f", {len(held):,} that it held before"
    return Finding(detail, problems, {"since_s": newest_s, "held": sorted(still_held)})


async def _together(pages: AsyncIterator[list[PspCharge]]) -> AsyncIterator[list[PspCharge]]:
    """Yield the PSP's small pages as larger ones."""
    gathered: list[PspCharge] = []
    async for page in pages:
        gathered += page
        if len(gathered) >= _AT_ONCE:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


async def _judge(audit: Audit, charges: Sequence[PspCharge], problems: dict[str, str]) -> set[str]:
    """Compare charges with our payments; return those that the PSP may still take."""
    of_interest = [charge for charge in charges if charge.money is not Money.NONE]
    if not of_interest:
        return set()
    ids = sorted({charge.payment_id for charge in of_interest})
    rows = await audit.rows(PAYMENTS, PAYMENTS_BY_ID, {"ids": ids, "recent_s": _IN_FLIGHT_S})
    payments = {payment.id: payment for payment in (Payment(*row) for row in rows)}
    for charge in of_interest:
        payment = payments.get(charge.payment_id)
        if charge.money is Money.HELD:
            _judge_held(charge, payment, problems)
        else:
            await _judge_taken(audit, charge, payment, problems)
    return {charge.reference for charge in of_interest if charge.money is Money.HELD}


async def _judge_taken(
    audit: Audit, charge: PspCharge, payment: Payment | None, problems: dict[str, str]
) -> None:
    if payment is None:
        problems[charge.reference] = (
            f"{charge.reference} succeeded at the PSP for {charge.payment_id or 'nobody we know'}"
        )
    elif not payment.amount_captured:
        if not (payment.is_recent and payment.status in _UNDECIDED):
            problems[charge.reference] = (
                f"{charge.reference} succeeded at the PSP, {payment.id} is {payment.status} here"
            )
    elif payment.psp_reference != charge.reference:
        ours = await audit.psp.payment(payment.psp_reference) if payment.psp_reference else None
        if ours is not None and ours.money is Money.TAKEN:
            both = ", ".join(sorted([charge.reference, ours.reference]))
            problems[f"double {payment.id}"] = f"{payment.id} was charged more than once: {both}"
        else:
            problems[payment.id] = (
                f"{payment.id} is captured here, {payment.psp_reference or 'no payment'} did not succeed"
                f" there, {charge.reference} did"
            )
    elif (charge.order_id, charge.currency, charge.taken_amount) != (
        payment.order_id,
        payment.currency,
        Fraction(payment.amount_captured),
    ):
        problems[payment.id] = (
            f"{payment.id} captured {payment.amount_captured} {payment.currency} of {payment.order_id},"
            f" {charge.reference} took {charge.taken_amount} {charge.currency} of {charge.order_id}"
        )


def _judge_held(charge: PspCharge, payment: Payment | None, problems: dict[str, str]) -> None:
    """Money of buyers that the PSP holds for payments that have failed here, or that nobody knows."""
    if payment is None:
        problems[charge.reference] = (
            f"{charge.reference} is {charge.status} for {charge.payment_id or 'nobody we know'}"
        )
    elif payment.status in _WITHOUT_MONEY:
        problems[charge.reference] = (
            f"{charge.reference} is {charge.status} at the PSP, {payment.id} is {payment.status} here"
        )


# --- Books: what the PSP holds for us, line by line.


@dataclass(slots=True)
class _Open:
    """What both sides say of one payment in one currency; they agree when the books owe what the PSP has."""

    at_psp: Fraction = Fraction(0)
    in_books: int = 0
    # When either side last spoke of it.
    moved_s: int = 0
    # What the PSP said, for people.
    said: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        return self.at_psp == self.in_books


async def clearing_matches_psp(audit: Audit, state: State) -> Finding:
    """`psp_clearing` is what the PSP's own account says: charges, refunds, disputes, payment by payment.

    Both are read from the newest line to the oldest, the side that is less far back first; what one has of a
    payment is set off against what the other has, so that only what is open is remembered.
    """
    reconciliation = _Reconciliation.resume(state)
    [(now_s,)] = await audit.rows(BOOKS, NOW)
    [(horizon,)] = await audit.rows(BOOKS, HORIZON)
    since = state.get("since", 0)
    until = max(horizon, since)
    since_s = state.get("since_s", 0)
    theirs = aiter(audit.psp.movements(max(0, since_s - _OVERLAP_S) if since_s else 0))
    ours = aiter(journals_before(audit, since=since, until=until))
    at_psp: list[PspMovement] | None = []
    in_books: list[PostedJournal] | None = []
    at_psp_s = in_books_s = now_s
    while at_psp is not None or in_books is not None:
        if at_psp is not None and (in_books is None or at_psp_s >= in_books_s):
            at_psp = await anext(theirs, None)
            reconciliation.add_movements(at_psp or ())
            at_psp_s = at_psp[-1].created_s if at_psp else at_psp_s
        else:
            in_books = await anext(ours, None)
            reconciliation.add_journals(in_books or ())
            in_books_s = in_books[-1].recorded_s if in_books else in_books_s
    reconciliation.finish()
    return Finding(
        reconciliation.told(), reconciliation.problems(now_s), {"since": until, **reconciliation.state()}
    )


class _Reconciliation:
    """The PSP's account and `psp_clearing`, set off against each other."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._totals: dict[str, list[Fraction]] = defaultdict(lambda: [Fraction(0), Fraction(0)])
        # The PSP's lines of the last two minutes, which are listed again next time.
        self._recent: dict[str, int] = {}
        self._newest_s = self._lines = self._journals = 0

    @classmethod
    def resume(cls, state: State) -> Self:
        """Go on where a proof has ended."""
        this = cls()
        for key, (at_psp, in_books, moved_s, said) in state.get("open", {}).items():
            this._open[key] = _Open(Fraction(at_psp), in_books, moved_s, list(said))
        for currency, sides in state.get("totals", {}).items():
            this._totals[currency] = [Fraction(side) for side in sides]
        this._recent = dict(state.get("recent", {}))
        this._newest_s = state.get("since_s", 0)
        return this

    def state(self) -> State:
        """What to go on from."""
        return {
            "since_s": self._newest_s,
            "recent": {ref: at for ref, at in self._recent.items() if at >= self._newest_s - _OVERLAP_S},
            "open": {
                key: [str(item.at_psp), item.in_books, item.moved_s, item.said]
                for key, item in self._open.items()
            },
            "totals": {currency: [str(side) for side in sides] for currency, sides in self._totals.items()},
        }

    def add_movements(self, lines: Iterable[PspMovement]) -> None:
        """What the PSP says; a payout is between it and our bank, and settled elsewhere."""
        for line in lines:
            if line.reference in self._recent:
                continue
            self._newest_s = max(self._newest_s, line.created_s)
            if line.created_s >= self._newest_s - _OVERLAP_S:
                self._recent[line.reference] = line.created_s
            self._lines += 1
            if line.is_payout:
                continue
            self._totals[line.currency][0] += line.amount
            item = self._item(line.payment_id or line.source or line.reference, line.currency)
            item.at_psp += line.amount
            item.moved_s = max(item.moved_s, line.created_s)
            item.said.append(f"{line.kind} {line.source}")
            self._settle(line.payment_id or line.source or line.reference, line.currency)

    def add_journals(self, journals: Iterable[PostedJournal]) -> None:
        """What the books say: a debit of `psp_clearing`, negative there, is money that the PSP has."""
        for journal in journals:
            self._journals += 1
            for account, amount in journal.lines.items():
                if not account.startswith("psp_clearing:"):
                    continue
                currency = account.rpartition(":")[2]
                self._totals[currency][1] -= amount
                item = self._item(journal.payment_id or journal.id, currency)
                item.in_books -= amount
                item.moved_s = max(item.moved_s, journal.recorded_s)
                self._settle(journal.payment_id or journal.id, currency)

    def _item(self, about: str, currency: str) -> _Open:
        return self._open.setdefault(f"{about} {currency}", _Open())

    def _settle(self, about: str, currency: str) -> None:
        item = self._open[f"{about} {currency}"]
        # What is back at zero may have been told by one side only so far: it is kept to the end of the look.
        if item.agrees and item.in_books:
            del self._open[f"{about} {currency}"]

    def finish(self) -> None:
        """Both sides have been read to their ends."""
        self._open = {key: item for key, item in self._open.items() if not item.agrees}

    def problems(self, now_s: int) -> dict[str, str]:
        """What is open for longer than an answer, a webhook and an event take."""
        return {
            key: (
                f"{key}: the PSP's account moved by {item.at_psp} ({', '.join(item.said) or 'nothing'}),"
                f" psp_clearing by {item.in_books}"
            )
            for key, item in self._open.items()
            if now_s - item.moved_s > _IN_FLIGHT_S
        }

    def told(self) -> str:
        """How much was compared."""
        totals = ", ".join(
            f"{currency} {at_psp} at the PSP, {in_books} in psp_clearing"
            for currency, (at_psp, in_books) in sorted(self._totals.items())
        )
        return (
            f"{self._lines:,} lines of the PSP, {self._journals:,} journals"
            + (f": {totals}" if totals else "")
            + (f"; {len(self._open):,} on their way" if self._open else "")
        )
