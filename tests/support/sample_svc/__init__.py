"""The smallest service: the messaging tables and one table of effects. For tests of the kit itself."""
