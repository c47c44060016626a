"""Names that are in no code of ours, each with the reason why prose may use it all the same."""

from typing import Final

_PROGRAM: Final = "a program of somebody else"
_LINUX: Final = "a word of Linux"
_NATS: Final = "a word of NATS"
_PGBOUNCER: Final = "a word of PgBouncer"
_EXAMPLE: Final = "invented, to show a form"
_GRAMMAR: Final = "stands for any name of this form"

EXCEPTIONS: Final[dict[str, str]] = {
    ".venv/bin": "made by `make env`",
    ".venv/bin/florin": "made by `make env`",
    ".build/bin/jaeger": "made by `make jaeger`",
    "curl": _PROGRAM,
    "grep": _PROGRAM,
    "pre-commit": _PROGRAM,
    "psql": _PROGRAM,
    "top": _PROGRAM,
    "sudo": _PROGRAM,
    "useradd": _PROGRAM,
    "CAP_DAC_OVERRIDE": _LINUX,
    "CAP_DAC_READ_SEARCH": _LINUX,
    "CAP_SETPCAP": _LINUX,
    "CAP_SYS_ADMIN": _LINUX,
    "/root": _LINUX,
    "TIME_WAIT": _LINUX,
    "net.ipv4.ip_local_port_range": _LINUX,
    "net.ipv4.ip_local_reserved_ports": _LINUX,
    "sslmode": "a parameter of Postgres",
    "synchronous_standby_names": "a setting of Postgres",
    "pool_mode": _PGBOUNCER,
    "auth_file": _PGBOUNCER,
    "auth_query": _PGBOUNCER,
    "nsc": _PROGRAM,
    "creds": _NATS,
    ".creds": _NATS,
    "AckWait": _NATS,
    "nak": _NATS,
    "descriptor.proto": "protobuf's own",
    "x-forwarded-for": "a header that others send",
    "x_florin_role": "a header that others might send",
    "xdist_group": "a mark of pytest-xdist, used in tests only",
    "/package.Service/Method": _GRAMMAR,
    "BIN_FOLDER": _GRAMMAR,
    "CCY": _GRAMMAR,
    "noun.verbed": _GRAMMAR,
    "noun.verb": _GRAMMAR,
    "<mailbox>/2025-01-31/13-05/dlv_….eml": _EXAMPLE,
    "/v1/orders/x:typo": _EXAMPLE,
    "x:typo": _EXAMPLE,
    "order/ord_…": _EXAMPLE,
    "order/ord_01…": _EXAMPLE,
    "stock.committed": "what was called stock.sold before, in the notes of the revisions that rename it",
    "buyer:ada": _EXAMPLE,
    "stocktaking": _EXAMPLE,
}
