"""The life of a service process and what its environment tells it."""
