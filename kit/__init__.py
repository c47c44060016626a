"""What at least two of Florin's services need: batches, outbox, inbox, bus, idempotency, errors, telemetry.

Nothing here knows what an order or a payment is.
"""
