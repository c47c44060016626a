"""Payments, their moves and their fees. Imports nothing from the outside world."""
