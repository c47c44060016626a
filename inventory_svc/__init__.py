"""Products, prices and stock: what an order may take is held for it, sold, or given back."""
