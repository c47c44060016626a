"""What there is to name: files, words of the code, settings, commands, the contract."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import typer.main
from florin.common.v1 import options_pb2
from google.api import annotations_pb2
from google.protobuf.descriptor import FileDescriptor

from florin_cli.__main__ import build
from kit.messaging.events import EventType, event_type
from roster import ROSTER
from tests.contract.prose.passages import files_below, is_prose, is_written, without_comments
from tests.contract.prose.python import FILLED_IN, Python, read_python
from tools.reference import settings

ROOT: Final = Path(__file__).resolve().parents[3]

# A word of a name: `order_id`, `Nats-Msg-Id`, `PaymentCaptured`.
WORD: Final = re.compile(r"[A-Za-z_]\w*(?:-\w+)*")

_TARGET: Final = re.compile(r"^([a-z-]+):", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Command:
    """A command of `florin`: its own options, and the commands below it."""

    options: frozenset[str]
    commands: Mapping[str, Command]


class Known:
    """Everything that prose may name, read from one checkout."""

    def __init__(self, root: Path = ROOT) -> None:
        paths = {path.relative_to(root).as_posix(): path for path in files_below(root)}
        self.files = set(paths)
        self._paths = [path for name, path in paths.items() if is_written(name)]
        self.folders = {
            parent.as_posix() for file in self.files for parent in Path(file).parents if parent != Path()
        }
        self._root = root

    @cached_property
    def words(self) -> frozenset[str]:
        """All words of the product's code: of its identifiers, literals, statements and configuration."""
        words = frozenset(self._words(path for path in self._paths if not self._is_test(path)))
        return words | {event.replace(".", "_") for event in self.events}

    @cached_property
    def words_of_tests(self) -> frozenset[str]:
        """All words of the tests' code, but for this test's own."""
        own = self._root / "tests" / "contract"
        return frozenset(
            self._words(
                path
                for path in self._paths
                if self._is_test(path) and own / "prose" not in path.parents and path != own / "test_prose.py"
            )
        )

    def words_of(self, file: str) -> frozenset[str]:
        """Words of the code of one file."""
        return frozenset(self._words([self._root / file]))

    def words_near(self, file: str) -> frozenset[str]:
        """Words that a module may use plainly: its folder's, and what is known by its name everywhere.

        Known by name are files and folders, texts as a whole (a status, a kind), and what configuration,
        statements and protos say. A parameter of a function far away is not.
        """
        folder = self._root / Path(file).parent
        here = self._words(path for path in folder.glob("*.py"))
        return frozenset(here) | self._known_by_name

    @cached_property
    def _known_by_name(self) -> frozenset[str]:
        stems = {name.rpartition("/")[2].partition(".")[0] for name in self.files | self.folders}
        others = self._words(path for path in self._paths if path.suffix != ".py" and not self._is_test(path))
        events = {event.replace(".", "_") for event in self.events}
        return frozenset({*stems, *self.literals, *others, *events})

    @cached_property
    def beginnings(self) -> frozenset[str]:
        """Words that are completed when the code runs: `pm_sim_` and a fault."""
        return frozenset(word for word in self.words if re.fullmatch(r"[a-z]\w{2,}_", word))

    @cached_property
    def literals(self) -> frozenset[str]:
        """Texts that stand in the product's Python code as they are, such as names of log events."""
        return frozenset(text for file in self._python for _, text in file.texts)

    @cached_property
    def parts_of_paths(self) -> frozenset[str]:
        """Names of files and folders that the product makes when it runs; `*` for what is filled in."""
        parts = (part.replace(FILLED_IN, "*") for file in self._python for part in file.parts_of_paths)
        return frozenset(part for part in parts if part.strip("*"))

    @cached_property
    def settings(self) -> frozenset[str]:
        """Environment variables that some class of settings reads."""
        sections = settings.sections().values()
        read = {each.variable for section in sections for each in section}
        # Where one process hosts several contexts, a variable may name the one it is meant for.
        named = {name.replace("FLORIN_", f"FLORIN_{c.name.upper()}_", 1) for name in read for c in ROSTER}
        return frozenset(read | named | {word for word in self.words if word.startswith("FLORIN_")})

    @cached_property
    def targets(self) -> frozenset[str]:
        """Targets of make."""
        return frozenset(_TARGET.findall((self._root / "Makefile").read_text(encoding="utf-8")))

    @cached_property
    def florin(self) -> Command:
        """The command line."""
        return _command(typer.main.get_command(build()))

    @cached_property
    def services(self) -> frozenset[str]:
        """Packages of services."""
        return frozenset(folder for folder in self.folders if folder.endswith("_svc") and "/" not in folder)

    @cached_property
    def faultpoints(self) -> frozenset[str]:
        """Points at which a process can be ended; those that every service has, for each service."""
        points = {point for file in self._python for point in file.faultpoints}
        return frozenset(point.replace(FILLED_IN, service) for point in points for service in self.services)

    @cached_property
    def events(self) -> frozenset[str]:
        """Types of events: `order.placed`."""
        return frozenset(event.name for event in self._events)

    @cached_property
    def event_nouns(self) -> frozenset[str]:
        """What events are about: `order`."""
        return frozenset(name.partition(".")[0] for name in self.events)

    @cached_property
    def routes(self) -> frozenset[str]:
        """REST paths of the contract and of the simulator, each with `{}` for what is filled in."""
        paths = {
            getattr(each, str(each.WhichOneof("pattern")))
            for file in self._contract_files
            for service in file.services_by_name.values()
            for method in service.methods
            if method.GetOptions().HasExtension(annotations_pb2.http)
            for rule in [method.GetOptions().Extensions[annotations_pb2.http]]
            for each in (rule, *rule.additional_bindings)
        }
        paths |= {
            literal.split(" ")[-1] for literal in self.literals if re.match(r"([A-Z]+ )?/\S+$", literal)
        }
        return frozenset(re.sub(r"\{[^}]*\}", "{}", path) for path in paths)

    @cached_property
    def contract(self) -> frozenset[str]:
        """Full names of what the protos declare, of the modules made from them, and of events' subjects."""
        names: set[str] = set()
        for file in self._contract_files:
            names |= {file.package, file.name.removesuffix(".proto").replace("/", ".") + "_pb2"}
            names |= {f"{file.package}.{name}" for name in file.extensions_by_name}
            names |= {f"{file.package}.{name}" for name in file.enum_types_by_name}
            for message in file.message_types_by_name.values():
                names |= set(_names_in(message))
            for service in file.services_by_name.values():
                names.add(service.full_name)
                names |= {f"{service.full_name}/{method.name}" for method in service.methods}
        return frozenset(
            names | {f"florin.{each.owner}.{each.name.replace('.', '_')}" for each in self._events}
        )

    @cached_property
    def _python(self) -> list[Python]:
        """The product's Python code."""
        return [read_python(path) for path in self._paths if path.suffix == ".py" and not self._is_test(path)]

    @cached_property
    def _events(self) -> list[EventType]:
        return [
            event_type(getattr(import_module(_module_of(file)), name))
            for file in self._contract_files
            for name, message in file.message_types_by_name.items()
            if message.GetOptions().HasExtension(options_pb2.event)
        ]

    @cached_property
    def _contract_files(self) -> list[FileDescriptor]:
        protos = (path for path in self._paths if path.suffix == ".proto")
        names = (path.relative_to(self._root / "protos").as_posix() for path in protos)
        modules = (name.removesuffix(".proto").replace("/", ".") + "_pb2" for name in names)
        return [import_module(module).DESCRIPTOR for module in modules]

    def _is_test(self, path: Path) -> bool:
        return path.is_relative_to(self._root / "tests")

    def _words(self, paths: Iterable[Path]) -> Iterator[str]:
        for path in paths:
            for text in _said_to_machines(path):
                for word in WORD.findall(text):
                    yield word
                    yield from word.split("-")


def _said_to_machines(path: Path) -> Iterator[str]:
    if path.suffix == ".py":
        python = read_python(path)
        yield from python.identifiers
        yield from (text for _, text in python.texts if not is_prose(text))
    elif path.suffix not in {".md", ".svg"}:
        yield without_comments(path)


def _module_of(file: FileDescriptor) -> str:
    return str(file.name).removesuffix(".proto").replace("/", ".") + "_pb2"


def _names_in(message: Any) -> Iterator[str]:
    yield message.full_name
    yield from (enum.full_name for enum in message.enum_types)
    for nested in message.nested_types:
        yield from _names_in(nested)


def _command(command: Any) -> Command:
    options = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    below = getattr(command, "commands", {})
    return Command(frozenset(options | {"--help"}), {name: _command(each) for name, each in below.items()})
