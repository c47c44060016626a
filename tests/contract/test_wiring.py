"""What the protos promise is what the code is wired to do, and the other way round."""

from __future__ import annotations

import configparser
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest
from buf.validate import validate_pb2
from florin.common.v1 import options_pb2
from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from edge.descriptors import SERVICE_FILES

ROOT: Final = Path(__file__).resolve().parents[2]

# Of a Go module that nobody can own and none is fetched from by mistake: callers point it at their checkout
# with `replace` until the repository has a public home.
GO_MODULE: Final = "florin.example/gen/go"

# Request fields that need no rule in the protos, each with the reason.
FREE_FIELDS: Final = {
    "florin.ledger.v1.Journal": "refused one by one, with a code each, by ledger_svc/transport/messages.py",
    "florin.ledger.v1.Entry": "refused one by one, with a code each, by the posting function",
    "florin.order.v1.CreateCheckoutRequest.shipping_address": "its own fields have rules",
    "florin.payment.v1.DecidePaymentRequest.against_psp": "yes or no",
}

# RPCs without a deadline and retry policy for callers, each with the reason.
UNCONFIGURED_RPCS: Final = {
    "florin.order.v1.OrderService/WatchOrder": "a stream lasts as long as its order",
    "florin.payment.v1.WebhookService/ReceiveStripeWebhook": "called by the PSP, which has its own policy",
}

# RPCs that change something and need no key of their callers, each with the reason.
KEYLESS: Final = {
    "florin.payment.v1.WebhookService/ReceiveStripeWebhook": "the PSP's event id is the key",
    "florin.ledger.v1.LedgerService/PostJournals": "each journal has its business key",
}

# What the domain may take from the kit: values and how they are refused.
PURE_KIT: Final = {"kit.values"}


def methods() -> list[MethodDescriptor]:
    return [
        method
        for file in SERVICE_FILES.values()
        for service in file.services_by_name.values()
        for method in service.methods
    ]


def path_of(method: MethodDescriptor) -> str:
    return f"{method.containing_service.full_name}/{method.name}"


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
        # Whether it is safe to call again is part of the contract, and not only of this test.
        told = options.idempotency_level == MethodOptions.IDEMPOTENT
        assert told is (path_of(method) in KEYLESS), path_of(method)


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


def test_the_domain_may_take_nothing_else_from_the_kit() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    contract = contracts["importlinter:contract:pure-domain"]
    assert not contract.getboolean("allow_indirect_imports"), "nor by way of what it may take"
    forbidden = set(contract["forbidden_modules"].split())
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
