"""Resources and prompts: what a program reads from MCP servers, beside the tools that a model calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar, final

from attrs import frozen

from aimu._core.nearest import did_you_mean
from aimu._core.surrogates import whole
from aimu._doors import public
from aimu.aio._mcp.results import Content, blocks_content, resource_content
from aimu.aio._mcp.sent import json_object
from aimu.aio._mcp.session import Session
from aimu.errors import InvalidOptionError

T = TypeVar("T")


@public("aimu.types")
@final
@frozen(kw_only=True)
class MCPResource:
    """Something to read from an MCP server.

    Attributes:
        server: The server's name.
        uri: Its address; of a template, with `{variables}` to fill in (RFC 6570).
        name: Its name.
        description: What it is, or "".
        mime_type: Its type, or None.
        size: Its length in bytes, or None.
        template: Whether `uri` is a template.
    """

    server: str
    uri: str
    name: str
    description: str = ""
    mime_type: str | None = None
    size: int | None = None
    template: bool = False


@public("aimu.types")
@final
@frozen(kw_only=True)
class MCPPrompt:
    """A prompt that an MCP server offers.

    Attributes:
        server: The server's name.
        name: Its name, for `get_prompt`.
        description: What it is for, or "".
        required: The names of the arguments that it needs.
        optional: The names of the arguments that it takes beside these.
    """

    server: str
    name: str
    description: str = ""
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


class Server(Protocol):
    """A server in this program or another one."""

    name: str

    async def use(self, what: str, request: Callable[[Session], Awaitable[T]]) -> T:
        """Return what `request(session)` returns; `what` names the request in errors."""
        ...


async def _resources_of(server: Server) -> list[MCPResource]:
    """Return the resources and templates of a server; none if it has no such thing."""

    async def listed(session: Session) -> tuple[list[Any], list[Any]]:
        return await session.resources(), await session.templates()

    found, templates = await server.use("the request for its resources", listed)
    return [
        *(_resource(server.name, item.uri, item, size=item.size) for item in found),
        *(_resource(server.name, item.uri_template, item, template=True) for item in templates),
    ]


def _resource(server: str, uri: Any, item: Any, **more: Any) -> MCPResource:
    return MCPResource(
        server=server,
        uri=str(uri),
        name=item.title or item.name,
        description=item.description or "",
        mime_type=item.mime_type,
        **more,
    )


async def _read_of(server: Server, uri: str) -> Content:
    """Return the content of a resource."""
    result = await server.use(f"resource {uri!r}", lambda session: session.read(whole(uri)))
    return resource_content(result.contents)


async def _prompts_of(server: Server) -> list[MCPPrompt]:
    """Return the prompts of a server; none if it has no such thing."""
    found = []
    for item in await server.use("the request for its prompts", lambda session: session.prompts()):
        required = tuple(argument.name for argument in item.arguments or () if argument.required)
        optional = tuple(argument.name for argument in item.arguments or () if not argument.required)
        description = item.description or item.title or ""
        found.append(
            MCPPrompt(server=server.name, name=item.name, description=description, required=required, optional=optional)
        )
    return found


async def _get_prompt_of(server: Server, name: str, arguments: dict[str, str]) -> list[dict[str, Any]]:
    """Return the messages of a prompt."""
    sent = json_object(arguments, f"the arguments of prompt {name!r}")
    for key, value in sent.items():
        if not isinstance(value, str):
            raise InvalidOptionError(f"the argument {key!r} of prompt {name!r} must be a text, got {value!r}")
    result = await server.use(f"prompt {name!r}", lambda session: session.prompt(whole(name), sent))
    return [{"role": item.role, "content": blocks_content([item.content])} for item in result.messages]


def _chosen(servers: Sequence[Server], name: str | None) -> Sequence[Server]:
    """Return the servers to ask: the one of a name, or all.

    Raises:
        InvalidOptionError: There is no server of that name.
    """
    known = [server.name for server in servers]
    if name is not None and name not in known:
        raise InvalidOptionError(f"there is no MCP server {name!r}{did_you_mean(name, known)}; there are: {known}")
    return [server for server in servers if name in (None, server.name)]


def _single(found: Sequence[Server], servers: Sequence[Server], what: str) -> Server:
    """Return the one server that has something; without any that lists it, the only server.

    Raises:
        InvalidOptionError: None or several have it.
    """
    if len(found) == 1:
        return found[0]
    if len(servers) == 1:
        return servers[0]
    names = [server.name for server in found or servers]
    reason = "several MCP servers have" if found else "no MCP server has"
    raise InvalidOptionError(f"{reason} {what}; pass server= to say which one is meant: {', '.join(names)}")


class Reading(ABC):
    """The resources and prompts of a client of MCP servers."""

    @property
    @abstractmethod
    def _all(self) -> Sequence[Server]:
        """The servers; raises if they are not connected."""

    async def resources(self) -> list[MCPResource]:
        """List the resources of all servers, and the templates of resources.

        Returns:
            The resources, then the templates, of each server.

        Raises:
            MCPConnectionError: A connection is lost.
            MCPTimeoutError: A server does not answer in time.
            ClosedClientError: The client was closed.
        """
        return [item for server in self._all for item in await _resources_of(server)]

    async def read(self, uri: str, *, server: str | None = None) -> Content:
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
        servers = _chosen(self._all, server)
        found: list[Server] = []
        if len(servers) > 1:
            found = [each for each in servers if uri in [item.uri for item in await _resources_of(each)]]
        return await _read_of(_single(found, servers, f"a resource {uri!r}"), uri)

    async def prompts(self) -> list[MCPPrompt]:
        """List the prompts of all servers.

        Returns:
            The prompts.

        Raises:
            MCPConnectionError: A connection is lost.
            MCPTimeoutError: A server does not answer in time.
            ClosedClientError: The client was closed.
        """
        return [item for server in self._all for item in await _prompts_of(server)]

    async def get_prompt(
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
        servers = _chosen(self._all, server)
        found: list[Server] = []
        if len(servers) > 1:
            found = [each for each in servers if name in [item.name for item in await _prompts_of(each)]]
        return await _get_prompt_of(_single(found, servers, f"a prompt {name!r}"), name, arguments or {})
