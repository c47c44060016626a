"""Events: stored with their effect, sent until confirmed, acted on once."""
