"""What the protos promise is what the code is wired to do, and the other way round."""

from __future__ import annotations

import ast
import configparser
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest
from buf.validate import validate_pb2
from florin.common.v1 import options_pb2
from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.message import Message

from edge.descriptors import SERVICE_FILES
from kit.messaging.events import EventType, event_type
from kit.values import errors
from kit.values.errors import REASONS, FlorinError

ROOT: Final = Path(__file__).resolve().parents[2]

# Of a Go module that nobody can own and none is fetched from by mistake: callers point it at their checkout
# with `replace` until the repository has a public home.
GO_MODULE: Final = "florin.example/gen/go"
SERVICES: Final = sorted(SERVICE_FILES)

# Request fields that need no rule in the protos, each with the reason.
FREE_FIELDS: Final = {
    "florin.ledger.v1.Journal": "refused one by one, with a code each, by ledger_svc/transport/messages.py",
    "florin.ledger.v1.Entry": "refused one by one, with a code each, by the posting function",
    "florin.order.v1.CreateCheckoutRequest.shipping_address": "its own fields have rules",
}

# RPCs without a deadline and retry policy for callers, each with the reason.
UNCONFIGURED_RPCS: Final = {
    "florin.order.v1.OrderService/WatchOrder": "a stream lasts as long as its order",
    "florin.payment.v1.WebhookService/ReceiveStripeWebhook": "called by the PSP, which has its own policy",
}

# RPCs that change something and need no key, each with the reason.
KEYLESS: Final = {
    "florin.payment.v1.WebhookService/ReceiveStripeWebhook": "the PSP's event id is the key",
    "florin.ledger.v1.LedgerService/PostJournals": "each journal has its business key",
}

# What the domain may take from the kit: values and how they are refused.
PURE_KIT: Final = {"kit.values"}


def all_events() -> list[EventType]:
    return [
        event_type(message)
        for path in sorted((ROOT / "protos").rglob("*_events.proto"))
        for message in _messages_of(path)
        if message.DESCRIPTOR.GetOptions().HasExtension(options_pb2.event)
    ]


def _messages_of(path: Path) -> Iterator[type[Message]]:
    name = path.relative_to(ROOT / "protos").with_suffix("").as_posix().replace("/", ".")
    module = import_module(f"{name}_pb2")
    for message_name in module.DESCRIPTOR.message_types_by_name:
        yield getattr(module, message_name)


def methods() -> list[MethodDescriptor]:
    return [
        method
        for file in SERVICE_FILES.values()
        for service in file.services_by_name.values()
        for method in service.methods
    ]


def path_of(method: MethodDescriptor) -> str:
    return f"{method.containing_service.full_name}/{method.name}"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_subscribes_to_exactly_the_events_that_name_it_as_consumer(service: str) -> None:
    subscriptions = import_module(f"{service}.transport.events").SUBSCRIPTIONS
    listened_to = {event_type(message).name for message in subscriptions}
    promised = {event.name for event in all_events() if service in event.consumers}
    assert listened_to == promised


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_emits_exactly_the_events_of_its_package(service: str) -> None:
    emits: tuple[Any, ...] = getattr(import_module(f"{service}.bootstrap"), "EMITS", ())
    types = [each if isinstance(each, EventType) else event_type(each) for each in emits]
    own = {event.name for event in all_events() if f"{event.owner}_svc" == service}
    assert {type_.name for type_ in types} == own


def test_events_are_named_once_and_consumed_by_services_that_exist() -> None:
    names = [event.name for event in all_events()]
    assert len(names) == len(set(names))
    for event in all_events():
        assert event.consumers, f"nobody confirms {event.name}, so it would be sent for ever"
        assert event.consumers <= set(SERVICES), event.name


def test_service_configs_name_every_rpc_that_callers_should_give_a_deadline() -> None:
    configured: list[str] = []
    for path in (ROOT / "protos").rglob("*_grpc_service_config.json"):
        for each in json.loads(path.read_text())["methodConfig"]:
            assert each["timeout"].endswith("s")
            configured += [f"{name['service']}/{name['method']}" for name in each["name"]]
    assert len(configured) == len(set(configured))
    assert set(configured) == {path_of(method) for method in methods()} - set(UNCONFIGURED_RPCS)


def test_every_rpc_says_who_may_call_it_or_is_internal() -> None:
    for method in methods():
        options = method.GetOptions()
        public = options.HasExtension(annotations_pb2.http)
        if public:
            assert options.HasExtension(options_pb2.access), f"{path_of(method)} is public and open"
        elif not options.HasExtension(options_pb2.access):
            proto = (ROOT / "protos" / method.containing_service.file.name).read_text()
            block = proto[: proto.index(f"service {method.containing_service.name} ")]
            assert "Internal: not reachable from the edge." in block.rpartition("}")[2], path_of(method)


def test_what_changes_something_requires_a_key_and_what_only_reads_does_not() -> None:
    for method in methods():
        options = method.GetOptions()
        reads = method.name.startswith(("Get", "List", "Watch", "BatchGet"))
        mutation = options.Extensions[options_pb2.access].mutation
        assert mutation is (not reads and path_of(method) not in KEYLESS), path_of(method)
        if mutation:
            assert "request_id" in method.input_type.fields_by_name, path_of(method)


def test_every_request_field_has_a_rule_or_a_reason_to_have_none() -> None:
    bare = {field.full_name for method in methods() for field in _bare_fields(method.input_type)}
    unexplained = {
        name for name in bare if name not in FREE_FIELDS and name.rpartition(".")[0] not in FREE_FIELDS
    }
    assert not unexplained


def _bare_fields(message: Descriptor, seen: frozenset[str] = frozenset()) -> Iterator[FieldDescriptor]:
    """Yield the fields without a rule of a request and of every message of ours inside of it."""
    if not message.full_name.startswith("florin.") or message.full_name in seen:
        return
    for field in message.fields:
        if not field.GetOptions().HasExtension(validate_pb2.field):
            yield field
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            yield from _bare_fields(field.message_type, seen | {message.full_name})


def test_every_reason_in_the_code_is_in_the_catalogue_with_its_class() -> None:
    raised = dict(_raised_reasons())
    unknown = set(raised.values()) - set(REASONS)
    assert not unknown
    for (where, class_name), reason in raised.items():
        expected = REASONS[reason].error
        assert expected is getattr(errors, class_name), f"{where} raises {reason} as {class_name}"


def _raised_reasons() -> Iterator[tuple[tuple[str, str], str]]:
    """Yield ((place, class), reason) of each `SomeError("REASON", …)` in services and kit."""
    classes = {
        name
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, FlorinError)
    }
    for package in ("kit", *SERVICES):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(reason)), *_]):
                        if name in classes:
                            yield (f"{path.relative_to(ROOT)}:{node.lineno}", name), reason


def test_the_domain_may_take_nothing_else_from_the_kit() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    forbidden = set(contracts["importlinter:contract:pure-domain"]["forbidden_modules"].split())
    layers = {f"kit.{path.parent.name}" for path in (ROOT / "kit").glob("*/__init__.py")}
    assert layers - forbidden == PURE_KIT


def test_every_service_with_protos_is_known_to_the_edge() -> None:
    files: dict[str, FileDescriptor] = SERVICE_FILES
    served = {file.name for file in files.values()}
    assert served == {
        path.relative_to(ROOT / "protos").as_posix() for path in (ROOT / "protos").rglob("*_service.proto")
    }


@pytest.mark.parametrize(
    "path", sorted((ROOT / "protos").rglob("*.proto")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_every_proto_says_by_one_rule_where_its_code_is_in_other_languages(path: Path) -> None:
    """Callers import from there, and `buf breaking` holds it fixed. C#, PHP and Ruby need no option."""
    name = path.relative_to(ROOT / "protos").with_suffix("").as_posix()
    options = import_module(f"{name.replace('/', '.')}_pb2").DESCRIPTOR.GetOptions()
    folder, _, stem = name.rpartition("/")
    _, context, version = folder.split("/")
    assert options.go_package == f"{GO_MODULE}/{folder};{context}{version}"
    assert options.java_package == folder.replace("/", ".")
    assert options.java_multiple_files
    assert options.java_outer_classname == f"{stem.title().replace('_', '')}Proto"
