"""A build of Python is recognised by what it was configured and compiled with."""

from __future__ import annotations

import pytest

from runner import interpreter


@pytest.mark.parametrize(
    ("arguments", "flags", "pgo", "lto"),
    [
        ("'--enable-shared'", "-O3 -Wall", False, False),
        ("'--enable-optimizations' '--with-lto'", "", True, True),
        ("'--enable-optimizations'", "-O3", True, False),
        # A distribution that sets the flags itself.
        ("", "-O2 -flto=auto -fprofile-use -fprofile-correction", True, True),
    ],
)
def test_how_it_was_built_is_read_from_arguments_and_flags(
    arguments: str, flags: str, pgo: bool, lto: bool
) -> None:
    build = interpreter.read(arguments, flags, is_shared=False)
    assert (build.pgo, build.lto, build.is_fast) == (pgo, lto, pgo and lto)


def test_a_build_says_what_it_has_and_what_not() -> None:
    build = interpreter.read("--enable-optimizations", "", is_shared=True)
    assert str(build).endswith("with PGO, no LTO, with shared library")
    assert str(interpreter.running()).startswith("CPython 3.")
