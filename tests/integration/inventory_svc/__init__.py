"""The inventory service on a real Postgres."""
