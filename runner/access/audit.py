"""The evidence of the system that runs on this machine."""

from __future__ import annotations

from proof.audit import Audit
from runner import postgres, secrets
from runner.settings import Settings


def audit_of(settings: Settings) -> Audit:
    """The evidence of the system that these settings describe."""
    keys = secrets.load(settings)
    return Audit(
        database_url=lambda name: postgres.url(settings, keys, role=secrets.AUDITOR, database=name),
        psp_base_url=f"http://{settings.local_host}:{settings.psp_sim_port}",
        psp_api_key=keys.psp_api_key,
    )
