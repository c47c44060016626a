"""Settings of a system that is nobody else's: a demo's, a benchmark's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from runner.settings import Settings

# The user's own stores and mail server have no use for thousands of made-up orders.
_REACHES_BEYOND: Final[Mapping[str, Any]] = {
    "postgres_url": None,
    "pgbouncer": None,
    "nats_url": None,
    "nats_replicas": 1,
    "nats_credentials_file": None,
    "nats_nkey_file": None,
    "nats_ca_file": None,
    "nats_certificate_file": None,
    "nats_key_file": None,
    "redis_url": None,
    "mailbox_dir": None,
    "smtp_url": "",
}


def isolated(base: Settings, **own: Any) -> Settings:
    """The user's settings with some of its `own`, and without what would reach beyond such a system."""
    return base.model_copy(update={**_REACHES_BEYOND, **own})
