"""The sync MCP client: the twin of `aimu.aio.MCPClient`. It decides nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, final

from aimu import aio
from aimu._sync import bridge
from aimu._sync.twin import Facade, twin_of
from aimu.aio.mcp.results import Content
from aimu.tools.definition import Tool

if TYPE_CHECKING:
    from fastmcp import FastMCP


@final
@twin_of(aio.MCPClient)
class MCPClient(Facade):
    """The tools of one or more MCP servers; give it among the `tools` of a client or agent, or as `mcp_client`.

    Exactly one of: `server`, a FastMCP server object, called on this thread; `config`, the usual
    `{"mcpServers": {...}}`; `file`, the path of such a JSON file. With several servers each tool is named
    `<server>_<tool>`. `timeout` bounds the handshake and each request, in seconds (None: no bound), whatever the
    server sends meanwhile. After a connection was lost, each further call says so at once, or with `reconnect` makes a
    new one; a call that was in flight is never repeated.

    `MCPClient.connect(...)`, or a `with` block around the instance, connects; calls may come from any thread.
    """

    __aio__: aio.MCPClient

    def __init__(
        self,
        *,
        config: dict[str, Any] | None = None,
        server: FastMCP[Any] | None = None,
        file: str | os.PathLike[str] | None = None,
        reconnect: bool = False,
        timeout: float | None = None,
    ) -> None:
        self._hold(aio.MCPClient(config=config, server=server, file=file, reconnect=reconnect, timeout=timeout))

    @classmethod
    def connect(
        cls,
        *,
        config: dict[str, Any] | None = None,
        server: FastMCP[Any] | None = None,
        file: str | os.PathLike[str] | None = None,
        reconnect: bool = False,
        timeout: float | None = None,
    ) -> Self:
        """A connected client, to be closed with `close()`; see the class.

        Raises MCPConnectionError when a server cannot be started or reached, MCPTimeoutError when it does not answer;
        then everything that was begun has ended first.
        """
        return cls(config=config, server=server, file=file, reconnect=reconnect, timeout=timeout).__enter__()

    def __enter__(self) -> Self:
        bridge.run(self.__aio__._hold_in_thread())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ping(self) -> list[dict[str, Any]]:
        """Ask every server for its tools now; they are returned as `get_tools` does. Raises as `call_tool` does."""
        return bridge.run(self.__aio__.ping())

    def get_tools(self) -> list[dict[str, Any]]:
        """The tools in OpenAI function format."""
        return bridge.run(self.__aio__.get_tools())

    def as_tools(self) -> list[Tool]:
        """The tools as a conversation takes them. What a failing tool says is its result; a lost server raises."""
        return bridge.run(self.__aio__.as_tools())

    def call_tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        *,
        timeout: float | None = None,
        on_progress: Callable[[float, float | None, str | None], object] | None = None,
    ) -> Content:
        """Call a tool by the name that `get_tools` gives: its text, or content parts where it returns images.

        `on_progress(progress, total, message)`, sync or async, is called on this thread. `timeout` replaces the
        client's for this call. Raises ToolError with what a failing tool says, MCPConnectionError when the server is
        lost (the call may have run), MCPTimeoutError, and MCPError for an answer that is a protocol error.
        """
        return bridge.run(self.__aio__.call_tool(name, arguments, timeout=timeout, on_progress=on_progress))

    def close(self) -> None:
        """Close the connections and wait until server processes have ended. Idempotent; from any thread."""
        bridge.run(self.__aio__.aclose())
