"""The money proof: what must hold of every cent and every unit, looked up in what is stored.

It reads and never writes, works while the system is under load, and trusts no service: the databases and
the PSP's own list are compared with each other. What can be asked of one context's tables is in that
context's `proof.py`; comparison and verdict are here.
"""

from payment_svc.proof import Money
from proof.agreement import CATCH_UP_S
from proof.audit import Audit
from proof.checks import CHECKS, prove
from proof.memory import Memory
from proof.verdict import Check, Proof

__all__ = ["CATCH_UP_S", "CHECKS", "Audit", "Check", "Memory", "Money", "Proof", "prove"]
