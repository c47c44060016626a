"""The money proof of a running system, for the end of every module that has moved money."""

from __future__ import annotations

import asyncio

from proof import prove
from runner.access.audit import audit_of
from runner.testing import System


def must_be_proven(system: System) -> None:
    """`florin prove` finds every cent and every unit where it should be."""
    proof = asyncio.run(prove(audit_of(system.settings)))
    failed = [f"{check.name}: {check.detail}" for check in proof.checks if not check.ok]
    assert proof.ok, "\n".join(failed)
