"""Taking checkouts in: admission, prices, orders."""
