"""Which Python this is: its version, and whether it was built to be fast."""

from __future__ import annotations

import platform
import sysconfig
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A build of Python.

    Attributes:
        pgo: compiled with a profile of what programs do (`--enable-optimizations`).
        lto: optimised across its files when it was linked (`--with-lto`).
        is_shared: the interpreter is a shared library, which costs a little at every call.
    """

    version: str
    implementation: str
    pgo: bool
    lto: bool
    is_shared: bool

    @property
    def is_fast(self) -> bool:
        """Whether there is no faster build of it; others cost our processes 5 to 10 % more."""
        return self.pgo and self.lto

    def __str__(self) -> str:
        parts = (("PGO", self.pgo), ("LTO", self.lto), ("shared library", self.is_shared))
        built = ", ".join(f"{'with' if has else 'no'} {what}" for what, has in parts)
        return f"{self.implementation} {self.version}, {built}"


def running() -> Interpreter:
    """The build that runs this, as it says of itself."""
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    flags = " ".join(
        str(sysconfig.get_config_var(name) or "")
        for name in ("PY_CORE_CFLAGS", "PY_CORE_LDFLAGS", "PY_LDFLAGS_NODIST")
    )
    return read(arguments, flags, is_shared=bool(sysconfig.get_config_var("Py_ENABLE_SHARED")))


def read(arguments: str, flags: str, *, is_shared: bool) -> Interpreter:
    """The build that was configured with these arguments and compiled with these flags.

    Both are asked: distributions set the flags themselves, and some builds keep no arguments.
    """
    return Interpreter(
        version=platform.python_version(),
        implementation=platform.python_implementation(),
        pgo="--enable-optimizations" in arguments
        or "-fprofile-use" in flags
        or "-fprofile-instr-use" in flags,
        lto="--with-lto" in arguments or "-flto" in flags,
        is_shared=is_shared,
    )
