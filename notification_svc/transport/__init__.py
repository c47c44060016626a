"""Events in, RPCs in; no decisions."""
