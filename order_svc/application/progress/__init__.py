"""Following orders to their end, and telling those who watch."""
