"""What the order service does: place orders, advance them, and tell about them."""
