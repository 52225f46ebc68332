"""What the tasks of a journal were asked of, as far as it can be seen: names of facts, and their values or digests.

Facts are what shapes an answer: the classes and names of the runners, their models, what these are sent, and how the
runners are put together. Limits are not facts, as they may be raised so that tasks that failed succeed: `max_tokens`,
`max_iterations`, `max_rounds`, time, concurrency, and what is sent after an empty answer. Neither is what cannot be
seen without running it: the code of functions, files of skills, tools of servers, and most of a runner of the user's
own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, final
from weakref import WeakKeyDictionary

import attrs

from aimu._output._expected import Expected
from aimu.aio._agent import Agent
from aimu.aio._base_client import AsyncBaseModelClient
from aimu.aio._history import opens
from aimu.aio._journal._record import digest
from aimu.aio._runner import AsyncRunner, StepRunner
from aimu.skills._catalog import placed
from aimu.tools._definition import Tool, as_tool

Facts = dict[str, str]

_LIMITS = {"max_tokens", "max_iterations", "max_rounds", "max_concurrency", "concurrent_tool_calls"}
_OF_SKILLS = "aimu.skills._tools"


def facts_of(runner: AsyncRunner) -> Facts:
    """Return the facts of a runner that has not run yet."""
    found = _Found()
    found.add("", runner)
    return found.facts


def facts_of_options(generate_kwargs: Any, expected: Expected | None) -> Facts:
    """Return the facts of what `amap` itself is asked."""
    found = _Found()
    found.options("amap.", generate_kwargs or {})
    if expected is not None:
        found.facts["output_type"] = _digest(expected.type.schema)
        if expected.validator is not None:
            found.facts["output_validator"] = _named(expected.validator)
    return found.facts


def differences(first: Facts, second: Facts) -> str:
    """Name the facts in which two runners differ."""
    names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _digest(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=_named)
    return digest(text).hex()


def _named(value: Any) -> str:
    return getattr(value, "__qualname__", None) or type(value).__qualname__


@final
class _Found:
    """The facts that were found so far."""

    def __init__(self) -> None:
        self.facts: Facts = {}
        self._path: list[object] = []
        self._held = 0  # how many objects on the path are not the library's runners

    def add(self, name: str, value: Any) -> None:
        """Add the facts of a value, under names that begin with `name`."""
        value = getattr(value, "__sync__", value)  # of the adapter of a user's sync runner
        if value is None or any(one is value for one in self._path):
            return
        self._path.append(value)
        at = f"{name}." if name else ""
        if isinstance(value, str | int | float | bytes):
            self.facts[name] = _digest(str(value)) if isinstance(value, str | bytes) else repr(value)
        elif isinstance(value, Mapping):
            self._each(at, value.items())
        elif isinstance(value, list | tuple):
            self._each(at, enumerate(value))
        elif isinstance(client := getattr(value, "__aio__", value), AsyncBaseModelClient):
            self._client(at, client)
        else:
            self._object(at, value)
        self._path.pop()

    def _each(self, at: str, items: Iterable[tuple[Any, Any]]) -> None:
        for key, item in items:
            self.add(f"{at}{key}", item)

    def _object(self, at: str, value: Any) -> None:
        self.facts[f"{at}class"] = _named(value)
        label = getattr(value, "name", None)
        if isinstance(label, str):
            self.facts[f"{at}name"] = label
        twin = getattr(value, "__aio__", value)
        fields = attrs.fields_dict(type(twin)) if attrs.has(type(twin)) else {}
        if isinstance(twin, Agent):
            self._agent(at, twin)
        elif isinstance(twin, StepRunner) and not fields:
            self._each(f"{at}parts.", enumerate(twin._parts()))
        else:
            names = [name for name, field in fields.items() if field.init and name not in {*_LIMITS, "name"}]
            self._each(at, [(name, getattr(twin, name)) for name in names])
        foreign = not isinstance(value, StepRunner)
        if (foreign or not _of_library(value)) and not hasattr(value, "__qualname__"):  # neither a function nor a class
            self._held += foreign
            self._each(at, _settings(value, without={*fields, "name"}))
            self._held -= foreign

    def _agent(self, at: str, agent: Agent) -> None:
        self._client(at, agent.model_client)
        self.add(f"{at}reset_messages_on_run", agent.reset_messages_on_run)
        messages = agent.history[opens(agent.history) :]
        # An agent that a runner of the user's own holds may have run before.
        if messages and not agent.reset_messages_on_run and not self._held:
            self.facts[f"{at}messages"] = _digest(messages)

    def _client(self, at: str, client: AsyncBaseModelClient) -> None:
        own = getattr(client._responder, "__sync__", client)
        if not _of_library(own):
            self.facts[f"{at}client"] = _named(own)
        self.facts[f"{at}model"] = str(client.spec)
        self.add(f"{at}system_message", placed(client.system_message or "", "") or None)  # without a catalog of skills
        self.options(at, client.generate_kwargs)
        servers = client.mcp_client if isinstance(client.mcp_client, list | tuple) else [client.mcp_client]
        for tool in [*client.tools, *servers]:
            self._tool(at, tool)

    def options(self, at: str, options: Any) -> None:
        for key, value in options.items() if isinstance(options, Mapping) else ():  # the run refuses anything else
            if key not in _LIMITS and value is not None:
                self.facts[f"{at}generate_kwargs.{key}"] = _digest(value)

    def _tool(self, at: str, tool: Any) -> None:
        if isinstance(tool, Tool) or (callable(tool) and getattr(tool, "__module__", None) != _OF_SKILLS):
            name, schema = _schema_of(tool)
            self.facts[f"{at}tools.{name}"] = schema
        elif tool is not None and not callable(tool):
            self.facts[f"{at}tools"] = _named(tool)


def _schema_of(tool: Any) -> tuple[str, str]:
    """Return the name of a tool, and the digest of what the model sees of it."""
    try:
        known = _schemas.get(tool)
    except TypeError:  # it has no hash, or no weak references
        known = None
    if known is None:
        made = as_tool(tool)
        known = made.name, _digest(made.schema)
        with suppress(TypeError):
            _schemas[tool] = known
    return known


_schemas: WeakKeyDictionary[Any, tuple[str, str]] = WeakKeyDictionary()


def _settings(value: Any, *, without: set[str]) -> Iterable[tuple[str, Any]]:
    """Yield the attributes of an object that are not likely to change while it runs."""
    for name, item in getattr(value, "__dict__", {}).items():
        items = item.values() if isinstance(item, dict) else item if isinstance(item, list | tuple) else [item]
        a_text = isinstance(item, str) and not name.startswith("_")
        runners = bool(items) and not name.startswith("__") and all(map(_is_runner, items))
        if (a_text or runners) and name not in without:
            yield name, item


def _is_runner(value: Any) -> bool:
    return isinstance(value, AsyncRunner | AsyncBaseModelClient) or hasattr(value, "__aio__")


def _of_library(value: object) -> bool:
    return type(value).__module__.startswith("aimu.")
