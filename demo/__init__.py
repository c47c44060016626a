"""`florin demo`: a whole system of its own, a mixed set of checkouts, and the proof.

`scenarios` promises, `stage` is the system they run on, `play` runs them, `telling` does all of it in
order, `story` is what was seen and whether the promises held, `report` shows it.
"""
