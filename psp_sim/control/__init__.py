"""What tests and operators do to a simulated provider: its `/_sim/` endpoints, its behaviour, its faults."""
