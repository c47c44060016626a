"""The ledger by itself: it sums to zero, nobody has changed it, and its balances are its entries."""

from __future__ import annotations

from ledger_svc.proof import (
    BALANCE_COUNTS,
    BROKEN_SEALS,
    CROOKED_JOURNALS,
    EMPTY_JOURNALS,
    HALTS,
    MISSING_ACCOUNTS,
    SEALED_COUNTS,
    TOTALS,
    UNGUARDED_TABLES,
    UNSEALED,
    WRONG_HEADERS,
    WRONG_SNAPSHOTS,
)
from proof.audit import BOOKS, Audit
from proof.verdict import Finding


async def ledger_zero_sum(audit: Audit) -> Finding:
    """Every journal sums to zero in each of its currencies, and so does everything."""
    problems: dict[str, str] = {}
    for journal, currency, total, count, is_orphan in await audit.rows(BOOKS, CROOKED_JOURNALS):
        what = f"{count} entries without a journal" if is_orphan else f"is off by {total} {currency}"
        problems[f"{journal} {currency}"] = f"{journal} {what}"
    for (journal,) in await audit.rows(BOOKS, EMPTY_JOURNALS):
        problems[f"{journal} empty"] = f"{journal} has no entries"
    for account_id, count in await audit.rows(BOOKS, MISSING_ACCOUNTS):
        problems[f"account {account_id}"] = f"{count} entries of account {account_id}, which does not exist"
    for halt, reason in await audit.rows(BOOKS, HALTS):
        problems[f"halt {halt}"] = f"posting is halted: {reason}"
    totals = await audit.rows(BOOKS, TOTALS)
    for currency, total, _, _ in totals:
        if total:
            problems[f"total {currency}"] = f"everything together is off by {total} {currency}"
    journals = totals[0][3] if totals else 0
    entries = sum(row[2] for row in totals)
    currencies = ", ".join(sorted(row[0] for row in totals)) or "none"
    return Finding(f"{journals:,} journals with {entries:,} entries in {currencies}", problems)


async def ledger_append_only(audit: Audit) -> Finding:
    """No row was changed, removed or slipped in since it was sealed, and everything is sealed soon."""
    problems = {
        f"{shard} {since}": f"{shard} from transaction {since}: {problem}"
        for shard, since, problem in await audit.rows(BOOKS, BROKEN_SEALS)
    }
    for (table,) in await audit.rows(BOOKS, UNGUARDED_TABLES):
        problems[f"trigger {table}"] = f"nothing refuses changes of {table}: its trigger is missing or off"
    [(unsealed, waiting_s)] = await audit.rows(BOOKS, UNSEALED)
    if unsealed:
        problems["unsealed"] = (
            f"{unsealed:,} journals older than a minute are not sealed, the oldest for {waiting_s} s"
        )
    [(stretches, entries)] = await audit.rows(BOOKS, SEALED_COUNTS)
    return Finding(f"{entries:,} entries sealed in {stretches:,} stretches", problems)


async def balances_replay(audit: Audit) -> Finding:
    """Every balance that is kept equals the replay of the entries it stands for."""
    problems: dict[str, str] = {}
    for code, posted, replayed, number, counted in await audit.rows(BOOKS, WRONG_SNAPSHOTS):
        problems[f"snapshot {code}"] = (
            f"{code}: the snapshot has {posted} in {number} entries, they are {replayed} in {counted}"
        )
    for code, posted, replayed in await audit.rows(BOOKS, WRONG_HEADERS):
        problems[f"header {code}"] = f"{code}: its header has {posted}, its entries sum to {replayed}"
    [(accounts, snapshots, headers)] = await audit.rows(BOOKS, BALANCE_COUNTS)
    looked_at = f"{accounts:,} accounts, {snapshots:,} snapshots, {headers:,} headers"
    return Finding(looked_at, problems)
