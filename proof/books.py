"""The ledger by itself: it sums to zero, nobody has changed it, and its balances are its entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ledger_svc.proof import (
    BALANCE_COUNTS,
    BROKEN_SEALS,
    CROOKED_JOURNALS,
    EMPTY_JOURNALS,
    HALTS,
    HORIZON,
    JOURNALS_COUNT,
    LAST_SEALS,
    MISSING_ACCOUNTS,
    SEALED_COUNTS,
    SEALS_AT,
    STRETCHES,
    TOTALS,
    UNGUARDED_TABLES,
    UNSEALED,
    WRONG_HEADERS,
    WRONG_SNAPSHOTS,
)
from proof.audit import BOOKS, Audit
from proof.verdict import Finding, State

# Of what is proven, stretches with as many rows are recomputed again each time, in turn.
_PATROL_ROWS: Final = 20_000


async def ledger_zero_sum(audit: Audit, state: State) -> Finding:
    """Every journal sums to zero in each of its currencies, and so does everything."""
    problems: dict[str, str] = {}
    stretch = await _new(audit, state)
    for journal, currency, total, count, is_orphan in await audit.rows(BOOKS, CROOKED_JOURNALS, stretch):
        what = f"{count} entries without a journal" if is_orphan else f"is off by {total} {currency}"
        problems[f"{journal} {currency}"] = f"{journal} {what}"
    for (journal,) in await audit.rows(BOOKS, EMPTY_JOURNALS, stretch):
        problems[f"{journal} empty"] = f"{journal} has no entries"
    for account_id, count in await audit.rows(BOOKS, MISSING_ACCOUNTS, stretch):
        problems[f"account {account_id}"] = f"{count} entries of account {account_id}, which does not exist"
    for halt, reason in await audit.rows(BOOKS, HALTS):
        problems[f"halt {halt}"] = f"posting is halted: {reason}"
    totals = {currency: list(both) for currency, both in state.get("totals", {}).items()}
    for currency, total, count in await audit.rows(BOOKS, TOTALS, stretch):
        before = totals.get(currency, [0, 0])
        totals[currency] = [before[0] + total, before[1] + count]
    for currency, (total, _) in totals.items():
        if total:
            problems[f"total {currency}"] = f"everything together is off by {total} {currency}"
    [(journals,)] = await audit.rows(BOOKS, JOURNALS_COUNT, stretch)
    journals += state.get("journals", 0)
    entries = sum(count for _, count in totals.values())
    currencies = ", ".join(sorted(totals)) or "none"
    return Finding(
        f"{journals:,} journals with {entries:,} entries in {currencies}" + _before("journals", state),
        problems,
        {"since": stretch["until"], "totals": totals, "journals": journals},
    )


async def ledger_append_only(audit: Audit, state: State) -> Finding:
    """No row was changed, removed or slipped in since it was sealed, and everything is sealed soon."""
    since = state.get("since", 0)
    last = {shard: list(seal) for shard, *seal in await audit.rows(BOOKS, LAST_SEALS)}
    until = max([since, *(to for _, to, _ in last.values())])
    problems = await _broken(audit, since, until)
    again = await _patrol(audit, since, state.get("patrol", 0))
    problems |= await _broken(audit, *again) if again else {}
    problems |= await _not_anchored(audit, state)
    for (table,) in await audit.rows(BOOKS, UNGUARDED_TABLES):
        problems[f"trigger {table}"] = f"nothing refuses changes of {table}: its trigger is missing or off"
    [(unsealed, waiting_s)] = await audit.rows(BOOKS, UNSEALED, {"sealed": last.get("journals", [0, 0])[1]})
    if unsealed:
        problems["unsealed"] = (
            f"{unsealed:,} journals older than a minute are not sealed, the oldest for {waiting_s} s"
        )
    [(stretches, entries)] = await audit.rows(BOOKS, SEALED_COUNTS, {"since": since, "until": until})
    stretches, entries = stretches + state.get("stretches", 0), entries + state.get("entries", 0)
    return Finding(
        f"{entries:,} entries sealed in {stretches:,} stretches" + _before("entries", state),
        problems,
        {
            "since": until,
            "entries": entries,
            "stretches": stretches,
            "patrol": again[1] if again else 0,
            "anchor": last,
        },
    )


async def _broken(audit: Audit, since: int, until: int) -> dict[str, str]:
    found = await audit.rows(BOOKS, BROKEN_SEALS, {"since": since, "until": until})
    return {
        f"{shard} {begin}": f"{shard} from transaction {begin}: {problem}" for shard, begin, problem in found
    }


async def _patrol(audit: Audit, until: int, begin: int) -> tuple[int, int] | None:
    """Return the next stretches of what is proven, from the first one again after the last."""
    if not until:
        return None
    values = {"since": begin if begin < until else 0, "rows": _PATROL_ROWS}
    stretches = [each for each in await audit.rows(BOOKS, STRETCHES, values) if each[1] <= until]
    return (stretches[0][0], stretches[-1][1]) if stretches else None


async def _not_anchored(audit: Audit, state: State) -> dict[str, str]:
    """Seals that were the last ones at a proof before, and are not there any more as they were."""
    anchors: Sequence[dict[str, Any]] = state.get("anchors", ())
    proven = state.get("anchor") or state.get("promised", {}).get("anchor")
    if proven and not anchors:
        return {"anchors": "the file with the seals of the proofs before is gone"}
    wanted = {(shard, begin, end, seal) for each in anchors for shard, (begin, end, seal) in each.items()}
    if proven:
        wanted |= {(shard, begin, end, seal) for shard, (begin, end, seal) in proven.items()}
    keys = {"shards": [each[0] for each in wanted], "since": [each[1] for each in wanted]}
    found = set(await audit.rows(BOOKS, SEALS_AT, keys))
    return {
        f"anchor {shard} {begin}": f"{shard} from transaction {begin}: not the seal that a proof has seen"
        for shard, begin, *_ in sorted(wanted - found)
    }


async def balances_replay(audit: Audit, state: State) -> Finding:
    """Every balance that is kept equals the replay of the entries it stands for."""
    problems: dict[str, str] = {}
    stretch = await _new(audit, state)
    for code, posted, replayed, number, counted in await audit.rows(BOOKS, WRONG_SNAPSHOTS, stretch):
        problems[f"snapshot {code}"] = (
            f"{code}: the snapshot has {posted} in {number} entries, they are {replayed} in {counted}"
        )
    for code, posted, replayed in await audit.rows(BOOKS, WRONG_HEADERS, stretch):
        problems[f"header {code}"] = f"{code}: its header has {posted}, its entries sum to {replayed}"
    [(accounts, snapshots, headers)] = await audit.rows(BOOKS, BALANCE_COUNTS, stretch)
    looked_at = f"{accounts:,} accounts, {snapshots:,} snapshots, {headers:,} headers"
    # A snapshot is taken with a seal, so none that is to come is older than the last one.
    sealed = max((to for _, _, to, _ in await audit.rows(BOOKS, LAST_SEALS)), default=0)
    return Finding(looked_at, problems, {"since": min(sealed, stretch["until"])})


async def _new(audit: Audit, state: State) -> dict[str, int]:
    """Return the transactions that are done and not proven yet; all that are done, if nothing is."""
    since = state.get("since", 0)
    [(horizon,)] = await audit.rows(BOOKS, HORIZON)
    return {"since": since, "until": max(horizon, since)}


def _before(what: str, state: State) -> str:
    return f", {state[what]:,} of them proven before" if state.get(what) else ""
