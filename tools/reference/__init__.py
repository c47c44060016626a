"""The reference pages, each rendered from the code or contract that it is about."""
