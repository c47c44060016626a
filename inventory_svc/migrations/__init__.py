"""The database of the inventory service."""
