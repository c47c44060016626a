"""The tables of the inventory service."""
