"""The public MCP client: opening and closing, the tools, and calling a tool by name."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, final

import anyio
from anyio.abc import TaskGroup

from aimu._core.escaping import escaping
from aimu._core.known import with_known_attributes
from aimu._core.processes import stays_in_its_process
from aimu._core.surrogates import whole
from aimu._doors import public
from aimu.aio._mcp.config import HTTPSpec, Spec, read_config, read_file
from aimu.aio._mcp.memory import MemoryServer
from aimu.aio._mcp.names import Names
from aimu.aio._mcp.options import MCPOptions, settings
from aimu.aio._mcp.owner import Owner
from aimu.aio._mcp.reading import Reading
from aimu.aio._mcp.remote import RemoteServer, connect
from aimu.aio._mcp.results import Content, failure_text, marked_as_error, result_content
from aimu.aio._mcp.sent import json_object
from aimu.aio._place import Place
from aimu.errors import AimuError, ClosedClientError, InvalidOptionError, MissingExtraError, ToolError
from aimu.tools._definition import Tool

if TYPE_CHECKING:
    from fastmcp import FastMCP

log = escaping(logging.getLogger("aimu.aio"))


def _warn(error: AimuError) -> None:
    log.warning("left out: %s", error)


def _check_single(specs: Sequence[Spec]) -> None:
    if sum(isinstance(spec, HTTPSpec) for spec in specs) != 1:
        raise InvalidOptionError(
            "headers= and bearer= are for one server over HTTP; write the headers of several into the configuration, "
            "or make a client for each"
        )


@public("aimu.aio")
@final
@stays_in_its_process("an MCP client", "make one in each process")
@with_known_attributes
class MCPClient(Reading):
    """The tools of one or more MCP servers, to put into the `tools` of a client or agent.

    `async with MCPClient(...)` connects, and holds the connections in this event loop until the block ends. Without a
    block, `await MCPClient.connect(...)` holds the connections in a thread; any async task may then call `aclose()`.
    Calls may run concurrently and in any event loop. Give exactly one of `config`, `server` and `file`. With several
    servers, each tool is named `<server>_<tool>`, unless `prefix=` says otherwise. A name that services do not accept,
    or that another tool has, is changed; `call_tool` takes it in both forms.

    Args:
        config: Servers in the usual form `{"mcpServers": {name: {...}}}`.
        server: A FastMCP server in this program, which is called in the caller's event loop.
        file: The path of a JSON file with the contents of `config`.
        reconnect: Whether the next call after a lost connection opens a new one; otherwise every later call raises at
            once. A call that was in flight is never repeated.
        timeout: Seconds for the handshake and for each request, even if the server sends progress; None is no limit.
        **options: Further options, which `aimu.types.MCPOptions` lists.

    Raises:
        InvalidOptionError: Not exactly one of `config`, `server` and `file` is given, or the configuration is invalid.
        MissingExtraError: The extra `mcp` is not installed.

    Example:
        async with aio.MCPClient(file="mcp.json") as mcp:
            agent = aio.Agent(client, tools=[mcp])
            print(await agent.run("List the open issues."))
    """

    def __init__(
        self,
        *,
        config: dict[str, Any] | None = None,
        server: FastMCP[Any] | None = None,
        file: str | os.PathLike[str] | None = None,
        reconnect: bool = False,
        timeout: float | None = None,
        **options: Unpack[MCPOptions],
    ) -> None:
        if sum(given is not None for given in (config, server, file)) != 1:
            raise InvalidOptionError("MCPClient needs exactly one of config=, server= and file=")
        checked = settings(options, timeout=timeout, reconnect=reconnect)
        self._servers: list[RemoteServer | MemoryServer] = []
        self._owner: Owner | None = None
        self._group: TaskGroup | None = None
        self._entered: Place | None = None
        self._lifespans = AsyncExitStack()  # of server objects, in the block
        self._state = "new"
        try:
            if server is not None:
                if checked.headers is not None or checked.bearer is not None:
                    _check_single([])
                self._servers = [MemoryServer(server, checked)]
                self._names = Names([self._servers[0].name], checked.naming)
                return
            import_module("mcp")  # so that a missing extra raises here, not in the owner's task
        except ImportError as exc:
            raise MissingExtraError(exc.name or "mcp", "mcp") from exc
        skip = _warn if checked.on_error == "skip" else None
        if config is not None:
            specs = read_config(config, checked.inputs, skip)
        else:
            specs = read_file(file or "", checked.inputs, skip)
        if checked.headers is not None or checked.bearer is not None:
            _check_single(specs)
        self._owner = owner = Owner(f"the MCP client of {', '.join(repr(spec.name) for spec in specs)}")
        self._servers = [RemoteServer(spec, owner, checked) for spec in specs]
        self._names = Names([spec.name for spec in specs], checked.naming)
        self._skip = skip is not None
        weakref.finalize(self, owner.stop).atexit = False

    @classmethod
    async def connect(
        cls,
        *,
        config: dict[str, Any] | None = None,
        server: FastMCP[Any] | None = None,
        file: str | os.PathLike[str] | None = None,
        reconnect: bool = False,
        timeout: float | None = None,
        **options: Unpack[MCPOptions],
    ) -> Self:
        """Make a client and connect it; close it with `aclose()`.

        If connecting fails or is cancelled, all connections and server processes have ended before the error is raised.

        Args:
            config: Servers in the usual form `{"mcpServers": {name: {...}}}`.
            server: A FastMCP server in this program.
            file: The path of a JSON file with the contents of `config`.
            reconnect: Whether the next call after a lost connection opens a new one.
            timeout: Seconds for the handshake and for each request; None is no limit.
            **options: Further options, which `aimu.types.MCPOptions` lists.

        Returns:
            The connected client.

        Raises:
            InvalidOptionError: Not exactly one of `config`, `server` and `file` is given, or the configuration is
                invalid.
            MissingExtraError: The extra `mcp` is not installed.
            MCPConnectionError: A server cannot be started or reached.
            MCPTimeoutError: A server does not answer in time.
        """
        client = cls(config=config, server=server, file=file, reconnect=reconnect, timeout=timeout, **options)
        await client._hold_in_thread()
        return client

    async def _hold_in_thread(self) -> None:
        if self._state == "closed":
            raise ClosedClientError(self._who)
        if self._state == "new":
            if self._owner is not None:
                self._owner.start_thread()
            await self._open()

    async def __aenter__(self) -> Self:
        if self._state == "closed":
            raise ClosedClientError(self._who)
        if self._state == "new":
            if self._owner is not None:
                self._entered = Place.here()
                self._group = await anyio.create_task_group().__aenter__()
                self._group.start_soon(self._owner.run_here)
            try:
                await self._open()
                await self._enter_lifespans()
            except BaseException:
                await self._leave_group()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._lifespans.__aexit__(kind, exc, trace)
        finally:
            await self.aclose()
            await self._leave_group()

    def __repr__(self) -> str:
        return f"<MCPClient {', '.join(repr(server.name) for server in self._servers)}, {self._state}>"

    async def ping(self) -> list[dict[str, Any]]:
        """Ask every server for its tools now, to check that it answers.

        Returns:
            The tools, as `get_tools` returns them.

        Raises:
            MCPConnectionError: A connection is lost.
            MCPTimeoutError: A server does not answer in time.
            ClosedClientError: The client was closed.
        """
        return [tool.schema for tool in await self._tools(fresh=True)]

    async def get_tools(self) -> list[dict[str, Any]]:
        """List the tools in OpenAI function format.

        Returns:
            One dict for each tool: `{"type": "function", "function": {...}}`.

        Raises:
            MCPConnectionError: A connection is lost.
            MCPTimeoutError: A server does not answer in time.
            ClosedClientError: The client was closed.
        """
        return [tool.schema for tool in await self.as_tools()]

    async def as_tools(self) -> list[Tool]:
        """List the tools as `Tool` objects for a client or agent.

        If a tool fails or its server cannot be reached, the model reads the error as the result.

        Returns:
            The tools of all servers.

        Raises:
            MCPConnectionError: A connection is lost.
            MCPTimeoutError: A server does not answer in time.
            ClosedClientError: The client was closed.
        """
        return await self._tools(fresh=False)

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        *,
        timeout: float | None = None,
        on_progress: Callable[[float, float | None, str | None], object] | None = None,
    ) -> Content:
        """Call a tool. Cancelling this call cancels it on the server too.

        Args:
            name: The name of the tool as `get_tools` returns it, or as the server spells it.
            arguments: The arguments by name; None is no arguments.
            timeout: Seconds for this call; None uses the client's `timeout`.
            on_progress: Called in the async task of this call with progress, total and message, each time that the
                server reports progress; may be `async def`.

        Returns:
            The text of the result, or a list of content parts if it has images.

        Raises:
            ToolError: The tool fails; the text is what it reports.
            InvalidOptionError: No server has a tool of this name, or the arguments are not JSON data.
            MCPConnectionError: The connection is lost; the call may have run.
            MCPTimeoutError: The server does not answer in time.
            MCPError: The server answers with a protocol error.
            ClosedClientError: The client was closed.
        """
        self._check()
        if not self._names.complete:
            await self._tools(fresh=False)
        index, own_name = self._names.find(name)
        sent = json_object({} if arguments is None else arguments, f"the arguments of tool {name!r}")
        result = await self._servers[index].call(whole(own_name), sent, timeout, on_progress)
        content = result_content(result)
        if result.is_error:
            raise ToolError(failure_text(content))
        return content

    async def aclose(self) -> None:
        """Close the connections and wait until server processes have ended.

        May be called from any async task, and more than once.
        """
        started, self._state = self._state != "new", "closed"
        if self._owner is not None and started:
            await self._owner.aclose()

    async def _open(self) -> None:
        self._state = "connected"
        if self._owner is not None:
            try:
                remote = [server for server in self._servers if isinstance(server, RemoteServer)]
                unreachable = await connect(self._owner, remote, skip=self._skip)
                self._servers = [server for server in self._servers if server not in unreachable]
                self._names = Names([server.name for server in self._servers], self._names.naming)
            except BaseException as exc:
                self._state = "closed"
                await self._owner.aclose(hurried=not isinstance(exc, Exception))
                raise

    async def _enter_lifespans(self) -> None:
        for server in self._servers:
            if isinstance(server, MemoryServer):
                await self._lifespans.enter_async_context(server.lifespan())

    async def _leave_group(self) -> None:
        # Another async task, such as that of a callback, leaves the group to the one that entered the block.
        if self._group is not None and self._entered is not None and self._entered.is_current_task:
            group, self._group = self._group, None
            await group.__aexit__(None, None, None)

    @property
    def _all(self) -> list[RemoteServer | MemoryServer]:
        self._check()
        return self._servers

    @property
    def _revision(self) -> int:
        """Grows when a server says that its tools have changed; the loop of a turn then lists them again."""
        return sum(server.unasked.revision for server in self._servers)

    @property
    def _who(self) -> str:
        return "this MCP client" if self._owner is None else self._owner.who

    def _check(self) -> None:
        if self._state == "new":
            raise InvalidOptionError(
                "this MCPClient is not connected; connect it with `async with` or `await MCPClient.connect(...)`"
            )
        if self._state == "closed":
            raise ClosedClientError(self._who)

    async def _tools(self, *, fresh: bool) -> list[Tool]:
        self._check()
        listed = [(index, tool) for index in range(len(self._servers)) for tool in await self._listed(index, fresh)]
        named = [(self._names.shown(index, tool.name), index, tool) for index, tool in listed]
        return [self._tool(name, self._servers[index], tool) for name, index, tool in named if name is not None]

    async def _listed(self, index: int, fresh: bool) -> list[Any]:
        tools = await self._servers[index].tools(fresh=fresh)
        self._names.learn(index, [tool.name for tool in tools])
        return tools

    def _tool(self, name: str, server: RemoteServer | MemoryServer, tool: Any) -> Tool:
        async def call(**arguments: Any) -> Content:
            self._check()
            result = await server.call(tool.name, json_object(arguments, "the arguments"), None, None)
            content = result_content(result)
            if result.is_error:
                log.warning("MCP server %r: tool %r failed", server.name, tool.name)
                return marked_as_error(content)
            return content

        return Tool(
            name=name,
            function=call,
            description=tool.description or tool.title or "",
            parameters=tool.input_schema,
            origin=f"MCP server {server.name!r}",
        )
