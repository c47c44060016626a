"""A provider that is Stripe to its callers.

`objects` is what there is and how it looks, `requests` how a call is read, `payments` what it does;
`endpoints` names them all and `provider` executes them.
"""
