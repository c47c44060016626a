"""Use cases of the inventory service, one file each."""
