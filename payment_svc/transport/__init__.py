"""How the payment service is called and what it listens to."""
