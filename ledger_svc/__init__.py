"""Keeps the books: double entry, append only, sealed; and knows what stands on every account."""
