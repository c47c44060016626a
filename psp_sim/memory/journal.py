"""The file that outlives the process: one line per change, written before it is answered.

There is no fsync: the file has to survive a kill of the process, which the page cache does, and
not a loss of power, which ends the other party of a test as well.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

FILE_NAME: Final = "state.jsonl"
LOCK_NAME: Final = "lock"


class JournalInUse(RuntimeError):
    """Another simulator writes to the same directory."""


class Journal:
    """An append-only file of lines, owned by one process at a time."""

    def __init__(self, directory: Path) -> None:
        """Open the journal of a directory, which is made if it is not there.

        Raises:
            JournalInUse: if another process has it open. The kernel frees it when that one dies.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / FILE_NAME
        self._lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise JournalInUse(
                f"{directory} belongs to a running simulator; stop it or set FLORIN_DATA_DIR"
            ) from None
        self._file = self._open()
        self._size = os.fstat(self._file).st_size

    def lines(self) -> Iterator[bytes]:
        """Yield the whole lines written so far; one torn by a crash is left out."""
        with self._path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line

    def append(self, line: bytes) -> None:
        """Write one line, or nothing.

        Raises:
            OSError: if the disk does not take it, or only in part; the part is taken back.
        """
        written = os.write(self._file, line)
        if written != len(line):
            os.ftruncate(self._file, self._size)
            raise OSError(f"wrote {written} of {len(line)} bytes to {self._path}")
        self._size += written

    def rewrite(self, lines: Iterable[bytes]) -> None:
        """Replace the whole file by other lines, or leave it as it is if that fails."""
        draft = self._path.with_suffix(".draft")
        with draft.open("wb") as file:
            file.writelines(lines)
            file.flush()
            # Only here: a rename may otherwise reach the disk before what it names.
            os.fsync(file.fileno())
        draft.replace(self._path)
        os.close(self._file)
        self._file = self._open()
        self._size = os.fstat(self._file).st_size

    def close(self) -> None:
        """Give the file up to the next simulator."""
        os.close(self._file)
        os.close(self._lock)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
