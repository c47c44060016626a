"""Takes checkouts, prices them, and knows what became of each order."""
