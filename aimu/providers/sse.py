"""Bytes of a response body, cut anywhere, into whole events: Server-Sent Events and JSON lines.

Pure and incremental; knows nothing of what the events mean. A body that ends inside an event leaves a tail, which
`finish` hands out: whether a cut-off tail matters is the caller's to judge.
"""

from __future__ import annotations

from typing import final

_BOM = b"\xef\xbb\xbf"


@final
class LineSplitter:
    """Bytes in, whole lines out, without their ends; a line ends at CRLF, LF or CR."""

    def __init__(self) -> None:
        self._held: list[bytes] = []  # pieces of the line that has not ended yet
        self._after_cr = False  # a CR ended the last line: a LF that comes next belongs to it

    @property
    def inside(self) -> bool:
        """Whether what comes next belongs to a line, or a line end, that has begun."""
        return bool(self._held) or self._after_cr

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[0] == 10:
                chunk = chunk[1:]
        if b"\n" not in chunk and b"\r" not in chunk:
            if chunk:
                self._held.append(chunk)
            return []
        lines = chunk.splitlines()
        if self._held:
            lines[0] = b"".join(self._held) + lines[0]
            self._held.clear()
        if chunk[-1] == 13:
            self._after_cr = True
        elif chunk[-1] != 10:
            self._held.append(lines.pop())
        return lines

    def finish(self) -> bytes:
        """What came after the last line end."""
        tail = b"".join(self._held)
        self._held.clear()
        return tail


@final
class SSEDecoder:
    """Server-Sent Events as their data; lines of data are joined by LF.

    Comments, `event`, `id` and `retry` are skipped: the formats read here say in the data what an event is.
    https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation.
    """

    def __init__(self) -> None:
        self._lines = LineSplitter()
        self._first = True
        self._between = True  # whether what comes next belongs to no event that has begun
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._between and chunk[-1:] == b"\n":
            lines = chunk.splitlines()
            if len(lines) == 2 and not lines[1] and lines[0][:6] == b"data: ":
                return [lines[0][6:]]  # one event in one piece: nearly every time
        events: list[bytes] = []
        for line in self._lines.feed(chunk):
            if line:
                self._field(line)
            elif self._data:
                events.append(self._dispatch())
        self._between = not (self._data or self._lines.inside)
        return events

    def finish(self) -> bytes | None:
        """An event that no blank line has ended, cut off or not."""
        tail = self._lines.finish()
        if tail:
            self._field(tail)
        return self._dispatch() if self._data else None

    def _dispatch(self) -> bytes:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data = []
        return data

    def _field(self, line: bytes) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line == b"data":
            self._data.append(b"")


@final
class JSONLinesDecoder:
    """One JSON text a line, blank lines skipped.

    https://github.com/ndjson/ndjson-spec.
    """

    def __init__(self) -> None:
        self._lines = LineSplitter()

    def feed(self, chunk: bytes) -> list[bytes]:
        return [line for line in self._lines.feed(chunk) if line and not line.isspace()]

    def finish(self) -> bytes | None:
        """A last line without its end, cut off or not."""
        tail = self._lines.finish()
        return tail if tail.strip() else None
