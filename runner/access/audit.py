"""The evidence of the system that runs on this machine."""

from __future__ import annotations

from payment_svc.adapters.stripe.listing import StripeListing
from proof.audit import Audit
from proof.memory import Memory
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


def memory_of(settings: Settings) -> Memory:
    """What the proofs of this system remember, beside its data and out of its services' reach."""
    return Memory(settings.data_dir / "proof")
