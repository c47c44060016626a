"""The protos as Envoy and the route generator read them, taken from the generated Python modules.

No compiler is needed at run time, and the edge cannot disagree with the stubs about the contract.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from florin.common.v1 import options_pb2
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.rpc import error_details_pb2, status_pb2

from kit.runtime.roster import Context
from roster import ROSTER


def service_files(contexts: Iterable[Context]) -> dict[str, FileDescriptor]:
    """Return which protos each context serves, by its package; one that only listens has none."""
    return {
        context.package: import_module(context.service_protos).DESCRIPTOR
        for context in contexts
        if find_spec(context.service_protos)
    }


SERVICE_FILES: Final = service_files(ROSTER)

# What error answers are made of. They travel packed inside a trailer, so no RPC names them, and
# without them Envoy cannot print the error and leaves the body out.
ERROR_FILES: Final[tuple[FileDescriptor, ...]] = (
    status_pb2.DESCRIPTOR,
    error_details_pb2.DESCRIPTOR,
)


@dataclass(frozen=True, slots=True)
class Binding:
    """One way to call an RPC over REST."""

    http_method: str
    path_template: str


@dataclass(frozen=True, slots=True)
class PublicRpc:
    """An RPC that callers outside may reach."""

    cluster: str
    service: str
    name: str
    bindings: tuple[Binding, ...]
    needs_token: bool
    # Whether buyers change something by it: what a crowd does, and may be asked to do later.
    is_for_crowds: bool
    is_stream: bool

    @property
    def grpc_path(self) -> str:
        """The path that gRPC and gRPC-Web callers use."""
        return f"/{self.service}/{self.name}"


def public_rpcs() -> tuple[PublicRpc, ...]:
    """Every RPC with a `google.api.http` rule, in the order of the protos; the rest is internal."""
    return tuple(
        _public_rpc(ROSTER[package].process, service, method)
        for package, file in SERVICE_FILES.items()
        for service in file.services_by_name.values()
        for method in service.methods
        if method.GetOptions().HasExtension(annotations_pb2.http)
    )


def descriptor_set() -> FileDescriptorSet:
    """The files of all services and of error answers, each after the files it imports."""
    files: dict[str, FileDescriptorProto] = {}
    for file in (*SERVICE_FILES.values(), *ERROR_FILES):
        for needed in _with_imports(file):
            files.setdefault(needed.name, FileDescriptorProto.FromString(needed.serialized_pb))
    return FileDescriptorSet(file=files.values())


def _with_imports(file: FileDescriptor) -> Iterator[FileDescriptor]:
    for needed in file.dependencies:
        yield from _with_imports(needed)
    yield file


def _public_rpc(cluster: str, service: ServiceDescriptor, method: MethodDescriptor) -> PublicRpc:
    options = method.GetOptions()
    rule: http_pb2.HttpRule = options.Extensions[annotations_pb2.http]
    access = options.Extensions[options_pb2.access]
    bindings = tuple(_bindings((rule, *rule.additional_bindings)))
    return PublicRpc(
        cluster=cluster,
        service=service.full_name,
        name=method.name,
        bindings=bindings,
        needs_token=bool(access.roles),
        is_for_crowds=access.mutation and options_pb2.BUYER in access.roles,
        is_stream=method.server_streaming,
    )


def _bindings(rules: Iterable[http_pb2.HttpRule]) -> Iterator[Binding]:
    for rule in rules:
        kind = rule.WhichOneof("pattern")
        if kind is None:
            raise ValueError(f"a google.api.http rule without a path: {rule}")
        if kind == "custom":
            yield Binding(rule.custom.kind, rule.custom.path)
        else:
            yield Binding(kind.upper(), getattr(rule, kind))
