"""What a simulated provider remembers with: rows in memory, and the file that outlives the process."""
