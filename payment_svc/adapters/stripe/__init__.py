"""Stripe, or the simulator that speaks its protocol."""
