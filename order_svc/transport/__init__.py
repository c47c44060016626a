"""How the order service is called and what it listens to."""
