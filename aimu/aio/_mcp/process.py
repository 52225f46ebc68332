"""An MCP server as a child process: spawned, addressed in lines of JSON, and always reaped.

The SDK's transport is not used, for three reasons. Here there is no await between the spawn and the code that reaps, so
that no cancellation can leave a child process behind; the last lines of stderr are kept; and the exit status is known.
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
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from aimu._core.escaping import escaping
from aimu._core.secrets import Secrets
from aimu.aio._mcp.config import ProcessSpec
from aimu.aio._mcp.faults import silent
from aimu.aio._mcp.framing import Oversized, lines, send
from aimu.aio._mcp.messages import failed, read_messages
from aimu.errors import MCPConnectionError

log = escaping(logging.getLogger("aimu.aio"))

FLUSH = 0.5  # s; time to write messages that were already accepted
EXIT = 2.0  # s; time for the server to exit after its stdin is closed, and again after SIGTERM
LAST_WORDS = 0.5  # s; time for stderr and the exit status to follow the end of stdout
TAIL_LINES, TAIL_LINE = 20, 500  # how much of stderr is kept: lines, and characters of each
LONGEST_STDERR = 65536  # bytes of a line on stderr


@final
class ServerProcess:
    """One process of a server.

    `polite` is set after its first answer. A process that is closed before that is killed without a grace period.
    """

    def __init__(self, spec: ProcessSpec, on_end: Callable[[], object], *, probe: float, largest: int) -> None:
        self.polite = False
        self._spec = spec
        self._on_end = on_end
        self._probe = probe  # s; time to answer `server/discover`
        self._largest = largest  # bytes of one message
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._secrets = Secrets(spec.secrets)
        self._popen: subprocess.Popen[bytes] | None = None
        self._finished = anyio.Event()  # the process gives no more answers, for whatever reason
        # Set when stdout has ended, when stderr has ended, when stdin is closed.
        self._stdout_ended, self._stderr_ended, self._stdin_closed = anyio.Event(), anyio.Event(), anyio.Event()
        self._writing = anyio.CancelScope()

    @property
    def stderr(self) -> str:
        """The last lines on stderr."""
        return "\n".join(self._tail)

    @property
    def ending(self) -> str:
        """How the process ended, as the end of a sentence."""
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
        """Run the server, and yield the two streams of messages: from the server, and to it."""
        stdin, stdout, stderr = self._spawn()
        to_session, incoming = anyio.create_memory_object_stream[Any](0)
        outgoing, from_session = anyio.create_memory_object_stream[Any](0)
        with stdin, stdout, stderr, to_session, incoming, outgoing, from_session:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read_stdout, stdout, to_session)
                group.start_soon(self._read_stderr, stderr)
                group.start_soon(self._write_stdin, stdin, from_session, to_session, group)
                group.start_soon(self._watch)
                group.start_soon(self._fail_calls, to_session)
                try:
                    yield incoming, outgoing
                finally:
                    outgoing.close()
                    incoming.close()
                    # Shielded, since no process may outlive a cancelled call. Bounded: FLUSH, and the waits of `_stop`.
                    with anyio.CancelScope(shield=True):
                        if self.polite:
                            with anyio.move_on_after(FLUSH):
                                await self._stdin_closed.wait()
                        self._writing.cancel()  # closes stdin
                        await self._stop()
                    group.cancel_scope.cancel()

    def _spawn(self) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
        from mcp.client.stdio import get_default_environment

        spec = self._spec
        try:
            # Popen rather than a backend's process, because those await when the child already exists.
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
            raise MCPConnectionError(spec.name, _start_failure(spec, exc)) from exc
        pipes = cast("tuple[IO[bytes], IO[bytes], IO[bytes]]", (popen.stdin, popen.stdout, popen.stderr))
        for pipe in pipes:
            os.set_blocking(pipe.fileno(), False)
        return pipes

    async def _read_stdout(self, stdout: IO[bytes], to_session: MemoryObjectSendStream[Any]) -> None:
        async with aclosing(lines(stdout.fileno(), self._largest)) as whole:
            async for line in whole:
                messages = read_messages(line)
                for message in messages:
                    await _deliver(message, to_session)
                if messages:
                    continue
                if isinstance(line, Oversized):
                    log.warning("MCP server %r: a message of %d bytes was discarded", self._spec.name, line.size)
                else:
                    self._keep_line(line)  # not a message: the server prints other text to stdout
        self._stdout_ended.set()
        self._finished.set()

    async def _read_stderr(self, stderr: IO[bytes]) -> None:
        async with aclosing(lines(stderr.fileno(), LONGEST_STDERR)) as whole:
            async for line in whole:
                self._keep_line(line.head if isinstance(line, Oversized) else line)
        self._stderr_ended.set()

    async def _write_stdin(
        self,
        stdin: IO[bytes],
        from_session: MemoryObjectReceiveStream[Any],
        to_session: MemoryObjectSendStream[Any],
        group: TaskGroup,
    ) -> None:
        """Write the messages to stdin; close it after the last one, or when `_writing` is cancelled."""
        with stdin, self._writing:
            try:
                async for item in from_session:
                    text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                    await send(stdin.fileno(), text.encode() + b"\n")
                    if getattr(item.message, "method", "") == "server/discover":
                        group.start_soon(self._end_probe, item.message.id, to_session)
            except OSError:  # the server no longer reads, so it will not answer either
                self._finished.set()
        self._stdin_closed.set()

    async def _end_probe(self, request: int | str, to_session: MemoryObjectSendStream[Any]) -> None:
        """Answer `server/discover` in the place of a server that does not; the session ignores a second answer."""
        await anyio.sleep(self._probe)
        await _deliver(failed(request, silent(self._probe)), to_session)

    async def _watch(self) -> None:
        await self._exited()
        self._finished.set()

    async def _fail_calls(self, to_session: MemoryObjectSendStream[Any]) -> None:
        """Wait until no more answers come and briefly for stderr and the exit status; then fail the calls in flight."""
        await self._finished.wait()
        with anyio.move_on_after(LAST_WORDS):  # a process that the server started may keep the pipes open
            await self._stdout_ended.wait()
            await self._stderr_ended.wait()
            await self._exited()
        to_session.close()
        self._on_end()

    def _keep_line(self, line: bytes) -> None:
        text = self._secrets.hide(line.decode(errors="replace").rstrip(), cut=True)  # before anything is cut off
        if text:
            log.debug("MCP server %r: %s", self._spec.name, text)
            self._tail.append(text[:TAIL_LINE])

    async def _stop(self) -> None:
        """Wait for the process to exit; after a grace period terminate it, then kill it."""
        for sign in (None, signal.SIGTERM, signal.SIGKILL) if self.polite else (signal.SIGKILL,):
            if sign is not None:
                self._signal(sign)
            with anyio.move_on_after(EXIT):
                await self._exited()
                return
        log.warning("MCP server %r: its process did not exit after SIGKILL", self._spec.name)

    async def _exited(self) -> None:
        """Wait until the process has exited and is reaped."""
        # Without a backend's process: asyncio's keeps waiting while a grandchild holds a pipe open.
        popen = cast("subprocess.Popen[bytes]", self._popen)
        while not self._reaped():
            try:
                fd = os.pidfd_open(popen.pid)
            except (AttributeError, OSError):  # not Linux, or the process has just exited
                await anyio.sleep(0.02)
                continue
            try:
                await anyio.wait_readable(fd)
            finally:
                os.close(fd)

    def _reaped(self) -> bool:
        """Return whether the process has exited; if so, kill the rest of its process group and reap it."""
        popen = cast("subprocess.Popen[bytes]", self._popen)
        if popen.returncode is None and hasattr(os, "waitid"):
            with suppress(ChildProcessError):
                if os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    return False
            self._signal(signal.SIGKILL)  # before reaping, because until then no other group can get the same id
        return popen.poll() is not None

    def _signal(self, sign: signal.Signals) -> None:
        popen = cast("subprocess.Popen[bytes]", self._popen)
        if popen.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(popen.pid, sign)


async def _deliver(message: Any, to_session: MemoryObjectSendStream[Any]) -> None:
    from mcp.shared.message import SessionMessage

    # If nobody reads any more, drain stdout nevertheless, so that the server can exit.
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await to_session.send(SessionMessage(message))


def _start_failure(spec: ProcessSpec, exc: OSError | ValueError) -> str:
    if not isinstance(exc, FileNotFoundError):
        return f"{spec.command!r} cannot be started: {getattr(exc, 'strerror', None) or exc}"
    if exc.filename == spec.cwd:
        return f"there is no folder {spec.cwd!r}; correct its 'cwd'"
    return f"{spec.command!r} was not found; install it, or give its full path or a PATH in 'env'"
