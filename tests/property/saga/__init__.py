"""The whole checkout in one process: the services' own rules, an unkind bus, and an unkind PSP."""
