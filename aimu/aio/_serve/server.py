"""Makes the server of tools or a runner, and guards it over HTTP: who may call it, and which clients are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import anyio

from aimu._doors import public
from aimu.aio._serve.reading import add_prompts, add_resources
from aimu.aio._serve.runner import run_tool
from aimu.aio._serve.tool import GONE, Caller, served_tool
from aimu.errors import MissingExtraError
from aimu.tools._definition import Tool, as_tool
from aimu.tools._toolbox import Toolbox

if TYPE_CHECKING:
    from fastmcp import FastMCP


@runtime_checkable
class _Runner(Protocol):
    @property
    def messages(self) -> Any: ...
    def run(self, task: str) -> Any: ...


@public("aimu.tools")
def serve_mcp(
    tools_or_agent: Callable[..., Any] | Iterable[Any] | _Runner = (),
    *,
    name: str = "aimu",
    context: Any = None,
    resources: Mapping[str, str | bytes | Callable[..., Any]] | None = None,
    prompts: Iterable[Callable[..., Any]] = (),
    allowed_hosts: Sequence[str] = (),
) -> FastMCP[Any]:
    """Make a FastMCP server that offers tools, or one tool `run(task)` that runs an agent or workflow.

    Start it with `server.run()` (stdio) or `server.run(transport="http", port=8000)`. A tool reports to the client with
    `current_call()`; if its return type is neither text nor content parts, its results have structured content of that
    type. A run reports each tool call and each line of text as progress. A call is cancelled when its client is gone.

    Args:
        tools_or_agent: A tool, an iterable of tools, or a runner, sync or async. A runner keeps its history from task
            to task and works on one task at a time, as always.
        name: Name of the server.
        context: Any object for the tools, which get it with `current_call().context`. With None, they get that of the
            run that calls them, if the server is used in the same process.
        resources: What clients may read, by URI: a text, bytes, or a function, sync or async, that returns one. The
            parameters of the function are the `{variables}` in its URI.
        prompts: Functions, sync or async, that return a text, or a list of messages of "user" and "assistant".
        allowed_hosts: Names of the server, as in the header `Host`, beside those of this machine, such as
            "mcp.example.org" behind a proxy. Over HTTP on a loopback address, and if any are given on every address,
            requests with another `Host` or `Origin` are refused.

    Returns:
        The server, not yet running.

    Raises:
        ToolSignatureError: An item is not a tool, or a model could not call it.
        ToolNameClashError: Two tools have the same name.
        InvalidOptionError: A resource or a prompt is not of the described form.
        MissingExtraError: FastMCP is not installed.

    Example:
        serve_mcp([add, get_weather], name="demo").run()
    """
    try:
        import_module("fastmcp")
    except ImportError as exc:
        raise MissingExtraError("fastmcp", "mcp") from exc
    # Like the SDK, leave `$ref` in schemas.
    server = _guarded()(name, dereference_schemas=False)
    server.aimu_hosts = tuple(allowed_hosts)
    for tool in _tools(tools_or_agent):
        caller = Caller(tool, context)
        schema = None if caller.output is None else dict(caller.output.schema)
        server.add_tool(
            served_tool()(
                name=tool.name,
                description=tool.description,
                parameters=tool.parameters,
                output_schema=schema,
                call=caller.call,
            )
        )
    add_resources(server, resources or {})
    add_prompts(server, prompts)
    return server  # type: ignore[no-any-return,unused-ignore]


def _tools(given: Callable[..., Any] | Iterable[Any] | _Runner) -> list[Tool]:
    """Return what is served.

    Raises:
        ToolSignatureError: An item is not a tool.
        ToolNameClashError: Two tools have the same name.
    """
    if isinstance(given, _Runner):
        return [run_tool(given)]
    tools = [as_tool(tool) for tool in (given if isinstance(given, Iterable) else [given])]
    Toolbox(tools)  # raises ToolNameClashError
    return tools


@lru_cache(maxsize=1)
def _guarded() -> Any:
    """Return the class of the server.

    FastMCP checks `Host` and `Origin` only if it is told to. The protocol before 2026-07-28 lets a call run on when its
    client hangs up, so that the client can come back for the result; without an `event_store` it cannot come back.
    """
    from fastmcp import FastMCP
    from starlette.middleware import Middleware

    class Server(FastMCP[Any]):  # type: ignore[misc,unused-ignore]
        """A FastMCP server that is guarded unless its caller says otherwise."""

        aimu_hosts: tuple[str, ...] = ()

        async def run_http_async(self, *args: Any, **options: Any) -> None:
            await super().run_http_async(*args, **self._guard(options))

        def http_app(self, *args: Any, **options: Any) -> Any:
            options = self._guard(options)
            if options.get("event_store") is None and options.get("transport") != "sse":
                options["middleware"] = [*(options.get("middleware") or ()), Middleware(_Watched)]
            return super().http_app(*args, **options)

        def _guard(self, options: dict[str, Any]) -> dict[str, Any]:
            guard: dict[str, Any] = {"host_origin_protection": "auto"}
            if self.aimu_hosts:
                # A proxy speaks https to the browser, and http to this server.
                origins = [f"{kind}://{host}" for host in self.aimu_hosts for kind in ("https", "http")]
                guard |= {"allowed_hosts": list(self.aimu_hosts), "allowed_origins": origins}
            return options | {key: value for key, value in guard.items() if options.get(key) is None}

    return Server


class _Watched:
    """ASGI middleware that tells the calls of a request when its client has hung up.

    It only listens to what the server behind it receives: while that streams an answer, it waits for the end.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        gone = scope[GONE] = anyio.Event()

        async def received() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect":
                gone.set()
            return message

        await self._app(scope, received, send)
