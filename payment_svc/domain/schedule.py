"""What the payment service does by itself, and when."""

from __future__ import annotations

from typing import Final

from kit.values.schedule import Schedule

# How soon it is noticed that a payment is due to be looked up; each has its own time.
LOOK_UP_DUE: Final = Schedule("payments.look_up", every_s=0.5)
