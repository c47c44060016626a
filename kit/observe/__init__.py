"""How the work is seen from outside: logs, spans, and the points at which a test may end the process."""
