"""Postgres, the mailbox folder and SMTP."""
