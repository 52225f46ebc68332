"""Reads a function's parameters, their types and its place in the source, with the standard library alone.

Refuses every signature that a model could not call, and names the remedy. `_arguments` makes the JSON Schema, on first
use.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, final, get_type_hints

from attrs import frozen

from aimu._core.secrets import hide
from aimu.errors import ToolSignatureError

if sys.version_info >= (3, 14):
    import annotationlib

AnyCallable = Callable[..., Any]
REQUIRED: Any = inspect.Parameter.empty
_REFUSED = {
    inspect.Parameter.VAR_POSITIONAL: "takes any number of values; declare one list parameter instead",
    inspect.Parameter.VAR_KEYWORD: "takes any names; declare each parameter, or one `dict[str, ...]` parameter",
    inspect.Parameter.POSITIONAL_ONLY: "is positional-only, and a model passes arguments by name; remove the `/`",
}


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@final
@frozen
class Argument:
    """A named argument of a tool or a record class; `default` is REQUIRED if it has none."""

    name: str
    hint: Any
    default: Any = REQUIRED


def written(function: Any) -> Any:
    """Return the function in the source, below partials, bound methods and wrappers."""
    return list(_layers(function))[-1]


def _layers(function: Any) -> Iterator[Any]:
    """Yield the function and what it wraps, from the outside in."""
    while True:
        yield function
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return


def origin(function: AnyCallable) -> str:
    """Say where a tool comes from, for error texts."""
    source = written(function)
    named = source if hasattr(source, "__qualname__") else type(source)
    return f"function {named.__module__}.{named.__qualname__}"


def open_parameters(function: Any) -> list[inspect.Parameter]:
    """Return the parameters that the caller may still give: those that a partial or a method binds are closed.

    `inspect.signature` keeps what a partial binds by name, as a default, and ignores a partial that has `__wrapped__`.

    Raises:
        ToolSignatureError: A partial binds what its function does not accept.
    """
    if isinstance(function, functools.partial):
        return _after(function, open_parameters(function.func))
    if inspect.ismethod(function):
        parameters = open_parameters(function.__func__)
        return parameters[1:] if parameters and parameters[0].kind in _POSITIONAL else parameters
    if hasattr(function, "__wrapped__") and not hasattr(function, "__signature__"):
        return open_parameters(function.__wrapped__)
    return list(signature_of(function).parameters.values())


def signature_of(function: Any) -> inspect.Signature:
    """Return the signature as written; its types may name what is defined later, or never."""
    if sys.version_info >= (3, 14):  # without a string around such a name
        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)


def _after(bound: functools.partial[Any], parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    kinds = {parameter.kind for parameter in parameters}
    by_position = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    by_name = {parameter.name for parameter in parameters if parameter.kind in _NAMED}
    left = parameters[min(len(bound.args), len(by_position)) :]
    unknown = bound.keywords.keys() - (by_name & {parameter.name for parameter in left})
    if (len(bound.args) > len(by_position) and inspect.Parameter.VAR_POSITIONAL not in kinds) or (
        unknown and inspect.Parameter.VAR_KEYWORD not in kinds
    ):
        raise ToolSignatureError(f"{origin(bound)}: the partial binds arguments that the function does not accept")
    remaining: list[inspect.Parameter] = []
    by_name_only = False  # what follows an argument bound by name has no position any more
    for parameter in left:
        if parameter.name in bound.keywords and parameter.kind in _NAMED:
            by_name_only = True
        elif by_name_only and parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            remaining.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        else:
            remaining.append(parameter)
    return remaining


def closed_names(function: AnyCallable) -> frozenset[str]:
    """Return the names of the arguments that the function has bound already."""
    source = written(function)
    if not inspect.isfunction(source):
        return frozenset()
    return frozenset(signature_of(source).parameters) - {item.name for item in open_parameters(function)}


def without_bound(function: AnyCallable, text: str) -> str:
    """Return a text for the model without the values that partials bind, such as a token in an error's message."""
    for layer in _layers(function):
        if isinstance(layer, functools.partial):
            for value in (*layer.args, *layer.keywords.values()):
                if isinstance(value, str):
                    text = hide(value, text)
    return text


def check_parameters(function: AnyCallable, *, in_class_body: bool = False) -> list[inspect.Parameter]:
    """Return the parameters that a model fills; raise ToolSignatureError if a model could not call the function.

    With `in_class_body` the function may be a method: its first parameter is left out, since access binds it.
    """
    source = written(function)
    if not inspect.isfunction(source):
        raise ToolSignatureError(f"{source!r} is not a tool; pass a function with type hints, or a Tool")
    where = origin(function)
    parameters = open_parameters(function)
    if parameters and parameters[0].annotation is REQUIRED and _is_method(function):
        if not in_class_body:
            raise ToolSignatureError(f"{where} is a method; pass the bound one (`instance.{source.__name__}`)")
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
    arguments: list[Argument] = []
    for parameter in parameters:
        if isinstance(parameter.annotation, type):  # nothing in it to resolve
            arguments.append(Argument(parameter.name, parameter.annotation, parameter.default))
            continue
        try:
            hint = resolved_annotation(function, parameter.annotation)
        except Exception as exc:  # evaluating an annotation can raise anything
            unresolved = getattr(parameter.annotation, "__forward_arg__", parameter.annotation)
            raise ToolSignatureError(
                f"{origin(function)}: cannot resolve the type {unresolved!r} of parameter "
                f"{parameter.name!r} ({exc}); define or import it at module level, not under TYPE_CHECKING"
            ) from exc
        arguments.append(Argument(parameter.name, hint, parameter.default))
    return arguments


def resolved_annotation(function: AnyCallable, annotation: Any) -> Any:
    """Return the type that an annotation of the function means; evaluating a string in it can raise anything."""
    holder = SimpleNamespace(__annotations__={"it": annotation})
    return get_type_hints(holder, written(function).__globals__, scope_of(function), include_extras=True)["it"]


def scope_of(function: AnyCallable) -> dict[str, Any]:
    """Return the variables that the function closes over: its string annotations may use them beside the globals."""
    source = written(function)
    scope: dict[str, Any] = {}
    for name, cell in zip(source.__code__.co_freevars, source.__closure__ or (), strict=True):
        with suppress(ValueError):  # not assigned yet
            scope[name] = cell.cell_contents
    return scope
