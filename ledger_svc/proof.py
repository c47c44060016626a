"""What an auditor asks the ledger's database: what is wrong in it, and facts to compare others with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# --- The books by themselves: they sum to zero.
#
# Of what transactions in [since, until) have written; a journal and its entries are of one transaction.
# LIMIT keeps what is asked of accounts and journals a look-up: joined, all of them would be read for some
# new entries.

# Each (journal, currency) that does not sum to zero, and entries that belong to no journal.
CROOKED_JOURNALS: Final = """
SELECT e.journal_id, e.currency, e.total, e.count, j.id IS NULL
FROM (
    SELECT journal_id, txid, currency, sum(amount) AS total, count(*) AS count
    FROM entries CROSS JOIN LATERAL (SELECT currency FROM accounts WHERE id = account_id LIMIT 1) AS a
    WHERE txid >= %(since)s::text::xid8 AND txid < %(until)s::text::xid8
    GROUP BY journal_id, txid, currency
) AS e LEFT JOIN LATERAL (
    SELECT id FROM journals WHERE id = e.journal_id AND txid = e.txid LIMIT 1
) AS j ON true
WHERE e.total <> 0 OR j.id IS NULL
"""
EMPTY_JOURNALS: Final = """
SELECT j.id FROM journals j
WHERE j.txid >= %(since)s::text::xid8 AND j.txid < %(until)s::text::xid8 AND NOT EXISTS (
    SELECT FROM entries e
    WHERE e.journal_id = j.id AND e.txid >= %(since)s::text::xid8 AND e.txid < %(until)s::text::xid8)
"""
# Accounts that have entries and do not exist.
MISSING_ACCOUNTS: Final = """
SELECT account_id, count FROM (
    SELECT account_id, count(*) AS count FROM entries
    WHERE txid >= %(since)s::text::xid8 AND txid < %(until)s::text::xid8 GROUP BY account_id
) AS e LEFT JOIN LATERAL (SELECT id FROM accounts WHERE id = e.account_id LIMIT 1) AS a ON true
WHERE a.id IS NULL
"""
HALTS: Final = "SELECT id, reason FROM posting_halts WHERE lifted_at IS NULL"

# By currency: the sum and number of entries; and how many journals there are.
TOTALS: Final = """
SELECT a.currency, sum(e.total)::bigint, sum(e.count)::bigint FROM (
    SELECT account_id, sum(amount) AS total, count(*) AS count FROM entries
    WHERE txid >= %(since)s::text::xid8 AND txid < %(until)s::text::xid8 GROUP BY account_id
) AS e CROSS JOIN LATERAL (SELECT currency FROM accounts WHERE id = e.account_id LIMIT 1) AS a
GROUP BY a.currency
"""
JOURNALS_COUNT: Final = """
SELECT count(*) FROM journals WHERE txid >= %(since)s::text::xid8 AND txid < %(until)s::text::xid8
"""

# --- Nobody has changed them.

# Stretches that begin in [since, until), recomputed; the first of them is chained to the seal before it.
BROKEN_SEALS: Final = """
WITH near AS (
    SELECT near.* FROM shard_digests('0', '0') AS shards CROSS JOIN LATERAL (
        (SELECT * FROM seals WHERE seals.shard = shards.shard AND from_txid < %(since)s::text::xid8
         ORDER BY from_txid DESC LIMIT 1)
        UNION ALL
        SELECT * FROM seals WHERE seals.shard = shards.shard
            AND from_txid >= %(since)s::text::xid8 AND from_txid < %(until)s::text::xid8
    ) AS near
), chained AS (
    SELECT near.*,
        lag(hash, 1, '\\x') OVER chain AS expected_previous,
        lag(to_txid, 1, '0') OVER chain AS expected_from
    FROM near WINDOW chain AS (PARTITION BY shard ORDER BY from_txid)
), stretches AS (
    SELECT DISTINCT from_txid, to_txid FROM chained WHERE from_txid >= %(since)s::text::xid8
), recomputed AS (
    SELECT stretches.from_txid, stretches.to_txid, found.*
    FROM stretches, LATERAL shard_digests(stretches.from_txid, stretches.to_txid) AS found
)
SELECT shard, from_txid::text, CASE
        WHEN chained.hash IS NULL THEN 'a seal is missing'
        WHEN chained.from_txid <> expected_from THEN 'seals before it are missing'
        WHEN chained.previous_hash <> expected_previous THEN 'the seal before it was changed'
        WHEN chained.row_count <> recomputed.row_count
            THEN format('%%s rows were sealed, %%s are there', chained.row_count, recomputed.row_count)
        ELSE 'a row or the seal was changed'
    END
FROM recomputed LEFT JOIN chained USING (shard, from_txid, to_txid)
WHERE chained.hash IS DISTINCT FROM seal_hash(
        expected_previous, shard, expected_from, to_txid, recomputed.row_count, digest)
    OR chained.previous_hash <> expected_previous OR chained.from_txid <> expected_from
ORDER BY from_txid, shard
"""
# The next stretches from `since` on, as many as have `rows` rows together, and at least one.
STRETCHES: Final = """
SELECT from_txid::text::bigint, to_txid::text::bigint FROM (
    SELECT near.from_txid, near.to_txid, sum(rows) OVER (ORDER BY near.from_txid) - rows AS before
    FROM (
        SELECT from_txid, to_txid FROM seals WHERE shard = 'journals' AND from_txid >= %(since)s::text::xid8
        ORDER BY from_txid LIMIT 100
    ) AS near CROSS JOIN LATERAL (
        SELECT sum(row_count) AS rows FROM seals WHERE seals.from_txid = near.from_txid
            AND shard = ANY (ARRAY(SELECT shard FROM shard_digests('0', '0')))
    ) AS sealed
) AS stretch WHERE before < %(rows)s ORDER BY from_txid
"""
# The last seal of each shard, which `shard_digests` names: the key begins with it, so the last is found and
# not looked for. And those that were the last once, by shard and beginning.
LAST_SEALS: Final = """
SELECT last.* FROM shard_digests('0', '0') AS shards CROSS JOIN LATERAL (
    SELECT shard, from_txid::text::bigint, to_txid::text::bigint, encode(hash, 'hex')
    FROM seals WHERE seals.shard = shards.shard ORDER BY seals.from_txid DESC LIMIT 1
) AS last
"""
SEALS_AT: Final = """
SELECT shard, from_txid::text::bigint, to_txid::text::bigint, encode(hash, 'hex')
FROM seals JOIN unnest(%(shards)s::text[], %(since)s::text[]::xid8[]) AS wanted (shard, from_txid)
    USING (shard, from_txid)
"""

# Tables of which rows could be changed or removed.
UNGUARDED_TABLES: Final = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
    AND (c.relname IN ('journals', 'snapshots', 'seals') OR c.relname LIKE 'entries%')
    AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'append_only'
        AND t.tgenabled IN ('O', 'A'))
"""
# The worker seals every few seconds what no open transaction can add to any more. How many journals from
# transaction `sealed` on are a minute old, and how many seconds the oldest of them has been waiting, be it
# for somebody who keeps a transaction open.
UNSEALED: Final = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(recorded_at)), 0)::int FROM journals
WHERE recorded_at < now() - interval '60 seconds' AND txid >= %(sealed)s::text::xid8
"""
# How many stretches of entries that begin at `since` or later are sealed, and how many entries they hold.
SEALED_COUNTS: Final = """
SELECT count(DISTINCT from_txid), coalesce(sum(row_count), 0)::bigint FROM seals
WHERE shard = ANY (ARRAY(SELECT shard FROM shard_digests('0', '0') WHERE shard LIKE 'entries/%%'))
    AND from_txid >= %(since)s::text::xid8 AND from_txid < %(until)s::text::xid8
"""

# --- Every balance that is kept is the sum of its entries.
#
# Of accounts with entries of transactions in [since, until); `since` 0: of all that there are.

_TOUCHED: Final = """
WITH touched AS (
    SELECT id AS account_id, code FROM accounts WHERE %(since)s = 0
    UNION ALL
    SELECT account_id, code FROM (
        SELECT DISTINCT account_id FROM entries
        WHERE %(since)s > 0 AND txid >= %(since)s::text::xid8 AND txid < %(until)s::text::xid8
    ) AS moved CROSS JOIN LATERAL (SELECT code FROM accounts WHERE id = account_id LIMIT 1) AS account
)
"""
# Each snapshot is the one before it and the entries between them. Of old ones those that were taken since.
WRONG_SNAPSHOTS: Final = (
    _TOUCHED
    + """, taken AS (
    SELECT code, near.*,
        lag(horizon, 1, '0') OVER chain AS before, lag(posted, 1, 0) OVER chain AS posted_before,
        lag(entry_count, 1, 0) OVER chain AS count_before
    FROM touched CROSS JOIN LATERAL (
        (SELECT * FROM snapshots WHERE snapshots.account_id = touched.account_id
            AND horizon <= %(since)s::text::xid8 ORDER BY horizon DESC LIMIT 1)
        UNION ALL
        SELECT * FROM snapshots WHERE snapshots.account_id = touched.account_id
            AND horizon > %(since)s::text::xid8
    ) AS near WINDOW chain AS (PARTITION BY near.account_id ORDER BY near.horizon)
)
SELECT code, taken.posted, posted_before + coalesce(delta.posted, 0), taken.entry_count,
    count_before + delta.entry_count
FROM taken CROSS JOIN LATERAL (
    SELECT sum(amount)::bigint AS posted, count(*) AS entry_count FROM entries
    WHERE entries.account_id = taken.account_id AND txid >= taken.before AND txid < taken.horizon
) AS delta
WHERE horizon > %(since)s::text::xid8 AND (taken.posted <> posted_before + coalesce(delta.posted, 0)
    OR taken.entry_count <> count_before + delta.entry_count)
"""
)
# The header is the last snapshot and the entries after it.
WRONG_HEADERS: Final = (
    _TOUCHED
    + """
SELECT code, headers.posted, coalesce(last.posted, 0) + coalesce(delta.posted, 0)
FROM touched CROSS JOIN LATERAL (
        SELECT * FROM balance_headers WHERE balance_headers.account_id = touched.account_id LIMIT 1
    ) AS headers
    LEFT JOIN LATERAL (
        SELECT horizon, posted FROM snapshots
        WHERE snapshots.account_id = headers.account_id ORDER BY horizon DESC LIMIT 1
    ) AS last ON true
    CROSS JOIN LATERAL (
        SELECT sum(amount)::bigint AS posted FROM entries
        WHERE entries.account_id = headers.account_id AND txid >= coalesce(last.horizon, '0')
    ) AS delta
WHERE headers.posted <> coalesce(last.posted, 0) + coalesce(delta.posted, 0)
"""
)
# How many accounts were looked at, and how many snapshots and headers those have.
BALANCE_COUNTS: Final = (
    _TOUCHED
    + """
SELECT (SELECT count(*) FROM touched),
    (SELECT count(*) FROM snapshots JOIN touched USING (account_id) WHERE horizon > %(since)s::text::xid8),
    (SELECT count(*) FROM touched CROSS JOIN LATERAL (
        SELECT FROM balance_headers WHERE balance_headers.account_id = touched.account_id LIMIT 1
    ) AS headers)
"""
)

# --- What others are compared with.


@dataclass(frozen=True, slots=True)
class PostedJournal:
    """A journal with its lines.

    Attributes:
        txid: of the transaction that wrote it; a journal and its entries are of one.
        lines: minor units by the base of the account, which names its owner and its currency.
    """

    id: str
    kind: str
    order_id: str
    payment_id: str
    txid: int
    recorded_s: int
    lines: Mapping[str, int]


# Without their lines, which `LINES` has.
_JOURNALS: Final = """
SELECT id, kind, coalesce(order_id, ''), coalesce(payment_id, ''), txid::text::bigint,
    extract(epoch FROM recorded_at)::bigint
FROM journals
"""
JOURNALS_BY_ID: Final = _JOURNALS + "WHERE id = ANY(%(ids)s)"
# A page of those that were written before `before` and not before `since`, newest first; after `after` in it.
# By the column and not by what is selected under its name, which no index knows.
JOURNALS_BEFORE: Final = (
    _JOURNALS
    + """
WHERE txid >= %(since)s::text::xid8 AND (txid, id) < (%(before)s::text::xid8, %(after)s)
ORDER BY journals.txid DESC, journals.id DESC LIMIT %(page)s
"""
)
# Of the journals `ids`, written by the transactions `txids`: by account, what stands there.
LINES: Final = """
SELECT e.journal_id, a.base, sum(e.amount)::bigint
FROM entries e JOIN accounts a ON a.id = e.account_id
WHERE e.txid = ANY(%(txids)s::text[]::xid8[]) AND e.journal_id = ANY(%(ids)s)
GROUP BY e.journal_id, a.base
"""

# Nothing can be added below it any more: no transaction below it is open.
HORIZON: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
NOW: Final = "SELECT extract(epoch FROM now())::bigint"
