"""A PSP's word, whichever way it came."""
