"""What an auditor asks any service's database about its tables."""

from __future__ import annotations

from typing import Final

# Tables that are partitioned by time, and the first day of a partition that should be there by now: they are
# made a week ahead, so whoever finds this has days left.
MISSING_PARTITIONS: Final = """
SELECT name, to_char(since, 'YYYY-MM-DD')
FROM retention, LATERAL (SELECT date_bin(make_interval(days => partition_days),
    now() + interval '3 days', timestamptz 'epoch') AT TIME ZONE 'UTC' AS since) AS expected
WHERE partition_days IS NOT NULL AND NOT EXISTS (
    SELECT FROM pg_inherits WHERE inhparent = to_regclass(quote_ident(name))
        AND inhrelid = to_regclass(quote_ident(name || to_char(since, '_YYYYMMDD'))))
"""
