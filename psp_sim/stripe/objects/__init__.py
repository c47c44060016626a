"""Stripe's objects: the rows that are remembered, and the JSON that is made of them."""
