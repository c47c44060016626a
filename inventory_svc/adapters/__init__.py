"""What the use cases need, on Postgres."""
