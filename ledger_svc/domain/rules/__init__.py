"""Posting rules, one file each: what is posted when something happens."""
