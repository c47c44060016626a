"""What the protos say about a method: who may call it and whether it changes anything."""

from __future__ import annotations

from dataclasses import dataclass

from florin.common.v1 import options_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default

from kit.rpc.call import Role


@dataclass(frozen=True, slots=True)
class MethodContract:
    """Attributes: roles that may call (empty: anyone), and whether an idempotency key is required."""

    roles: frozenset[Role]
    mutation: bool
    has_request_id: bool


def contract_of(method: str) -> MethodContract | None:
    """Return the contract of `/package.Service/Method`; None for methods that are not Florin's (health)."""
    _, service_name, method_name = method.split("/")
    if not service_name.startswith("florin."):
        return None
    service = Default().FindServiceByName(service_name)
    descriptor: MethodDescriptor = service.methods_by_name[method_name]
    access = descriptor.GetOptions().Extensions[options_pb2.access]
    return MethodContract(
        roles=frozenset(Role[options_pb2.Role.Name(role)] for role in access.roles),
        mutation=access.mutation,
        has_request_id="request_id" in descriptor.input_type.fields_by_name,
    )
