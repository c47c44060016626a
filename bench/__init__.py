"""`florin bench`: the whole system on one machine under a fixed offered load, and its audit.

`plan` says what a run does, `system` is what it runs on, `run` does all of it in order. `measure` is one
window of load, sent by `load` in a process of its own; `report` and `tables` show what came of it.
"""
