"""Finding out about payments without an answer."""
