"""Orders, prices and taxes. Imports nothing from the outside world."""
