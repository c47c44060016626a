"""Accounts, journals and what is posted when. Imports nothing from the outside world."""
