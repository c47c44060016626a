"""The rules of stock; imports nothing from the outside world."""
