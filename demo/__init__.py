"""`florin demo`: a whole system of its own, a mixed set of checkouts, and the proof.

`scenarios` promises, `products` is what can be bought, `system` is what it runs on. `run` does all of it in
order, with the `buyers`; `results` is what came of it and whether the promises held, `report` shows it.
"""
