"""From the bytes of a response body, cut anywhere, to whole events: Server-Sent Events and JSON lines.

Pure and incremental; does not know what the events mean. If a body ends inside an event, `finish` returns the rest,
and the caller decides whether it matters.
"""

from __future__ import annotations

from typing import final

LONGEST_EVENT = 16 << 20  # bytes
_BOM = b"\xef\xbb\xbf"


class OverlongEventError(ValueError):
    """An event, or a line, is longer than `LONGEST_EVENT`."""

    def __init__(self) -> None:
        super().__init__(f"an event of the stream is longer than {LONGEST_EVENT >> 20} MiB")


@final
class LineSplitter:
    """Splits bytes into whole lines without their ends; a line ends with CRLF, LF or CR."""

    def __init__(self) -> None:
        self._held: list[bytes] = []  # the pieces of an unfinished line
        self._size = 0  # of these pieces together
        self._after_cr = False  # whether a CR ended the last line: an LF right after it belongs to it

    @property
    def inside(self) -> bool:
        """Whether the next byte belongs to a line, or a line end, that has begun."""
        return bool(self._held) or self._after_cr

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[0] == 10:
                chunk = chunk[1:]
        if b"\n" not in chunk and b"\r" not in chunk:
            if chunk:
                self._hold(chunk)
            return []
        lines = chunk.splitlines()
        if self._held:
            lines[0] = b"".join(self._held) + lines[0]
            self._held.clear()
            self._size = 0
        if chunk[-1] == 13:
            self._after_cr = True
        elif chunk[-1] != 10:
            self._hold(lines.pop())
        return lines

    def _hold(self, piece: bytes) -> None:
        self._held.append(piece)
        self._size += len(piece)
        if self._size > LONGEST_EVENT:
            raise OverlongEventError

    def finish(self) -> bytes:
        """Return what came after the last line end."""
        tail = b"".join(self._held)
        self._held.clear()
        return tail


@final
class SSEDecoder:
    """Reads the data of Server-Sent Events; several lines of data are joined with LF.

    Skips comments, `event`, `id` and `retry`: the formats of the services name an event's kind in its data.
    https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """

    def __init__(self) -> None:
        self._lines = LineSplitter()
        self._first = True
        self._between = True  # whether the next byte begins a new event
        self._data: list[bytes] = []
        self._size = 0  # of the data together

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._between and chunk[-1:] == b"\n":
            lines = chunk.splitlines()
            if len(lines) == 2 and not lines[1] and lines[0][:6] == b"data: ":
                return [lines[0][6:]]  # one event in one piece: nearly always
        events: list[bytes] = []
        for line in self._lines.feed(chunk):
            if line:
                self._field(line)
            elif self._data:
                events.append(self._dispatch())
        self._between = not (self._data or self._lines.inside)
        return events

    def finish(self) -> bytes | None:
        """Return a last event without its blank line, complete or not; None if there is none."""
        tail = self._lines.finish()
        if tail:
            self._field(tail)
        return self._dispatch() if self._data else None

    def _dispatch(self) -> bytes:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data = []
        self._size = 0
        return data

    def _field(self, line: bytes) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if line == b"data":
            line = b"data:"
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            self._size += len(line)
            if self._size > LONGEST_EVENT:
                raise OverlongEventError


@final
class JSONLinesDecoder:
    """Reads one JSON text per line; skips blank lines.

    https://github.com/ndjson/ndjson-spec
    """

    def __init__(self) -> None:
        self._lines = LineSplitter()

    def feed(self, chunk: bytes) -> list[bytes]:
        return [line for line in self._lines.feed(chunk) if line and not line.isspace()]

    def finish(self) -> bytes | None:
        """Return a last line without its line end, complete or not; None if there is none."""
        tail = self._lines.finish()
        return tail if tail.strip() else None
