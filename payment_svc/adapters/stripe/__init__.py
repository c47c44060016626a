"""Stripe, or the simulator that speaks its protocol: all that we know of it is in here."""
