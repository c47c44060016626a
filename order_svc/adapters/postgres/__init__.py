"""The tables of the order service."""
