"""What an auditor asks any service's database about its events: what is on its way, what was given up.

Values are given by name; times are in seconds of the database's clock.
"""

from __future__ import annotations

from typing import Final

# Events that not all of their consumers have confirmed within `open_s`, and by whom each is not.
STUCK_EVENTS: Final = """
SELECT event_id, type, coalesce(consumer, 'somebody'), coalesce(sends, 1), parked_at IS NOT NULL,
    extract(epoch FROM now() - created_at)::int
FROM outbox LEFT JOIN resends USING (event_id)
WHERE created_at < now() - make_interval(secs => %(open_s)s)
"""
UNCONFIRMED_COUNT: Final = "SELECT count(*) FROM outbox"

# Events that could not be handled, and that nobody has decided on.
OPEN_LETTERS: Final = (
    "SELECT id, consumer, type, aggregate, error FROM dead_letters WHERE acknowledged_at IS NULL"
)
LETTERS_COUNT: Final = "SELECT count(*) FROM dead_letters"
