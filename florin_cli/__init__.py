"""The `florin` command: starts, watches and questions a whole Florin system."""
