"""An MCP server as a child process: spawned, spoken to in lines of JSON, and reaped whatever happens.

The transport is ours, for three things: there is no await between the spawn and the code that reaps, so that no
cancellation can leave a child behind; what the server says last on stderr is kept; and how it ended is known.
Format: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio (read 2026-11-22).
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import IO, Any, cast, final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from aimu.aio._mcp.config import ProcessSpec
from aimu.errors import MCPConnectionError

log = logging.getLogger("aimu.aio")

FLUSH = 0.5  # s; for messages already accepted to be written
EXIT = 2.0  # s; for the server to end by itself after its stdin is closed, and again after SIGTERM
LAST_WORDS = 0.5  # s; for stderr and the exit status to follow the end of stdout
TAIL_LINES, TAIL_LINE = 20, 500  # what is kept of stderr: lines, and characters of each
CHUNK = 65536


@final
class ServerProcess:
    """One run of a server. `polite` is set once it has answered: until then it is killed, not asked to end."""

    def __init__(self, spec: ProcessSpec, on_end: Callable[[], object]) -> None:
        self.polite = False
        self._spec = spec
        self._on_end = on_end
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._popen: subprocess.Popen[bytes] | None = None
        self._over = anyio.Event()  # no more will come of it, for one reason or another
        self._told, self._heard, self._written = anyio.Event(), anyio.Event(), anyio.Event()  # the ends of its pipes
        self._writing = anyio.CancelScope()

    @property
    def stderr(self) -> str:
        """Its last lines."""
        return "\n".join(self._tail)

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        code = None if self._popen is None else self._popen.returncode
        if code is None:
            return "closed the connection"
        if code >= 0:
            return f"exited with status {code}"
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
        return f"was killed by signal {-code}"

    @asynccontextmanager
    async def streams(self) -> AsyncGenerator[tuple[Any, Any]]:
        """The transport: messages of the server, and those for it."""
        stdin, stdout, stderr = self._spawn()
        to_session, incoming = anyio.create_memory_object_stream[Any](0)
        outgoing, from_session = anyio.create_memory_object_stream[Any](0)
        with stdin, stdout, stderr, to_session, incoming, outgoing, from_session:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read, stdout, to_session)
                group.start_soon(self._listen, stderr)
                group.start_soon(self._write, stdin, from_session)
                group.start_soon(self._watch)
                group.start_soon(self._finish, to_session)
                try:
                    yield incoming, outgoing
                finally:
                    outgoing.close()
                    incoming.close()
                    with anyio.CancelScope(shield=True):  # each wait below is bounded
                        if self.polite:
                            with anyio.move_on_after(FLUSH):
                                await self._written.wait()
                        self._writing.cancel()  # which closes its stdin
                        await self._end()
                    group.cancel_scope.cancel()

    def _spawn(self) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
        from mcp.client.stdio import get_default_environment

        spec = self._spec
        try:
            # Popen, and neither backend's process: those await while the child is already there.
            self._popen = popen = subprocess.Popen(
                [spec.command, *spec.args],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={**get_default_environment(), **spec.env},
                cwd=spec.cwd,
                start_new_session=True,
            )
        except (OSError, ValueError) as exc:
            raise MCPConnectionError(spec.name, _no_start(spec, exc)) from exc
        pipes = cast("tuple[IO[bytes], IO[bytes], IO[bytes]]", (popen.stdin, popen.stdout, popen.stderr))
        for pipe in pipes:
            os.set_blocking(pipe.fileno(), False)
        return pipes

    async def _read(self, stdout: IO[bytes], to_session: MemoryObjectSendStream[Any]) -> None:
        from mcp.shared.message import SessionMessage
        from mcp_types import jsonrpc_message_adapter

        async with aclosing(_lines(stdout.fileno())) as lines:
            async for line in lines:
                try:
                    message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
                except ValueError:
                    self._said(line)  # a server that prints where it must not
                    continue
                try:
                    await to_session.send(message)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    pass  # nobody reads any more; go on draining, or the server could not end

        self._told.set()
        self._over.set()

    async def _listen(self, stderr: IO[bytes]) -> None:
        async with aclosing(_lines(stderr.fileno())) as lines:
            async for line in lines:
                self._said(line)
        self._heard.set()

    async def _write(self, stdin: IO[bytes], from_session: MemoryObjectReceiveStream[Any]) -> None:
        """Messages to stdin, which is closed at their end, or when `_writing` is cancelled."""
        with stdin, self._writing:
            try:
                async for item in from_session:
                    text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                    await _send(stdin.fileno(), text.encode() + b"\n")
            except OSError:  # it reads no more, so it will not answer either
                self._over.set()
        self._written.set()

    async def _watch(self) -> None:
        await self._gone()
        self._over.set()

    async def _finish(self, to_session: MemoryObjectSendStream[Any]) -> None:
        """Fail the calls in flight once it is over, with all that is known by then."""
        await self._over.wait()
        with anyio.move_on_after(LAST_WORDS):  # a process that it started may keep the pipes open
            await self._told.wait()
            await self._heard.wait()
            await self._gone()
        to_session.close()
        self._on_end()

    def _said(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        if text:
            log.debug("MCP server %r: %s", self._spec.name, text)
            self._tail.append(text[:TAIL_LINE])

    async def _end(self) -> None:
        """Wait for its end, and hasten it."""
        for sign in (None, signal.SIGTERM, signal.SIGKILL) if self.polite else (signal.SIGKILL,):
            if sign is not None:
                self._signal(sign)
            with anyio.move_on_after(EXIT):
                await self._gone()
                return
        log.warning("MCP server %r: its process does not end after SIGKILL", self._spec.name)

    async def _gone(self) -> None:
        """Wait until it has ended."""
        # Not by a backend's process: asyncio's takes a pipe that a grandchild holds for a living server.
        popen = cast("subprocess.Popen[bytes]", self._popen)
        while not self._reaped():
            try:
                fd = os.pidfd_open(popen.pid)
            except (AttributeError, OSError):  # not Linux, or gone this moment
                await anyio.sleep(0.02)
                continue
            try:
                await anyio.wait_readable(fd)
            finally:
                os.close(fd)

    def _reaped(self) -> bool:
        """Whether it has ended; then what it left in its process group is killed, and it is reaped."""
        popen = cast("subprocess.Popen[bytes]", self._popen)
        if popen.returncode is None and hasattr(os, "waitid"):
            with suppress(ChildProcessError):
                if os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    return False
            self._signal(signal.SIGKILL)  # before it is reaped: until then the group's number cannot be another's
        return popen.poll() is not None

    def _signal(self, sign: signal.Signals) -> None:
        popen = cast("subprocess.Popen[bytes]", self._popen)
        if popen.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(popen.pid, sign)


async def _send(fd: int, message: bytes) -> None:
    """Write it whole to a non-blocking pipe."""
    rest = memoryview(message)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            await anyio.wait_writable(fd)


async def _lines(fd: int) -> AsyncGenerator[bytes]:
    """The lines of a non-blocking pipe, the last one even when it is cut off."""
    parts: list[bytes] = []
    while True:
        await anyio.wait_readable(fd)
        chunk = os.read(fd, CHUNK)
        if not chunk:
            break
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            yield b"".join([*parts, line])
            parts.clear()
        parts.append(rest)
    if any(parts):
        yield b"".join(parts)


def _no_start(spec: ProcessSpec, exc: OSError | ValueError) -> str:
    if not isinstance(exc, FileNotFoundError):
        return f"{spec.command!r} cannot be started: {getattr(exc, 'strerror', None) or exc}"
    if exc.filename == spec.cwd:
        return f"there is no folder {spec.cwd!r}, which its 'cwd' names"
    return f"{spec.command!r} was not found; install it, or give its full path or a PATH in 'env'"
