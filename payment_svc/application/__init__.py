"""What the payment service does: charge, take facts from PSPs, find out what is unknown."""
