"""Defines a tool: a function with the name, description and JSON Schema that a model sees, and the `@tool` mark.

Owns the parsing of a call's arguments. `_toolbox` dispatches calls and handles results and errors. pydantic is loaded
only when a schema or a validation is first needed.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast, final, overload

from attrs import Factory, evolve, field, frozen
from attrs.converters import optional

from aimu._core.json_text import read_json
from aimu._doors import public
from aimu.errors import ToolArgumentsError, ToolSignatureError
from aimu.tools._schema import accepted
from aimu.tools._signature import AnyCallable, Argument, arguments_of, check_parameters, closed_names, origin, written

if TYPE_CHECKING:
    from aimu.tools._arguments import Contract

F = TypeVar("F", bound=AnyCallable)
Schema = dict[str, Any]
Failures = type[Exception] | tuple[type[Exception], ...]

_MARK = "__aimu_tool__"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # https://platform.openai.com/docs/api-reference/chat (read 2026-11-22)


@public("aimu.tools")
@final
@frozen(kw_only=True, eq=False)
class Tool:
    """A function that a model may call, with the name, description and JSON Schema that the model sees.

    Args:
        name: Name of the tool: 1 to 64 letters, digits, "_" or "-".
        function: The function, `def` or `async def`, to call with keyword arguments.
        description: Text for the model. By default the function's docstring up to its first section, and its section
            `Returns:` or `Yields:`.
        parameters: JSON Schema of the arguments, an object. By default made from the type hints and the docstring. If
            given, arguments are not validated or coerced; a call only has to be a JSON object with the required names.
            What services refuse or cannot read, such as an array without `items`, is rewritten or left out.
        timeout: Seconds after which a call is stopped, which its result then says; None means no limit. An async tool
            is cancelled. A sync tool runs to its end and its result counts, unless it polls
            `anyio.from_thread.check_cancelled()`.
        exclusive: Whether a call never overlaps another call of its conversation.
        on_event_loop: Whether a sync tool runs in the thread of the event loop, which it blocks, instead of a worker
            thread.
        raises: Exceptions of the function that end the run. Any other exception becomes the result of the call.
        origin: Where the tool comes from, for error texts. By default the function's module and name.

    Example:
        number = {"type": "integer"}
        schema = {"type": "object", "properties": {"a": number, "b": number}, "required": ["a", "b"]}
        Tool(name="add", function=lambda a, b: a + b, description="Add two numbers.", parameters=schema)
    """

    name: str
    function: AnyCallable = field(repr=origin)  # a partial would show what it binds
    _description: str | None = field(default=None, alias="description")
    _parameters: Schema | None = field(default=None, alias="parameters", converter=optional(accepted))
    timeout: float | None = None
    exclusive: bool = False
    on_event_loop: bool = False
    raises: Failures = ()
    origin: str = field(default=Factory(lambda self: origin(self.function), takes_self=True))

    def __attrs_post_init__(self) -> None:
        for name in (self._parameters or {}).get("properties", ()):
            if name in self._closed:
                raise ToolSignatureError(
                    f"{self.origin}: the parameters of tool {self.name!r} include {name!r}, which the function has "
                    "bound already; remove it from the schema"
                )

    @functools.cached_property
    def _closed(self) -> frozenset[str]:
        return closed_names(self.function)

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function or an async generator function."""
        return inspect.iscoroutinefunction(self.function) or inspect.isasyncgenfunction(self.function)

    @functools.cached_property
    def _arguments(self) -> list[Argument]:
        return arguments_of(self.function)

    @functools.cached_property
    def _contract(self) -> Contract:
        from aimu.tools._arguments import Contract

        return Contract.of(self.function, self._arguments)

    @property
    def description(self) -> str:
        """The text that tells the model what the tool does."""
        return self._contract.description if self._description is None else self._description

    @property
    def parameters(self) -> Schema:
        """The JSON Schema of the arguments, an object."""
        return self._contract.schema if self._parameters is None else self._parameters

    @property
    def schema(self) -> Schema:
        """The tool in OpenAI function format."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}

    def bind(self, arguments: str) -> dict[str, Any]:
        """Turn the JSON text of a call into keyword arguments, validated and coerced.

        Args:
            arguments: JSON text of an object; an empty text means no arguments.

        Returns:
            The given arguments only: the function applies its own defaults to the others.

        Raises:
            ToolArgumentsError: The text is not a JSON object, or an argument is missing, unknown or of the wrong type.
                The error text addresses the model and names all problems.
            ToolSignatureError: No JSON Schema can be made of the function's parameters.
        """
        text = arguments.strip() or "{}"
        try:
            values = read_json(text)
            if not isinstance(values, dict):
                raise ValueError("expected a JSON object")
        except ValueError as exc:
            raise self._refused(f"not a valid JSON object: {exc} (got {text[:100]})") from exc
        if self._parameters is None:
            try:
                return self._contract.validate(text)
            except ValueError as exc:
                raise self._refused(*exc.args) from exc
        known = ", ".join(self._parameters.get("properties", ())) or "none"
        problems = [
            *(f"{name}: required, but missing" for name in self._parameters.get("required", ()) if name not in values),
            *(f"{name}: no such argument; known arguments: {known}" for name in values if name in self._closed),
        ]
        if problems:
            raise self._refused(*problems)
        return cast("dict[str, Any]", values)

    def _refused(self, *problems: str) -> ToolArgumentsError:
        lines = (f"{self.name} was not executed because its arguments are invalid:", *problems)
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
@public("aimu.tools")
def tool(function: AnyCallable | None = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Mark a function or method, `def` or `async def`, as a tool, and return it unchanged.

    Every parameter needs a type hint. The docstring (Google, NumPy or Sphinx style) describes the tool and, in its
    sections of arguments and returns, the parameters and the result. Use it as `@tool` or as `@tool(name=..., ...)`.

    Args:
        function: The function to mark.
        name: Name of the tool: 1 to 64 letters, digits, "_" or "-". By default the function's name.
        **options: `description`, `timeout`, `exclusive`, `on_event_loop` and `raises`, as in `Tool`.

    Returns:
        The function itself, or a decorator if only options are given.

    Raises:
        ToolSignatureError: A model could not call the function: a parameter has no type hint, is positional-only or
            takes any number of values, or the name is invalid.

    Example:
        @tool(timeout=10)
        async def get_weather(city: str) -> str:
            '''Get the weather in a city.

            Args:
                city: English name of the city.
            '''
            return await weather_service.fetch(city)
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
            f"{origin(function)}: invalid tool name {name!r} (1 to 64 letters, digits, '_' and '-'); "
            "choose one with @tool(name=...)"
        )
    return name


def _mark(function: AnyCallable) -> Tool | None:
    while isinstance(function, functools.partial) and not hasattr(function, _MARK):
        function = function.func
    return getattr(function, _MARK, None)


@public("aimu.tools")
def as_tool(candidate: Any) -> Tool:
    """Return the Tool for a function, or a Tool as it is.

    Args:
        candidate: A Tool, a function marked with `@tool`, a plain function with type hints, a bound method, or a
            `functools.partial` of these. The model neither sees nor overrides an argument that a partial binds.

    Returns:
        The Tool. A marked function keeps the options of its mark.

    Raises:
        ToolSignatureError: `candidate` is not a tool, a type hint cannot be resolved, or a model could not call it.

    Example:
        as_tool(shop.price).schema["function"]["name"]  # "price"
    """
    if isinstance(candidate, Tool):
        return candidate
    marked = _mark(candidate)
    if marked is not None and marked.function is candidate:
        _ = marked._arguments  # each agent asks, and working them out costs as much as half a turn
        return marked
    arguments_of(candidate)
    if marked is None:
        return Tool(name=_checked_name(candidate, None), function=candidate)
    return evolve(marked, function=candidate)
