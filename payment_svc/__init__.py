"""Moves money through PSPs, and knows at every moment what became of it."""
