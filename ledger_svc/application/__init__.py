"""Posts journals, closes the books, reads balances."""
