"""How calls are read: keys, forms, searches, pages, expansions."""
