"""What is there of it, and who gets it."""
