"""The benchmark: the whole system on one machine under a fixed offered load, and its audit."""
