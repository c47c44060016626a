"""The tables of the payment service."""
