"""The documentation says what the code does, and leads to where it says it leads.

Whether the names that it uses exist is asked by test_prose.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest

from tools import generate, generate_texts
from tools.reference import protos, settings

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENTS: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_FENCE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)


@pytest.fixture
def compiled_protos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The protos as they are now, whatever `make gen` left earlier."""
    image = tmp_path / "florin.binpb"
    generate.compile_image(image)
    monkeypatch.setattr(protos, "IMAGE", image)


@pytest.mark.usefixtures("compiled_protos")
def test_the_generated_reference_pages_are_current() -> None:
    assert generate_texts.outdated() == [], "run `make gen` and commit the result"


def test_every_setting_is_explained() -> None:
    silent = {
        setting.variable
        for section in settings.sections().values()
        for setting in section
        if not setting.description
    }
    assert not silent, "write a comment above the field"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_in_the_documentation_leads_somewhere(document: Path) -> None:
    broken = [link for link in _links(document) if not _leads_somewhere(document, link)]
    assert not broken


def test_the_index_lists_every_decision() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {Path(link).name for link in _links(index) if link.startswith("decisions/")}
    assert listed == {path.name for path in (ROOT / "docs" / "decisions").glob("*.md")}


def _links(document: Path) -> Iterator[str]:
    for link in _LINK.findall(_FENCE.sub("", document.read_text())):
        if not link.startswith(("http://", "https://", "mailto:")):
            yield unquote(link)


def _leads_somewhere(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    if not target.exists():
        return False
    return not anchor or anchor in {_anchor(title) for title in _HEADING.findall(target.read_text())}


def _anchor(title: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
