"""gRPC servers as Florin runs them: one pipeline around every call, health, reflection, clean shutdown."""

from kit.rpc.call import Call, Principal, Role, current_call
from kit.rpc.server import Server, Servicer

__all__ = ["Call", "Principal", "Role", "Server", "Servicer", "current_call"]
