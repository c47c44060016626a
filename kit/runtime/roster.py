"""The shape of the one list of what an installation consists of; the list itself is not the kit's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A bounded context: a package with its own tables, events, proof and import contract.

    Attributes:
        package: also the name by which it signs what it emits and confirms what it has acted on.
        port: of the gRPC server of a process of its own, which has the package's name.
        host: or the context whose process it lives in.
        consumes: events that it acts on; whoever emits one sends it until this context has confirmed it.
        calls: contexts whose RPCs it needs; it is told where they are.
        calls_psp: whether it is given the keys to the PSP.
    """

    package: str
    port: int | None = None
    host: str = ""
    consumes: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    calls_psp: bool = False

    @property
    def name(self) -> str:
        """The short name: in settings, of the database, of the protos' package."""
        return self.package.removesuffix("_svc")

    @property
    def process(self) -> str:
        """The process that hosts it."""
        return self.host or self.package

    @property
    def database(self) -> str:
        """The name of its database, and of the role it connects as."""
        return f"florin_{self.name}"

    @property
    def service_protos(self) -> str:
        """The module generated from the protos of its RPCs; a context without any has no such module."""
        return f"florin.{self.name}.v1.{self.name}_service_pb2"

    @property
    def event_protos(self) -> str:
        """The module generated from the protos of its events; a context without any has no such module."""
        return f"florin.{self.name}.v1.{self.name}_events_pb2"


@dataclass(frozen=True)
class Roster:
    """All contexts of an installation, in the order in which a checkout meets them."""

    contexts: tuple[Context, ...]

    def __post_init__(self) -> None:
        ports = {context.package: context.port for context in self.contexts if context.port is not None}
        assert len({context.name for context in self.contexts}) == len(self.contexts), "two have one name"
        assert len(set(ports.values())) == len(ports), "two processes want the same port"
        for context in self.contexts:
            assert (context.port is None) == bool(context.host), f"{context.package}: a port or a host"
            assert context.process in ports, f"{context.package}: {context.process} is no process"
            assert set(context.calls) <= {each.package for each in self.contexts}, context.package

    def __iter__(self) -> Iterator[Context]:
        return iter(self.contexts)

    def __getitem__(self, package: str) -> Context:
        return self._by_package[package]

    @cached_property
    def packages(self) -> tuple[str, ...]:
        """The packages of all contexts."""
        return tuple(context.package for context in self.contexts)

    @cached_property
    def processes(self) -> Mapping[str, int]:
        """The processes that host them, each with its port."""
        return {context.package: context.port for context in self.contexts if context.port is not None}

    @cached_property
    def consumers(self) -> Mapping[str, frozenset[str]]:
        """Who has to confirm an event, by its name."""
        found: dict[str, set[str]] = defaultdict(set)
        for context in self.contexts:
            for event in context.consumes:
                found[event].add(context.package)
        return {event: frozenset(packages) for event, packages in found.items()}

    def named(self, name: str) -> Context:
        """Return the context of a short name, as an event's type gives its owner."""
        return self._by_name[name]

    def hosted_by(self, process: str) -> tuple[Context, ...]:
        """Return the contexts that live in a process."""
        return tuple(context for context in self.contexts if context.process == process)

    @cached_property
    def _by_package(self) -> dict[str, Context]:
        return {context.package: context for context in self.contexts}

    @cached_property
    def _by_name(self) -> dict[str, Context]:
        return {context.name: context for context in self.contexts}
