"""The tables of the notification service."""
