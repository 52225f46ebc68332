"""Generated from aimu.aio by `python -m aimu._tools.generate`: do not edit.

The sync twins of MCPClient. They decide nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, final

from aimu._doors import public
from aimu._sync import bridge
from aimu._sync.twin import Facade, twin_of
from aimu.aio._mcp.client import MCPClient as AsyncMCPClient
from aimu.aio._mcp.options import MCPOptions
from aimu.aio._mcp.reading import MCPPrompt, MCPResource
from aimu.aio._mcp.results import Content
from aimu.tools._definition import Tool

if TYPE_CHECKING:
    from fastmcp import FastMCP


@public("aimu.tools")
@final
@twin_of(AsyncMCPClient)
class MCPClient(Facade):
    """The tools of one or more MCP servers, to put into the `tools` of a client or agent.

    `with MCPClient(...)` connects until the block ends. Without a block, `MCPClient.connect(...)` connects until
    `close()`. Calls may run concurrently and in any thread. Give exactly one of `config`, `server` and `file`. With
    several servers, each tool is named `<server>_<tool>`, unless `prefix=` says otherwise. A name that services do not
    accept, or that another tool has, is changed; `call_tool` takes it in both forms.

    Args:
        config: Servers in the usual form `{"mcpServers": {name: {...}}}`.
        server: A FastMCP server in this program, which is called on the caller's thread.
        file: The path of a JSON file with the contents of `config`.
        reconnect: Whether the next call after a lost connection opens a new one; otherwise every later call raises at
            once. A call that was in flight is never repeated.
        timeout: Seconds for the handshake and for each request, even if the server sends progress; None is no limit.
        **options: Further options, which `aimu.types.MCPOptions` lists.

    Raises:
        InvalidOptionError: Not exactly one of `config`, `server` and `file` is given, or the configuration is invalid.
        MissingExtraError: The extra `mcp` is not installed.

    Example:
        with MCPClient(file="mcp.json") as mcp:
            agent = Agent(client, tools=[mcp])
            print(agent.run("List the open issues."))
    """

    __aio__: AsyncMCPClient

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
        self._hold(
            AsyncMCPClient(config=config, server=server, file=file, reconnect=reconnect, timeout=timeout, **options)
        )

    @classmethod
    def connect(
        cls,
        *,
        config: dict[str, Any] | None = None,
        server: FastMCP[Any] | None = None,
        file: str | os.PathLike[str] | None = None,
        reconnect: bool = False,
        timeout: float | None = None,
        **options: Unpack[MCPOptions],
    ) -> Self:
        """Make a client and connect it; close it with `close()`.

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
        return cls._of(
            bridge.run(
                AsyncMCPClient.connect(
                    config=config, server=server, file=file, reconnect=reconnect, timeout=timeout, **options
                )
            )
        )

    def __enter__(self) -> Self:
        bridge.run(self.__aio__._hold_in_thread())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ping(self) -> list[dict[str, Any]]:
        """Ask every server for its tools now, to check that it answers.

        Returns:
            The tools, as `get_tools` returns them.

        Raises:
            MCPConnectionError: A connection is lost.
            MCPTimeoutError: A server does not answer in time.
            ClosedClientError: The client was closed.
        """
        return bridge.run(self.__aio__.ping())

    def get_tools(self) -> list[dict[str, Any]]:
        """List the tools in OpenAI function format.

        Returns:
            One dict for each tool: `{"type": "function", "function": {...}}`.

        Raises:
            MCPConnectionError: A connection is lost.
            MCPTimeoutError: A server does not answer in time.
            ClosedClientError: The client was closed.
        """
        return bridge.run(self.__aio__.get_tools())

    def as_tools(self) -> list[Tool]:
        """List the tools as `Tool` objects for a client or agent.

        If a tool fails or its server cannot be reached, the model reads the error as the result.

        Returns:
            The tools of all servers.

        Raises:
            MCPConnectionError: A connection is lost.
            MCPTimeoutError: A server does not answer in time.
            ClosedClientError: The client was closed.
        """
        return bridge.run(self.__aio__.as_tools())

    def call_tool(
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
            on_progress: Called on the thread of this call with progress, total and message, each time that the server
                reports progress; may be `async def`.

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
        return bridge.run(self.__aio__.call_tool(name, arguments, timeout=timeout, on_progress=on_progress))

    def close(self) -> None:
        """Close the connections and wait until server processes have ended.

        May be called from any thread, and more than once.
        """
        bridge.run(self.__aio__.aclose())

    def resources(self) -> list[MCPResource]:
        """List the resources of all servers, and the templates of resources.

        Returns:
            The resources, then the templates, of each server.

        Raises:
            MCPConnectionError: A connection is lost.
            MCPTimeoutError: A server does not answer in time.
            ClosedClientError: The client was closed.
        """
        return bridge.run(self.__aio__.resources())

    def read(self, uri: str, *, server: str | None = None) -> Content:
        """Read a resource.

        Args:
            uri: Its address, as `resources` lists it, or made from a template.
            server: The name of the server; needed if several servers are connected and not exactly one lists `uri`.

        Returns:
            Its text, or a list of content parts if it has images.

        Raises:
            InvalidOptionError: It is not clear which server is meant.
            MCPConnectionError: The connection is lost.
            MCPTimeoutError: The server does not answer in time.
            MCPError: The server has no such resource.
            ClosedClientError: The client was closed.
        """
        return bridge.run(self.__aio__.read(uri, server=server))

    def prompts(self) -> list[MCPPrompt]:
        """List the prompts of all servers.

        Returns:
            The prompts.

        Raises:
            MCPConnectionError: A connection is lost.
            MCPTimeoutError: A server does not answer in time.
            ClosedClientError: The client was closed.
        """
        return bridge.run(self.__aio__.prompts())

    def get_prompt(
        self, name: str, arguments: dict[str, str] | None = None, *, server: str | None = None
    ) -> list[dict[str, Any]]:
        """Get the messages of a prompt, in the form of `messages`.

        Args:
            name: Its name, as `prompts` lists it.
            arguments: Its arguments by name; None is no arguments.
            server: The name of the server; needed if several servers are connected and not exactly one lists `name`.

        Returns:
            The messages.

        Raises:
            InvalidOptionError: It is not clear which server is meant, or an argument is not a text.
            MCPConnectionError: The connection is lost.
            MCPTimeoutError: The server does not answer in time.
            MCPError: The server has no such prompt, or refuses the arguments.
            ClosedClientError: The client was closed.
        """
        return bridge.run(self.__aio__.get_prompt(name, arguments, server=server))
