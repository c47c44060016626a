"""The compiled protos with their comments, as `tools/generate.py` leaves them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Imported for what they register: without them the options of methods and messages are unknown bytes.
from florin.common.v1 import options_pb2
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

IMAGE: Final = Path(__file__).resolve().parents[2] / ".build" / "florin.binpb"

# Field numbers in descriptor.proto, which are what paths of comments are made of.
_MESSAGE: Final = 4
_ENUM: Final = 5
_SERVICE: Final = 6
_NESTED_FIELD: Final = 2
_NESTED_MESSAGE: Final = 3
_NESTED_ENUM: Final = 4
_VALUE: Final = 2
_METHOD: Final = 2

Path_ = tuple[int, ...]
Field = FieldDescriptorProto

_LABELS: Final = {
    Field.TYPE_INT32: "int32",
    Field.TYPE_INT64: "int64",
    Field.TYPE_BOOL: "bool",
    Field.TYPE_STRING: "string",
    Field.TYPE_BYTES: "bytes",
}


@dataclass(frozen=True, slots=True)
class Commented:
    """A name with its comment."""

    name: str
    comment: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A message or enum; `fields` are an enum's values."""

    full_name: str
    comment: str
    fields: tuple[Commented, ...]
    is_enum: bool
    event: options_pb2.Event | None = None

    @property
    def name(self) -> str:
        """Without its package: `Order.Status`."""
        return short(self.full_name)


@dataclass(frozen=True, slots=True)
class Rpc:
    """One RPC with what its options say."""

    name: str
    comment: str
    request: str
    response: str
    streams: bool
    http: tuple[str, ...]
    access: options_pb2.Access | None


@dataclass(frozen=True, slots=True)
class Service:
    """One gRPC service."""

    full_name: str
    comment: str
    rpcs: tuple[Rpc, ...]


class ProtoFile:
    """One of our proto files, with the comments of everything in it."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments: dict[Path_, str] = {
            tuple(location.path): _text(location.leading_comments)
            for location in file.source_code_info.location
        }

    @property
    def package(self) -> str:
        """E.g. `florin.order.v1`."""
        return self._file.package

    @property
    def module(self) -> str:
        """The generated Python module, e.g. `florin.order.v1.order_events_pb2`."""
        return self._file.name.removesuffix(".proto").replace("/", ".") + "_pb2"

    def services(self) -> Iterator[Service]:
        """Yield the services in the order of the file."""
        for index, service in enumerate(self._file.service):
            path = (_SERVICE, index)
            yield Service(f"{self.package}.{service.name}", self._comment(path), self._rpcs(service, path))

    def messages(self) -> Iterator[Message]:
        """Yield messages and enums, each followed by those that are nested in it."""
        for index, enum in enumerate(self._file.enum_type):
            yield self._enum(enum, (_ENUM, index), self.package)
        for index, message in enumerate(self._file.message_type):
            yield from self._message(message, (_MESSAGE, index), self.package)

    def _comment(self, path: Path_) -> str:
        return self._comments.get(path, "")

    def _rpcs(self, service: ServiceDescriptorProto, path: Path_) -> tuple[Rpc, ...]:
        return tuple(
            Rpc(
                name=method.name,
                comment=self._comment((*path, _METHOD, index)),
                request=method.input_type.lstrip("."),
                response=method.output_type.lstrip("."),
                streams=method.server_streaming,
                http=_http(method),
                access=_access(method),
            )
            for index, method in enumerate(service.method)
        )

    def _message(self, message: DescriptorProto, path: Path_, scope: str) -> Iterator[Message]:
        if message.options.map_entry:
            return
        full_name = f"{scope}.{message.name}"
        maps = {f".{full_name}.{nested.name}": nested for nested in message.nested_type}
        yield Message(
            full_name,
            self._comment(path),
            tuple(
                Commented(field.name, self._comment((*path, _NESTED_FIELD, index)), _type(field, maps))
                for index, field in enumerate(message.field)
            ),
            is_enum=False,
            event=(
                message.options.Extensions[options_pb2.event]
                if message.options.HasExtension(options_pb2.event)
                else None
            ),
        )
        for index, enum in enumerate(message.enum_type):
            yield self._enum(enum, (*path, _NESTED_ENUM, index), full_name)
        for index, nested in enumerate(message.nested_type):
            yield from self._message(nested, (*path, _NESTED_MESSAGE, index), full_name)

    def _enum(self, enum: EnumDescriptorProto, path: Path_, scope: str) -> Message:
        values = tuple(
            Commented(value.name, self._comment((*path, _VALUE, index)))
            for index, value in enumerate(enum.value)
        )
        return Message(f"{scope}.{enum.name}", self._comment(path), values, is_enum=True)


def our_files() -> list[ProtoFile]:
    """Return the files of Florin's own packages, in the order of their names.

    Raises:
        SystemExit: the protos have not been compiled.
    """
    if not IMAGE.is_file():
        raise SystemExit("the protos are not compiled yet: run `make gen`")
    files = FileDescriptorSet.FromString(IMAGE.read_bytes()).file
    return [
        ProtoFile(file)
        for file in sorted(files, key=lambda each: each.name)
        if file.package.startswith("florin.")
    ]


def short(full_name: str) -> str:
    """Return a type's name without its package."""
    parts = full_name.split(".")
    return ".".join(part for part in parts if part[:1].isupper())


def _text(comment: str) -> str:
    # protoc keeps the blank between `//` and the words.
    return "\n".join(line.strip() for line in comment.strip().splitlines())


def _type(field: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    if field.type_name in maps and maps[field.type_name].options.map_entry:
        key, value = maps[field.type_name].field
        return f"map of {_type(key, {})} to {_type(value, {})}"
    name = short(field.type_name.lstrip(".")) if field.type_name else _LABELS[field.type]
    if field.label == Field.LABEL_REPEATED:
        return f"list of {name}"
    return f"{name}, optional" if field.proto3_optional else name


def _http(method: MethodDescriptorProto) -> tuple[str, ...]:
    if not method.options.HasExtension(annotations_pb2.http):
        return ()
    rule = method.options.Extensions[annotations_pb2.http]
    kinds = [(each, each.WhichOneof("pattern")) for each in (rule, *rule.additional_bindings)]
    return tuple(f"{kind.upper()} {getattr(each, kind)}" for each, kind in kinds if kind)


def _access(method: MethodDescriptorProto) -> options_pb2.Access | None:
    if not method.options.HasExtension(options_pb2.access):
        return None
    return method.options.Extensions[options_pb2.access]
