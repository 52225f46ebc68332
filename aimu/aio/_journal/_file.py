"""A journal as a file of JSON lines that only grows. Owns its format, its lock, and where each record is.

The first line says that this is a journal, and what the tasks were asked of. Each further line is the record of one
finished task. A record is written in one piece, in one call where the system takes it whole, so that a process can be
killed at any instant: then at most the last line is torn. It is left out, and the next record is written over it. A
torn line elsewhere is damage, and no file is changed that is damaged or no journal.

Knows nothing of answers. All methods block; only `open` may take long.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, final

from aimu._core.escaping import escaping
from aimu._core.forks import FreshLock, renew_in_children
from aimu.aio._journal._record import Key, key_of
from aimu.errors import JournalBusyError, JournalError, JournalWriteError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment,unused-ignore]

log = escaping(logging.getLogger("aimu.aio"))

VERSION = 1
_MARK = b'{"aimu_journal":'
_BLOCK = 1 << 16  # bytes that are read at once
_PAUSE = 1 << 20  # bytes of records between two looks whether the opening was cancelled
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_ANOTHER = "give another path"

# The files, by device and inode, that this process has open: not every file system has locks, nor every system.
_open_here: set[tuple[int, int]] = set()
_guard = FreshLock()


@final
class JournalFile:
    """A journal, once it is open.

    The lock is the kernel's own and ends with the process, however it ends. A forked child closes its copy.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.asked_of: dict[str, str] | None = None  # from the first line; None as long as there is none
        self.places: dict[Key, int] = {}  # where the record of each task begins
        self._descriptor = -1
        self._identity: tuple[int, int] | None = None
        self._end = 0  # of the last whole record
        self._torn = False  # whether something that is no record may stand behind the end
        self._lead = b""  # what the next record begins with: a line break that an editor has removed
        renew_in_children(self)

    def renew(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and give up the lock; may be called more than once."""
        descriptor, self._descriptor = self._descriptor, -1
        identity, self._identity = self._identity, None
        if identity is not None:
            _open_here.discard(identity)
        if descriptor >= 0:
            os.close(descriptor)

    __del__ = close

    def open(self, pause: Callable[[], object] = lambda: None) -> None:
        """Open or create the file, lock it, and find its records.

        Args:
            pause: Called from time to time; what it raises ends the opening.

        Raises:
            JournalError: The file is not a journal, or is damaged.
            JournalBusyError: It is in use.
            JournalWriteError: It cannot be opened for writing.
        """
        try:
            while not self._opened():
                self.close()  # it was replaced before the lock was there
            with open(self._descriptor, "rb", _BLOCK, closefd=False) as file:
                self._read(file, pause)
        except OSError as exc:
            if isinstance(exc, JournalError):
                raise
            raise JournalWriteError(
                self.path, f"it cannot be opened: {exc.strerror}", f"correct that, or {_ANOTHER}"
            ) from exc

    def _opened(self) -> bool:
        """Open and lock the file; return whether the path still leads to it."""
        # Before opening it: where NFS emulates locks, closing a second descriptor gives up the lock of the first.
        with suppress(FileNotFoundError):
            self._check_free(os.stat(self.path))
        descriptor = self._descriptor = os.open(self.path, _FLAGS, 0o600)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise JournalError(self.path, "it is not a regular file", _ANOTHER)
        with _guard.lock:
            self._identity = self._check_free(found)
            _open_here.add(self._identity)
        self._lock(descriptor)
        try:
            return os.path.samestat(found, os.stat(self.path))
        except FileNotFoundError:
            return False

    def _check_free(self, found: os.stat_result) -> tuple[int, int]:
        identity = found.st_dev, found.st_ino
        if identity in _open_here:
            raise JournalBusyError(self.path)
        return identity

    def _lock(self, descriptor: int) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalBusyError(self.path) from None
        except OSError as exc:
            log.warning(
                "the journal %s is on a file system without locks (%s); make sure that no other program uses it",
                self.path,
                exc.strerror,
            )

    def _read(self, file: BinaryIO, pause: Callable[[], object]) -> None:
        file.seek(0)
        mark = file.read(len(_MARK))
        if mark != _MARK and not _MARK.startswith(mark):
            raise JournalError(self.path, "it is not a journal of amap", f"it was left as it is; {_ANOTHER}", line=1)
        first = mark + file.readline() if mark == _MARK else mark
        if not first.endswith(b"\n"):  # empty, or torn before there was any record
            self._torn = bool(first)
            return
        self.asked_of = self._header(first)
        self._end = paused = len(first)
        for number, line in enumerate(file, 2):
            whole = line.endswith(b"\n")
            key = key_of(line) if line.strip() else None
            if key is not None:
                self.places[key] = self._end
            elif not whole:
                self._torn = True
                return
            elif line.strip():
                raise JournalError(
                    self.path,
                    "it is damaged: this line is not a record",
                    f"delete the line, and its task is asked again; or {_ANOTHER}",
                    line=number,
                )
            self._end += len(line)
            self._lead = b"" if whole else b"\n"
            if self._end - paused >= _PAUSE:
                paused = self._end
                pause()

    def _header(self, line: bytes) -> dict[str, str]:
        try:
            header: Any = json.loads(line)
        except (ValueError, RecursionError):
            header = {}
        version, asked_of = header.get("aimu_journal"), header.get("asked_of")
        if isinstance(version, int) and version > VERSION:
            raise JournalError(self.path, "a newer version of aimu wrote it", f"update aimu, or {_ANOTHER}", line=1)
        if version != VERSION or not isinstance(asked_of, dict):
            raise JournalError(self.path, "it is damaged: its first line cannot be read", _ANOTHER, line=1)
        return {str(name): str(value) for name, value in asked_of.items()}

    def begin(self, asked_of: dict[str, str]) -> None:
        """Write the first line of a new journal."""
        text = json.dumps(asked_of, separators=(",", ":"))
        self.append(_MARK + b'%d,"asked_of":%s}\n' % (VERSION, text.encode("ascii")))
        self.asked_of = asked_of

    def append(self, line: bytes) -> None:
        """Write a line. A line that cannot be written whole is taken back.

        Raises:
            JournalWriteError: It cannot be written, or the file was deleted or cut meanwhile.
        """
        try:
            state = os.fstat(self._descriptor)
            if state.st_nlink == 0 or state.st_size < self._end:
                happened = "deleted or replaced" if state.st_nlink == 0 else "cut"
                raise JournalWriteError(
                    self.path,
                    f"it was {happened} while amap used it",
                    "run the batch again; what is gone is asked again",
                )
            if self._torn:
                os.ftruncate(self._descriptor, self._end)
            self._torn = True  # also if a signal raises between two of the next lines
            left = memoryview(self._lead + line)
            length = len(left)
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as exc:
            if isinstance(exc, JournalError):
                raise
            self._take_back()
            raise JournalWriteError(
                self.path,
                f"it cannot be written: {exc.strerror}",
                "correct that and run the batch again: what is recorded is not asked again",
            ) from exc
        self._end += length
        self._torn, self._lead = False, b""

    def _take_back(self) -> None:
        """Remove what was written of a line; if that fails too, the next record or run does it."""
        try:
            os.ftruncate(self._descriptor, self._end)
        except OSError as exc:
            log.warning("the journal %s ends with a torn record: %s", self.path, exc.strerror)

    def read(self, place: int) -> bytes:
        """Return the line that begins at this place.

        Raises:
            OSError: It cannot be read.
        """
        os.lseek(self._descriptor, place, os.SEEK_SET)
        pieces: list[bytes] = []
        while piece := os.read(self._descriptor, _BLOCK):
            end = piece.find(b"\n")
            if end >= 0:
                pieces.append(piece[:end])
                break
            pieces.append(piece)
        return b"".join(pieces)
