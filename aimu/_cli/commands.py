"""The slash commands of the chat."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, final

from attrs import define, field

from aimu import aio
from aimu._cli.choice import Choice
from aimu._cli.display import call_text
from aimu._cli.opening import Opening
from aimu._cli.safe import folded, line_of, shown, styled
from aimu._cli.session import Session
from aimu._core.messages import check_history
from aimu.errors import InvalidOptionError
from aimu.tools import Toolbox


@final
@define(eq=False)
class Conversation:
    """What the commands read and change.

    Attributes:
        session: Runs and shows turns.
        opening: Opens models and knows the tools.
        agent: Has the history.
        left: Whether the user has left.
    """

    session: Session
    opening: Opening
    agent: aio.Agent
    left: bool = field(default=False, init=False)


async def run(chat: Conversation, text: str) -> None:
    """Run a command.

    Raises:
        InvalidOptionError: There is no such command, or it cannot do what is asked.
    """
    name, _, argument = text.partition(" ")
    if name not in COMMANDS:
        raise InvalidOptionError(f"there is no command {name}; /help lists them, // begins a message with a slash")
    await COMMANDS[name](chat, argument.strip())


async def _help(chat: Conversation, argument: str) -> None:
    """list the commands"""
    for name, command in COMMANDS.items():
        print(folded(f"{name:<8} {command.__doc__}", sys.stdout, margin=9))
    keys = (
        "Alt-Enter or Ctrl-J begins a new line; arrow-up brings back what you wrote before; Ctrl-C stops an answer, "
        "twice at an empty prompt it leaves, as Ctrl-D does"
    )
    print("\n" + folded(keys, sys.stdout))


async def _model(chat: Conversation, argument: str) -> None:
    """name the model; /model MODEL goes on with another one"""
    if argument:
        agent = await chat.opening.with_model(Choice(argument, argument))
        agent.history = chat.agent.history
        chat.agent = agent
    print(chat.opening.choice.name)


async def _tools(chat: Conversation, argument: str) -> None:
    """list the tools that the model may call"""
    tools: list[Any] = []
    for tool in chat.agent.tools:
        source: Any = getattr(tool, "as_tools", None)
        tools += await source() if source else [tool]
    schemas = Toolbox(tools).schemas
    for schema in schemas:
        function = schema["function"]
        print(f"{line_of(function['name'])}: {line_of(function.get('description') or '')}")
    if not schemas:
        print("none; `aimu chat --tools module:name` or `--mcp FILE` adds some")


async def _show(chat: Conversation, argument: str) -> None:
    """show the last turn in full: thinking, calls and their results"""
    history = chat.agent.history
    last = max((index for index, message in enumerate(history) if message["role"] == "user"), default=len(history))
    for message in history[last + 1 :]:
        if message["role"] == "tool":
            print(styled(f"→ {_text(message)}", "dim", sys.stdout))
            continue
        if message.get("thinking"):
            print(styled(shown(str(message["thinking"])), "dim", sys.stdout))
        if text := _text(message):
            print(text)
        for call in message.get("tool_calls", ()):
            function = call["function"]
            print(call_text({"name": function["name"], "arguments": _parsed(function["arguments"])}))
    if last >= len(history) - 1:
        print("there is no turn yet")


async def _verbose(chat: Conversation, argument: str) -> None:
    """show thinking and results in full from now on, or no longer"""
    chat.session.verbose = not chat.session.verbose
    print("thinking and results of tools are shown " + ("in full" if chat.session.verbose else "in short"))


async def _clear(chat: Conversation, argument: str) -> None:
    """begin a new conversation"""
    chat.agent.model_client.reset()
    print("a new conversation")


async def _save(chat: Conversation, argument: str) -> None:
    """/save FILE writes the conversation to a JSON file"""
    path = _path(argument, "save")
    try:
        _replace(path.resolve(), json.dumps(chat.agent.history, indent=2))  # a link stays a link
    except OSError as exc:
        raise InvalidOptionError(f"cannot write {path}: {exc.strerror}; name another file") from exc
    print(f"{len(chat.agent.history)} messages in {path}")


async def _load(chat: Conversation, argument: str) -> None:
    """/load FILE goes on with a conversation that was saved"""
    path = _path(argument, "load")
    try:
        messages = json.loads(path.read_text("utf8"))
    except OSError as exc:
        raise InvalidOptionError(f"cannot read {path}: {exc.strerror}; name another file") from exc
    except ValueError as exc:
        raise InvalidOptionError(f"{path} is not JSON: {exc}; name a file that /save wrote") from exc
    if not isinstance(messages, list):
        raise InvalidOptionError(f"{path} has no list of messages; name a file that /save wrote")
    check_history(messages)
    chat.agent.history = messages
    print(f"{len(messages)} messages from {path}")


async def _quit(chat: Conversation, argument: str) -> None:
    """leave"""
    chat.left = True


COMMANDS: dict[str, Callable[[Conversation, str], Awaitable[None]]] = {
    "/help": _help,
    "/model": _model,
    "/tools": _tools,
    "/show": _show,
    "/verbose": _verbose,
    "/clear": _clear,
    "/save": _save,
    "/load": _load,
    "/quit": _quit,
}


def _path(argument: str, command: str) -> Path:
    if not argument:
        raise InvalidOptionError(f"name a file: /{command} chat.json")
    path = Path(argument).expanduser()
    if path.exists() and not path.is_file():  # a device would be replaced, a pipe never end
        raise InvalidOptionError(f"{path} is not a regular file; name another one")
    return path


def _replace(target: Path, text: str) -> None:
    """Write a file in one step; one that is new can be read by its owner alone."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    draft.touch(0o600)
    try:
        draft.write_text(text, "utf8")
        if target.exists():
            draft.chmod(target.stat().st_mode & 0o777)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _text(message: Any) -> str:
    content = message.get("content") or ""
    return shown(content if isinstance(content, str) else json.dumps(content))


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
