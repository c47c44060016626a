"""Tells buyers what became of their orders, and remembers what it told whom. Blocks nobody."""
