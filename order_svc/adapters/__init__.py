"""Where the order service meets Postgres and the inventory service."""
