"""The rules of stock, without any store."""
