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
    """Server-Sent Events as `(event name, data)`; the name is "" where none is given.

    Comments, `id` and `retry` are skipped, lines of data are joined by LF.
    https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation.
    """

    def __init__(self) -> None:
        self._lines = LineSplitter()
        self._first = True
        self._event = ""
        self._fields: list[bytes] = []

    def feed(self, chunk: bytes) -> list[tuple[str, bytes]]:
        if (
            chunk[:6] == b"data: "
            and chunk.find(b"\n") == len(chunk) - 2
            and chunk[-1] == 10
            and b"\r" not in chunk
            and not (self._fields or self._event or self._lines.inside)
        ):
            return [("", chunk[6:-2])]  # one event in one piece: nearly every time
        events: list[tuple[str, bytes]] = []
        for line in self._lines.feed(chunk):
            if line:
                self._field(line)
            elif self._fields:
                events.append(self._dispatch())
            else:
                self._event = ""
        return events

    def finish(self) -> tuple[str, bytes] | None:
        """An event that no blank line has ended, cut off or not."""
        tail = self._lines.finish()
        if tail:
            self._field(tail)
        return self._dispatch() if self._fields else None

    def _dispatch(self) -> tuple[str, bytes]:
        event = (self._event, self._fields[0] if len(self._fields) == 1 else b"\n".join(self._fields))
        self._event = ""
        self._fields = []
        return event

    def _field(self, line: bytes) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if line.startswith(b"data:"):
            self._fields.append(line[6:] if line[5:6] == b" " else line[5:])
            return
        name, _, value = line.partition(b":")
        if name == b"event":
            self._event = value.removeprefix(b" ").decode("utf8", "replace")
        elif name == b"data":
            self._fields.append(b"")


@final
class JSONLinesDecoder:
    """One JSON text a line, blank lines skipped, in the shape of `SSEDecoder`: the event name is always "".

    https://github.com/ndjson/ndjson-spec.
    """

    def __init__(self) -> None:
        self._lines = LineSplitter()

    def feed(self, chunk: bytes) -> list[tuple[str, bytes]]:
        return [("", line) for line in self._lines.feed(chunk) if line and not line.isspace()]

    def finish(self) -> tuple[str, bytes] | None:
        """A last line without its end, cut off or not."""
        tail = self._lines.finish()
        return ("", tail) if tail.strip() else None
