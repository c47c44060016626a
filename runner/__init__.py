"""Starts every process of the system in order, keeps it running, and tells the truth about it."""
