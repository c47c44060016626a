"""What the order service does by itself, and how often."""

from __future__ import annotations

from typing import Final

from kit.values.schedule import Schedule

# What other replicas have accepted may be known this late; its own orders a process counts by itself.
COUNT_OPEN_ORDERS: Final = Schedule("orders.count_open", every_s=1.0)

# Changes that another replica made are told to watchers at this interval.
TELL_WATCHERS: Final = Schedule("orders.tell_watchers", every_s=1.0)
