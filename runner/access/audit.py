"""The evidence of the system that runs on this machine."""

from __future__ import annotations

from payment_svc.adapters.stripe.listing import StripeListing
from proof.audit import Audit
from runner import postgres, secrets
from runner.settings import Settings


def audit_of(settings: Settings) -> Audit:
    """The evidence of the system that these settings describe."""
    keys = secrets.load(settings)
    return Audit(
        database_url=lambda name: postgres.url(settings, keys, role=secrets.AUDITOR, database=name),
        psp=StripeListing(
            api_key=keys.psp_api_key, base_url=f"http://{settings.local_host}:{settings.psp_sim_port}"
        ),
    )
