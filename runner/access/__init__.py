"""Ways into the running system: tokens for its edge, clients that have one, an auditor's look at its data."""
