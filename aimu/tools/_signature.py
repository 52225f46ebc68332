"""Reads a function's parameters, their types and its place in the source, with the standard library alone.

Refuses every signature that a model could not call, and names the remedy. `_arguments` makes the JSON Schema, on first
use.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, final, get_type_hints

from attrs import frozen

from aimu.errors import ToolSignatureError

AnyCallable = Callable[..., Any]
REQUIRED: Any = inspect.Parameter.empty
_REFUSED = {
    inspect.Parameter.VAR_POSITIONAL: "takes any number of values; declare one list parameter instead",
    inspect.Parameter.VAR_KEYWORD: "takes any names; declare each parameter, or one `dict[str, ...]` parameter",
    inspect.Parameter.POSITIONAL_ONLY: "is positional-only, and a model passes arguments by name; remove the `/`",
}


@final
@frozen
class Argument:
    """A named argument of a tool or a record class; `default` is REQUIRED if it has none."""

    name: str
    hint: Any
    default: Any = REQUIRED


def written(function: Any) -> Any:
    """Return the function in the source, below partials, bound methods and wrappers."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return function


def origin(function: AnyCallable) -> str:
    """Say where a tool comes from, for error texts."""
    source = written(function)
    return f"function {source.__module__}.{source.__qualname__}"


def check_parameters(function: AnyCallable, *, in_class_body: bool = False) -> list[inspect.Parameter]:
    """Return the parameters that a model fills; raise ToolSignatureError if a model could not call the function.

    With `in_class_body` the function may be a method: its first parameter is left out, since access binds it.
    """
    if not inspect.isfunction(written(function)):
        raise ToolSignatureError(f"{function!r} is not a tool; pass a function with type hints, or a Tool")
    where = origin(function)
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].annotation is REQUIRED and _is_method(function):
        if not in_class_body:
            raise ToolSignatureError(
                f"{where} is a method; pass the bound one (`instance.{written(function).__name__}`)"
            )
        del parameters[0]
    for parameter in parameters:
        if parameter.kind in _REFUSED:
            raise ToolSignatureError(f"{where}: parameter {str(parameter)!r} {_REFUSED[parameter.kind]}")
        if parameter.annotation is REQUIRED:
            raise ToolSignatureError(
                f"{where}: parameter {parameter.name!r} has no type; annotate it (`{parameter.name}: str`)"
            )
    return parameters


def _is_method(function: AnyCallable) -> bool:
    scope = written(function).__qualname__.rpartition(".")[0]
    return bool(scope) and not scope.endswith("<locals>") and not inspect.ismethod(function)


def arguments_of(function: AnyCallable) -> list[Argument]:
    """Return the parameters with their types, resolving string annotations."""
    parameters = check_parameters(function)
    names, scope = written(function).__globals__, scope_of(function)
    arguments: list[Argument] = []
    for parameter in parameters:
        holder = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
        try:
            hints = get_type_hints(holder, names, scope, include_extras=True)
        except Exception as exc:  # evaluating an annotation can raise anything
            raise ToolSignatureError(
                f"{origin(function)}: cannot resolve the type {parameter.annotation!r} of parameter "
                f"{parameter.name!r} ({exc}); define or import it at module level, not under TYPE_CHECKING"
            ) from exc
        arguments.append(Argument(parameter.name, hints[parameter.name], parameter.default))
    return arguments


def scope_of(function: AnyCallable) -> dict[str, Any]:
    """Return the variables that the function closes over: its string annotations may use them beside the globals."""
    source = written(function)
    scope: dict[str, Any] = {}
    for name, cell in zip(source.__code__.co_freevars, source.__closure__ or (), strict=True):
        with suppress(ValueError):  # not assigned yet
            scope[name] = cell.cell_contents
    return scope
