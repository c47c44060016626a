"""What people see in a terminal, and programs read from one."""
