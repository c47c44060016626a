"""The ledger by itself: it sums to zero, nobody has changed it, and its balances are its entries."""

from __future__ import annotations

from typing import Final

from proof.audit import BOOKS, Audit
from proof.verdict import Finding

# Each (journal, currency) that does not sum to zero, and entries that belong to no journal.
_CROOKED: Final = """
SELECT e.journal_id, a.currency, sum(e.amount), count(*), j.id IS NULL
FROM entries e JOIN accounts a ON a.id = e.account_id LEFT JOIN journals j ON j.id = e.journal_id
GROUP BY e.journal_id, a.currency, j.id
HAVING sum(e.amount) <> 0 OR j.id IS NULL
"""
_EMPTY: Final = """
SELECT j.id FROM journals j WHERE NOT EXISTS (SELECT FROM entries e WHERE e.journal_id = j.id)
"""
_ORPHANS: Final = """
SELECT e.account_id, count(*) FROM entries e LEFT JOIN accounts a ON a.id = e.account_id
WHERE a.id IS NULL GROUP BY e.account_id
"""
_TOTALS: Final = """
SELECT a.currency, sum(e.amount), count(*), (SELECT count(*) FROM journals)
FROM entries e JOIN accounts a ON a.id = e.account_id GROUP BY a.currency
"""
_HALTS: Final = "SELECT id, reason FROM posting_halts WHERE lifted_at IS NULL"

_BROKEN_SEALS: Final = "SELECT shard, from_txid::text, problem FROM verify_seals()"
# The worker seals every few seconds what no open transaction can add to any more; of that, what is a minute
# old and not sealed has been left out.
_UNSEALED: Final = """
SELECT count(*) FROM journals
WHERE recorded_at < now() - interval '60 seconds' AND txid < pg_snapshot_xmin(pg_current_snapshot())
    AND txid >= coalesce(
        (SELECT to_txid FROM seals WHERE shard = 'journals' ORDER BY from_txid DESC LIMIT 1), '0')
"""
_UNGUARDED: Final = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
    AND (c.relname IN ('journals', 'snapshots', 'seals') OR c.relname LIKE 'entries%')
    AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'append_only'
        AND t.tgenabled IN ('O', 'A'))
"""
_SEALED: Final = """
SELECT count(DISTINCT from_txid), coalesce(sum(row_count), 0)::bigint FROM seals WHERE shard LIKE 'entries/%'
"""

_WRONG_SNAPSHOTS: Final = """
WITH last AS (
    SELECT DISTINCT ON (account_id) account_id, horizon, posted, entry_count
    FROM snapshots ORDER BY account_id, horizon DESC
)
SELECT a.code, last.posted, sum(e.amount) FILTER (WHERE e.txid < last.horizon),
    last.entry_count, count(e.seq) FILTER (WHERE e.txid < last.horizon)
FROM last JOIN accounts a ON a.id = last.account_id LEFT JOIN entries e ON e.account_id = last.account_id
GROUP BY a.code, last.posted, last.entry_count
HAVING last.posted IS DISTINCT FROM sum(e.amount) FILTER (WHERE e.txid < last.horizon)
    OR last.entry_count <> count(e.seq) FILTER (WHERE e.txid < last.horizon)
"""
_WRONG_HEADERS: Final = """
SELECT a.code, h.posted, coalesce(sum(e.amount), 0)
FROM balance_headers h JOIN accounts a ON a.id = h.account_id
    LEFT JOIN entries e ON e.account_id = h.account_id
GROUP BY a.code, h.posted HAVING h.posted <> coalesce(sum(e.amount), 0)
"""
_COUNTS: Final = """
SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM snapshots),
    (SELECT count(*) FROM balance_headers)
"""


async def ledger_zero_sum(audit: Audit) -> Finding:
    """Every journal sums to zero in each of its currencies, and so does everything."""
    problems: dict[str, str] = {}
    for journal, currency, total, count, is_orphan in await audit.rows(BOOKS, _CROOKED):
        what = f"{count} entries without a journal" if is_orphan else f"is off by {total} {currency}"
        problems[f"{journal} {currency}"] = f"{journal} {what}"
    for (journal,) in await audit.rows(BOOKS, _EMPTY):
        problems[f"{journal} empty"] = f"{journal} has no entries"
    for account_id, count in await audit.rows(BOOKS, _ORPHANS):
        problems[f"account {account_id}"] = f"{count} entries of account {account_id}, which does not exist"
    for halt, reason in await audit.rows(BOOKS, _HALTS):
        problems[f"halt {halt}"] = f"posting is halted: {reason}"
    totals = await audit.rows(BOOKS, _TOTALS)
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
        for shard, since, problem in await audit.rows(BOOKS, _BROKEN_SEALS)
    }
    for (table,) in await audit.rows(BOOKS, _UNGUARDED):
        problems[f"trigger {table}"] = f"nothing refuses changes of {table}: its trigger is missing or off"
    [(unsealed,)] = await audit.rows(BOOKS, _UNSEALED)
    if unsealed:
        problems["unsealed"] = f"{unsealed:,} journals older than a minute are not sealed"
    [(stretches, entries)] = await audit.rows(BOOKS, _SEALED)
    return Finding(f"{entries:,} entries sealed in {stretches:,} stretches", problems)


async def balances_replay(audit: Audit) -> Finding:
    """Every balance that is kept equals the replay of the entries it stands for."""
    problems: dict[str, str] = {}
    for code, posted, replayed, number, counted in await audit.rows(BOOKS, _WRONG_SNAPSHOTS):
        problems[f"snapshot {code}"] = (
            f"{code}: the snapshot has {posted} in {number} entries, they are {replayed} in {counted}"
        )
    for code, posted, replayed in await audit.rows(BOOKS, _WRONG_HEADERS):
        problems[f"header {code}"] = f"{code}: its header has {posted}, its entries sum to {replayed}"
    [(accounts, snapshots, headers)] = await audit.rows(BOOKS, _COUNTS)
    looked_at = f"{accounts:,} accounts, {snapshots:,} snapshots, {headers:,} headers"
    return Finding(looked_at, problems)
