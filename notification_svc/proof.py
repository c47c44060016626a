"""What an auditor asks the notifications' database: what is wrong in it.

Values are given by name; times are in seconds of the database's clock.
"""

from __future__ import annotations

from typing import Final

# Messages that nobody has tried to send for `open_s` after their time; one whose mail server is away is due
# again later, and not among them.
STUCK_DELIVERIES: Final = """
SELECT id, order_id, template, attempts, last_error, extract(epoch FROM now() - due_at)::int
FROM deliveries WHERE status = 'PENDING' AND due_at < now() - make_interval(secs => %(open_s)s)
"""

# Messages that are still to be sent.
PENDING_COUNT: Final = "SELECT count(*) FROM deliveries WHERE status = 'PENDING'"
