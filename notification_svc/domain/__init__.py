"""What a delivery is, what it may become, and what it says. Pure."""
