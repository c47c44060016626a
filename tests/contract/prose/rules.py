"""Which name has to exist as what.

A name in code marks says that it is there. What it has to be follows from its form: a path is a file,
`make …` a target, `noun.verbed` of a noun that has events an event; of anything else each word has to be a
word of the code. Some forms are names without marks, too: settings, constants, files, folders, headers
with `x-`, events.

What was there once, or was thought of and not made, stands in quotation marks instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from keyword import iskeyword
from typing import Final

from tests.contract.prose.exceptions import EXCEPTIONS
from tests.contract.prose.known import WORD, Command, Known
from tests.contract.prose.passages import Passage

_SUFFIXES: Final = r"(?:json|lua|md|proto|py|sh|sql|svg|toml|ya?ml)"

# A span in code marks: it may go on in the next line, not in the next paragraph.
_SPAN: Final = re.compile(r"(?<!`)(`{1,2})(?!`)((?:[^`\n]|\n(?!\s*\n))+?)\1(?!`)")
_FENCE: Final = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_QUOTED: Final = re.compile(r"“[^”]*”|\"[^\"\n]*\"")
_PLACEHOLDER: Final = re.compile(r"<[^<>]*>|\{[a-z_]*\}")
_PYTHON: Final = re.compile(r"^ *```python.*?^ *```", re.MULTILINE | re.DOTALL)
_MADE: Final = re.compile(r"\.(?:build|florin|venv)\b|<(?:data|data_dir|mailbox)>")
_HEADING: Final = re.compile(r"^(?=#)", re.MULTILINE)
_LINE_OF_SHELL: Final = re.compile(r"^\s*(?:\$ )?((?:make|florin) [^#|;&\n]*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Problem:
    """A name that does not exist."""

    place: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.place}: there is no {self.kind} {self.name!r}"


@dataclass(frozen=True, slots=True)
class Rule:
    """Names of a form have to exist as something."""

    kind: str
    form: re.Pattern[str]
    exists: Callable[[re.Match[str], Known], bool]


def _url(_name: re.Match[str], _known: Known) -> bool:
    return True


def _target(name: re.Match[str], known: Known) -> bool:
    words = (name["words"] or "").split()
    return all(word in known.targets for word in words if re.fullmatch(r"[a-z-]+", word))


def _command(name: re.Match[str], known: Known) -> bool:
    command: Command = known.florin
    for word in name["words"].replace("[", "").replace("]", "").split():
        if word.startswith("-"):
            if word not in command.options:
                return False
        elif command.commands:
            if not re.fullmatch(r"[a-z-]+", word):
                return word == "…"
            if word not in command.commands:
                return False
            command = command.commands[word]
    return True


def _runnable(name: re.Match[str], known: Known) -> bool:
    path = name["module"].replace(".", "/")
    return f"{path}.py" in known.files or f"{path}/__main__.py" in known.files or path.startswith("<")


def _route(name: re.Match[str], known: Known) -> bool:
    path = _PLACEHOLDER.sub("{}", name["path"])
    if path.lstrip("/") in known.contract or path.removesuffix("{}") in known.routes:
        return True
    whole = re.escape(path).replace(r"\{\}", "[^/]+")
    return any(
        re.match(rf"{whole}(/|$)", route) or re.fullmatch(re.escape(route).replace(r"\{\}", "[^/:]+"), path)
        for route in known.routes
    )


def _contract(name: re.Match[str], known: Known) -> bool:
    full_name = re.sub(r"\.<[a-z]+>$|\.$", "", name[0])
    return full_name in known.contract or full_name == "florin"


def _path(name: re.Match[str], known: Known) -> bool:
    return all(_one_path(path, known) for path in name[0].split())


def _one_path(path: str, known: Known) -> bool:
    pattern = _PLACEHOLDER.sub("*", path).replace("…", "*").removesuffix("/")
    there = known.folders if path.endswith("/") else known.files | known.folders
    if pattern in there or any(each.endswith(f"/{pattern}") for each in there):
        return True
    return "*" in pattern and any(fnmatch(each, pattern) or fnmatch(each, f"*/{pattern}") for each in there)


def _module(name: re.Match[str], known: Known) -> bool:
    parts = name[0].split(".")
    for end in range(len(parts), 0, -1):
        path = "/".join(parts[:end])
        for file in (f"{path}.py", f"{path}/__init__.py"):
            if file in known.files:
                return set(parts[end:]) <= known.words_of(file)
    return False


def _event(name: re.Match[str], known: Known) -> bool:
    is_event = name[0] in known.events or name[0] in known.literals
    return is_event or name["noun"] not in known.event_nouns


def _faultpoint(name: re.Match[str], known: Known) -> bool:
    return name["point"] in known.faultpoints


def _setting(name: re.Match[str], known: Known) -> bool:
    return name[0] in known.settings


def _word(name: re.Match[str], known: Known) -> bool:
    return _is_word(name[0], known.words)


def _is_word(word: str, words: frozenset[str]) -> bool:
    return bool({word, word.lower(), word.replace("-", "_")} & words)


# Of the names in code marks, by the first form that fits the whole.
MARKED: Final = (
    Rule("address", re.compile(r"[a-z]+://\S*"), _url),
    Rule("make target", re.compile(r"make(?P<words>(?: \S+)*)"), _target),
    Rule("florin command", re.compile(r"(?:\.venv/bin/)?florin (?P<words>.+)"), _command),
    Rule("module to run", re.compile(r"(?:\S+=\S+ )*python -m (?P<module>\S+).*"), _runnable),
    Rule("route", re.compile(r"(?:(?:GET|POST|PUT|PATCH|DELETE) )?(?P<path>/(?:<[^>]*>|\S)+)"), _route),
    Rule("name in the contract", re.compile(r"florin\.[\w./]*(?:<shard>)?"), _contract),
    Rule("file or folder", re.compile(rf"[\w.<>*-]*/[\w./<>…* -]*|[\w.<>/-]+\.{_SUFFIXES}"), _path),
    Rule("module", re.compile(r"(?:[a-z]+_svc|kit|runner|edge|bench|client|tools)\.[\w.]+"), _module),
)

# Of all names of this form, in code marks or not.
ANYWHERE: Final = (
    Rule("fault point", re.compile(r"\bFLORIN_FAULTPOINT=(?P<point>[\w.]+\w)"), _faultpoint),
    Rule("setting", re.compile(r"\bFLORIN_[A-Z0-9_]*[A-Z0-9]\b(?![_<…])"), _setting),
    Rule("constant", re.compile(r"\b(?!FLORIN_)[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9]\b(?![_<…])"), _word),
    Rule("header", re.compile(r"(?<![\w-])x-[a-z]+(?:-[a-z]+)*\b(?!-)", re.IGNORECASE), _word),
    Rule("file", re.compile(rf"(?<![\w:/.<>@*…-])[\w-][\w./-]*\.{_SUFFIXES}\b(?![\w-])"), _path),
    Rule("folder", re.compile(r"(?<!\S)[\w.]+/(?!\S)"), _path),
    Rule("event", re.compile(r"(?<![\w./-])(?P<noun>[a-z]+)\.(?!py\b)(?P<verb>[a-z_]+)\b(?![(/.])"), _event),
)


def problems_in(passage: Passage, known: Known) -> Iterator[Problem]:
    """Yield the names of a passage that do not exist."""
    for position, span in _spans(passage.text):
        if _is_excused(span, position, passage.text, known):
            continue
        for kind, name in _problems_of_span(span, passage.path, known):
            yield Problem(passage.at(position), kind, name)
    bare = _QUOTED.sub(_blanked, _PYTHON.sub(_blanked, passage.text))
    for rule in ANYWHERE:
        for found in rule.form.finditer(bare):
            excused = _is_excused(found[0], found.start(), passage.text, known)
            if not excused and not rule.exists(found, known):
                yield Problem(passage.at(found.start()), rule.kind, found[0])


def _spans(text: str) -> Iterator[tuple[int, str]]:
    """Yield what is in code marks, and the commands in blocks of shell."""
    for span in _SPAN.finditer(_FENCE.sub(_blanked, text)):
        yield span.start(), " ".join(span[2].split())
    for fence in _FENCE.finditer(text):
        for line in _LINE_OF_SHELL.finditer(fence[0]):
            yield fence.start() + line.start(1), line[1].strip()


def _problems_of_span(span: str, file: str, known: Known) -> Iterator[tuple[str, str]]:
    for rule in MARKED:
        if name := rule.form.fullmatch(span):
            if not rule.exists(name, known):
                yield rule.kind, span
            return
    if file.endswith(".py") and re.fullmatch(r"[a-z]+(_[a-z]+)*", span) and not iskeyword(span):
        if span not in known.words_near(file):
            yield "word of the code near by", span
        return
    words = known.words | known.words_of_tests if file.startswith("tests/") else known.words
    for word in _unknown_words(span, words, known.beginnings):
        yield "word of the code", word


def _is_excused(name: str, position: int, text: str, known: Known) -> bool:
    """Whether it is an exception, or the talk is of files that we make and it is one of those."""
    if name in EXCEPTIONS:
        return True
    section = _HEADING.split(text[:position])[-1] + _HEADING.split(text[position:])[0]
    if not _MADE.search(section):
        return False
    parts = {part for path in name.split() for part in _MADE.sub("", path).split("/")} - {""}
    return all(
        part in known.literals or any(fnmatch(part, each) for each in known.parts_of_paths) for part in parts
    )


def _unknown_words(span: str, words: frozenset[str], beginnings: frozenset[str]) -> Iterator[str]:
    text = _PLACEHOLDER.sub(" ", span)
    for found in WORD.finditer(text):
        word = re.sub(r"-\d+$", "", found[0])
        if _is_word(word, words) or word in EXCEPTIONS or iskeyword(word):
            continue
        if any(rule.form.fullmatch(word) for rule in ANYWHERE):
            continue
        stems = {word, *(word.removeprefix(each) for each in beginnings if word.startswith(each))}
        if stems & words:
            continue
        # `ord_01JD…`, `…LostCard`, `_amex`: a part of what is meant.
        around = text[: found.start()][-1:] + text[found.end() :][:1]
        if "…" in around or word.startswith("_") or re.fullmatch(r"[a-z]+_(\d\w*)?", word):
            stems = {re.sub(r"_(\d\w*)?$", "", stem) for stem in stems}
            if any(stem in each for stem in stems for each in words):
                continue
        yield word


def _blanked(found: re.Match[str]) -> str:
    """The same number of lines and characters, without the words."""
    return re.sub(r"\S", " ", found[0])
