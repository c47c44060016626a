"""A payment service provider that speaks Stripe's wire protocol, for development and tests.

The real `stripe` library talks to it and to Stripe alike: only the base address differs. Its
test payment methods have Stripe's names and outcomes; further ones produce the faults that a
checkout has to survive. See docs/reference/psp-simulator.md.

What any provider is built of is in `http`, `control`, `memory` and `webhooks`; Stripe's side is `stripe`.
"""
