"""What a tool is: a function with the name, description and JSON Schema that a model sees, and the `@tool` mark.

Owns the parsing of a call's arguments. Dispatch, and what becomes of results and errors, is `toolbox`'s. pydantic is
loaded when a schema or a validation is first needed, not before.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast, final, overload

from attrs import Factory, evolve, field, frozen

from aimu.errors import ToolArgumentsError, ToolSignatureError
from aimu.tools._signature import AnyCallable, arguments_of, check_parameters, origin, written

if TYPE_CHECKING:
    from aimu.tools._arguments import Contract

F = TypeVar("F", bound=AnyCallable)
Schema = dict[str, Any]
Failures = type[Exception] | tuple[type[Exception], ...]

_MARK = "__aimu_tool__"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # https://platform.openai.com/docs/api-reference/chat (read 2026-11-22)


@final
@frozen(kw_only=True, eq=False)
class Tool:
    """A function that a model may call.

    `description` and `parameters` (JSON Schema of an object) are read off the function's docstring and type hints
    unless given. With `parameters` given, a call's arguments reach the function as they came (as keywords), only
    checked to be a JSON object with the required names.

    `timeout`: seconds after which an async tool is cancelled and the model told; a sync one is waited for, and its
    result kept, unless it polls `anyio.from_thread.check_cancelled()`. `exclusive`: never overlaps another call of its
    conversation. `on_event_loop`: a sync tool that runs on the event loop's thread, not in a worker thread. `raises`:
    exceptions that end the run; any other is told to the model. `origin` says where it comes from, for messages.
    """

    name: str
    function: AnyCallable
    _description: str | None = field(default=None, alias="description")
    _parameters: Schema | None = field(default=None, alias="parameters")
    timeout: float | None = None
    exclusive: bool = False
    on_event_loop: bool = False
    raises: Failures = ()
    origin: str = field(default=Factory(lambda self: origin(self.function), takes_self=True))

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function) or inspect.isasyncgenfunction(self.function)

    @functools.cached_property
    def _contract(self) -> Contract:
        from aimu.tools._arguments import Contract

        return Contract.of(self.function)

    @property
    def description(self) -> str:
        return self._contract.description if self._description is None else self._description

    @property
    def parameters(self) -> Schema:
        return self._contract.schema if self._parameters is None else self._parameters

    @property
    def schema(self) -> Schema:
        """In OpenAI function format."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}

    def bind(self, arguments: str) -> dict[str, Any]:
        """The keyword arguments that the JSON text of a call means, validated and coerced; "" means none.

        Raises ToolArgumentsError, worded for the model. Left-out arguments are left out: the function has defaults.
        """
        text = arguments.strip() or "{}"
        try:
            values = json.loads(text)
            if not isinstance(values, dict):
                raise ValueError("a JSON object is expected")
        except (ValueError, RecursionError) as exc:
            raise self._refused(f"no valid JSON object: {exc} (got {text[:100]})") from exc
        if self._parameters is None:
            try:
                return self._contract.validate(text)
            except ValueError as exc:
                raise self._refused(*exc.args) from exc
        missing = [name for name in self._parameters.get("required", ()) if name not in values]
        if missing:
            raise self._refused(*(f"{name}: required, but missing" for name in missing))
        return cast("dict[str, Any]", values)

    def _refused(self, *problems: str) -> ToolArgumentsError:
        lines = (f"{self.name} was not executed, its arguments do not fit:", *problems)
        return ToolArgumentsError("\n- ".join(lines))


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    exclusive: bool = False,
    on_event_loop: bool = False,
    raises: Failures = (),
) -> Callable[[F], F]: ...
def tool(function: AnyCallable | None = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Mark a function or method, `def` or `async def`, as a tool, and return it unchanged.

    Every parameter needs a type hint; the docstring (Google, NumPy or Sphinx style) describes the tool and, in its
    section of arguments, the parameters. The options are those of `Tool`. Raises ToolSignatureError where a model could
    not call it.
    """
    if function is None:
        return functools.partial(tool, name=name, **options)
    kind = type(function)
    if kind in (staticmethod, classmethod):
        raise ToolSignatureError(f"{origin(function)}: write @tool below @{kind.__name__}, next to the function")
    check_parameters(function, in_class_body=True)
    setattr(function, _MARK, Tool(name=_checked_name(function, name), function=function, **options))
    return function


def _checked_name(function: AnyCallable, chosen: str | None) -> str:
    name: str = written(function).__name__ if chosen is None else chosen
    if not _NAME.fullmatch(name):
        raise ToolSignatureError(
            f"{origin(function)}: {name!r} cannot name a tool (letters, digits, '_' and '-', at most 64); "
            "choose one with @tool(name=...)"
        )
    return name


def as_tool(candidate: Any) -> Tool:
    """The Tool that a Tool, a marked or plain annotated function, or a bound method is.

    Anything else, and a type hint that cannot be resolved, is a ToolSignatureError.
    """
    if isinstance(candidate, Tool):
        return candidate
    arguments_of(candidate)
    marked: Tool | None = getattr(candidate, _MARK, None)
    if marked is None:
        return Tool(name=_checked_name(candidate, None), function=candidate)
    return marked if marked.function is candidate else evolve(marked, function=candidate)
