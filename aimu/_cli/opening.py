"""From the command line to an agent: the model, its tools, MCP servers and skills, opened and closed again."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import Any, final

import anyio
from anyio import to_thread
from attrs import define, evolve, field

import aimu
from aimu import aio
from aimu._cli.choice import Choice, choose
from aimu._cli.demo import add, get_weather
from aimu.errors import InvalidOptionError
from aimu.models import resolve_model_string
from aimu.models._resolve import IN_PROCESS
from aimu.skills import SkillManager
from aimu.tools import Tool, as_tool
from aimu.types import Elicitation, ToolLike

_EXAMPLES = {"--tools": "mytools:search", "--output-type": "books:Book"}
CLOSING = 5.0  # s for connections or weights to close


@final
@define(eq=False)
class Opening:
    """Opens what the options of the command line name.

    Args:
        options: The options.
        say: Prints a note for the user.
        stack: Closes everything that is opened for the whole run.
        elicit: Answers the questions of MCP servers.
    """

    options: Namespace
    say: Callable[[str], object]
    stack: AsyncExitStack
    elicit: Callable[[Elicitation], Awaitable[dict[str, Any] | None]]
    choice: Choice = field(default=Choice("", ""), init=False)
    tools: list[ToolLike] = field(factory=list[ToolLike], init=False)
    _clients: list[aio.AsyncModelClient] = field(factory=list[aio.AsyncModelClient], init=False)

    async def agent(self) -> aio.Agent:
        """Open model, tools, MCP servers and skills.

        Raises:
            AimuError: One of them cannot be opened.
        """
        choice = choose(self.options.model)
        if choice.note:
            self.say(choice.note)
        if self.options.quiet or choice.embedded:
            os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        self.tools = load_tools(self.options.tools)
        if choice.embedded and not self.tools:
            self.tools = [add, get_weather]
        for file in self.options.mcp:
            self.say(f"connecting to the MCP servers of {file}")
            servers = aio.MCPClient(file=file, reconnect=True, elicit=self.elicit)
            self.tools.append(await self.stack.enter_async_context(servers))
        agent = await self.with_model(choice)
        self.stack.push_async_callback(self.close)
        return agent

    async def with_model(self, choice: Choice) -> aio.Agent:
        """Return an agent on a model, and close the model before it; if it cannot be opened, that one stays."""
        in_process = resolve_model_string(choice.model).provider in IN_PROCESS
        self.say(f"opening {choice.name}")
        # In a thread, since loading weights or a vendor's SDK takes seconds; it is left alone when stopped.
        client = await to_thread.run_sync(open_client, choice.model, in_process, abandon_on_cancel=True)
        kwargs: dict[str, Any] = {
            "system_message": self.options.system,
            "name": "assistant",
            "tools": list(self.tools),
            "max_iterations": self.options.max_iterations,
        }
        try:
            client.generate_kwargs = dict(self.options.option)
            if self.options.thinking is not None:
                client.generate_kwargs["thinking"] = self.options.thinking
            if self.options.skills:
                agent: aio.Agent = aio.SkillAgent(client, **kwargs, skill_manager=skills(self.options.skills))
            else:
                agent = aio.Agent(client, **kwargs)
        except BaseException:
            await _close(client)
            raise
        await self.close()
        self._clients.append(client)
        self.choice = choice
        return agent

    async def close(self) -> None:
        """Close the model."""
        while self._clients:
            await _close(self._clients.pop())


async def _close(client: aio.AsyncModelClient) -> None:
    with anyio.move_on_after(CLOSING, shield=True):  # Shielded, since a stopped program closes, too; for `CLOSING`.
        await client.aclose()


def open_client(model: str, in_process: bool) -> aio.AsyncModelClient:
    """Open a client; blocks while weights load."""
    return aio.client(aimu.client(model) if in_process else model)


def skills(folders: Sequence[str]) -> SkillManager:
    """Return the skills of folders.

    Raises:
        InvalidOptionError: There is no such folder.
    """
    for folder in folders:
        if not Path(folder).expanduser().is_dir():
            raise InvalidOptionError(f"--skills {folder}: there is no such folder")
    return SkillManager(folders)


def load_tools(names: Sequence[str]) -> list[ToolLike]:
    """Return the tools that `module:name` texts name.

    Raises:
        InvalidOptionError: A text names nothing that can be a tool.
        ToolSignatureError: A function cannot be a tool.
    """
    tools: list[ToolLike] = []
    for text in names:
        module, _, rest = text.partition(":")
        for name in rest.split(","):
            found = load(f"{module}:{name.strip()}" if rest else text, "--tools")
            for one in found if isinstance(found, list | tuple) else [found]:
                if not callable(one) and not isinstance(one, Tool) and not hasattr(one, "as_tools"):
                    raise InvalidOptionError(f"--tools {text}: {name} is not a function, but {type(one).__name__}")
                tools.append(one if hasattr(one, "as_tools") else stoppable(as_tool(one)))
    return tools


def load(text: str, option: str) -> Any:
    """Return the object that `module:name` names; modules of the working directory are found.

    Raises:
        InvalidOptionError: There is none.
    """
    module_name, _, name = text.partition(":")
    if not module_name or not name:
        raise InvalidOptionError(f"{option} {text}: write MODULE:NAME, such as {_EXAMPLES[option]}")
    if module_name.endswith(".py"):
        module_name = Path(module_name).with_suffix("").as_posix().replace("/", ".")
        raise InvalidOptionError(f"{option} {text}: write a module, not a file: {module_name}:{name}")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as exc:  # a script ends itself if it is imported
        raise InvalidOptionError(f"{option} {text}: {type(exc).__name__}: {exc}") from exc
    return found


def stoppable(tool: Tool) -> Tool:
    """Return a sync tool as an async one that Ctrl-C stops at once; its thread ends when the function returns.

    The library itself waits for the function, because its result would be lost; whoever sits in front of a terminal has
    asked for that.
    """
    function = tool.function
    if tool.is_async or tool.on_event_loop:
        return tool

    @functools.wraps(function)
    async def in_thread(*args: Any, **kwargs: Any) -> Any:
        def call() -> Any:
            result = function(*args, **kwargs)
            return list(result) if inspect.isgenerator(result) else result

        result = await to_thread.run_sync(call, abandon_on_cancel=True)
        return await result if inspect.isawaitable(result) else result

    return evolve(tool, function=in_thread)
