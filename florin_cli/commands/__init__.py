"""One module per command; each exposes `app`, a `typer.Typer`.

An `app` without a name puts its commands at the top level (`florin up`); one with a name becomes
a group (`florin dlq list`). A new file here is a new command: there is nothing else to register. A room
that is more than its command, as the benchmark is, has it with it and names it in `pyproject.toml`.
"""
