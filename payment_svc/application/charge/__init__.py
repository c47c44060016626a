"""Charging: on record first, then at the PSP."""
