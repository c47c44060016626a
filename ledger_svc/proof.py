"""What an auditor asks the ledger's database: what is wrong in it, and facts to compare others with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# --- The books by themselves: they sum to zero.

# Each (journal, currency) that does not sum to zero, and entries that belong to no journal.
CROOKED_JOURNALS: Final = """
SELECT e.journal_id, a.currency, sum(e.amount), count(*), j.id IS NULL
FROM entries e JOIN accounts a ON a.id = e.account_id LEFT JOIN journals j ON j.id = e.journal_id
GROUP BY e.journal_id, a.currency, j.id
HAVING sum(e.amount) <> 0 OR j.id IS NULL
"""
EMPTY_JOURNALS: Final = """
SELECT j.id FROM journals j WHERE NOT EXISTS (SELECT FROM entries e WHERE e.journal_id = j.id)
"""
# Accounts that have entries and do not exist.
MISSING_ACCOUNTS: Final = """
SELECT e.account_id, count(*) FROM entries e LEFT JOIN accounts a ON a.id = e.account_id
WHERE a.id IS NULL GROUP BY e.account_id
"""
HALTS: Final = "SELECT id, reason FROM posting_halts WHERE lifted_at IS NULL"

# By currency: the sum and number of all entries; and beside each the number of all journals.
TOTALS: Final = """
SELECT a.currency, sum(e.amount), count(*), (SELECT count(*) FROM journals)
FROM entries e JOIN accounts a ON a.id = e.account_id GROUP BY a.currency
"""

# --- Nobody has changed them.

BROKEN_SEALS: Final = "SELECT shard, from_txid::text, problem FROM verify_seals()"

# Tables of which rows could be changed or removed.
UNGUARDED_TABLES: Final = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
    AND (c.relname IN ('journals', 'snapshots', 'seals') OR c.relname LIKE 'entries%')
    AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'append_only'
        AND t.tgenabled IN ('O', 'A'))
"""
# The worker seals every few seconds what no open transaction can add to any more. How many journals that are
# a minute old have no seal, and how many seconds the oldest of them has been waiting, be it for somebody who
# keeps a transaction open.
UNSEALED: Final = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(recorded_at)), 0)::int FROM journals
WHERE recorded_at < now() - interval '60 seconds' AND txid >= coalesce(
    (SELECT to_txid FROM seals WHERE shard = 'journals' ORDER BY from_txid DESC LIMIT 1), '0')
"""
# How many stretches of entries are sealed, and how many entries they hold.
SEALED_COUNTS: Final = """
SELECT count(DISTINCT from_txid), coalesce(sum(row_count), 0)::bigint FROM seals WHERE shard LIKE 'entries/%'
"""

# --- Every balance that is kept is the sum of its entries.

WRONG_SNAPSHOTS: Final = """
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
WRONG_HEADERS: Final = """
SELECT a.code, h.posted, coalesce(sum(e.amount), 0)
FROM balance_headers h JOIN accounts a ON a.id = h.account_id
    LEFT JOIN entries e ON e.account_id = h.account_id
GROUP BY a.code, h.posted HAVING h.posted <> coalesce(sum(e.amount), 0)
"""
# How many accounts, snapshots and headers there are.
BALANCE_COUNTS: Final = """
SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM snapshots),
    (SELECT count(*) FROM balance_headers)
"""

# --- What others are compared with.


@dataclass(frozen=True, slots=True)
class CaptureJournal:
    """A row of `CAPTURE_JOURNALS`."""

    order_id: str | None
    id: str
    payment_id: str
    # Minor units by the base of the account, which names its owner and its currency.
    lines: Mapping[str, int]


CAPTURE_JOURNALS: Final = """
SELECT order_id, id, payment_id, jsonb_object_agg(base, amount)
FROM (
    SELECT j.order_id, j.id, j.payment_id, a.base, sum(e.amount)::bigint AS amount
    FROM journals j JOIN entries e ON e.journal_id = j.id JOIN accounts a ON a.id = e.account_id
    WHERE j.kind = 'payment.captured' GROUP BY j.id, a.base
) AS line
GROUP BY order_id, id, payment_id
"""
