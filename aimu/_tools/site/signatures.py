"""What griffe cannot read from this source, and what would be hard to read on a page.

An extension of griffe, which mkdocstrings loads; it works on the source and imports no module of the library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import dedent, indent
from typing import Any

import griffe

_ATTRS = ("define", "frozen", "attrs.define", "attrs.frozen")
_EXAMPLE = re.compile(r"^Example:\n((?:[ ]{4}.*\n?|\n)+)", re.MULTILINE)


class Readable(griffe.Extension):
    """Prepare what griffe has read for the pages.

    Each class gets the `__init__` that attrs or its `__new__` makes. The code of `Example:` sections gets a fence. A
    default that is the name of a short constant becomes the constant. Overloads are reduced to the parameters that tell
    them apart, if some do; the full signature of the function follows them. Each module knows the names of all errors,
    so that what a docstring `Raises:` is a link to its remedy, also where the module does not import the error.
    """

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Change a package once all of its modules are read."""
        errors = {name for name, member in pkg["errors"].members.items() if isinstance(member, griffe.Class)}
        for thing in list(_walk(pkg)):
            if isinstance(thing, griffe.Module):
                for name in errors - set(thing.members):
                    thing.set_member(name, griffe.Alias(name, f"{pkg.name}.errors.{name}", parent=thing))
            if thing.docstring is not None:
                thing.docstring.value = _EXAMPLE.sub(_fenced, thing.docstring.value)
            if isinstance(thing, griffe.Function):
                for parameter in (one for each in (thing, *(thing.overloads or ())) for one in each.parameters):
                    parameter.default = _constant(parameter.default, pkg)
                thing.overloads = _short(thing.overloads, thing) if thing.overloads else None
            if isinstance(thing, griffe.Class) and "__init__" not in thing.members:
                if _is_attrs(thing):
                    thing.set_member("__init__", _constructor(thing))
                elif isinstance(new := thing.members.get("__new__"), griffe.Function):
                    parameters = griffe.Parameters(*new.parameters)
                    thing.set_member("__init__", griffe.Function("__init__", parameters=parameters, parent=thing))


def _walk(thing: griffe.Object) -> Iterator[griffe.Object]:
    yield thing
    for member in thing.members.values():
        if isinstance(member, griffe.Object):
            yield from _walk(member)


def _constant(default: Any, package: griffe.Module) -> Any:
    """Return the value of a default that is the name of a short constant; any other default as it is.

    `NOTHING` of attrs, which stands for a default that the class makes, becomes three dots.
    """
    if not isinstance(default, griffe.ExprName) or not default.name.isupper():
        return default
    name = default.canonical_path.removeprefix(f"{package.name}.")
    try:
        value = package[name].value
    except (KeyError, AttributeError, griffe.AliasResolutionError):
        return default
    if str(value) == "NOTHING":
        return "..."
    return value if value is not None and len(str(value)) <= 20 else default


def _short(overloads: list[griffe.Function], whole: griffe.Function) -> list[griffe.Function]:
    """Return the overloads, without those that say what the signature of the function says, in short."""
    shown = [each for each in overloads if _types(each) != _types(whole)]
    common = (
        set.intersection(*({parameter.name for parameter in each.parameters} for each in shown)) if shown else set()
    )
    differ = {name for name in common if len({_types(each)[name] for each in shown}) > 1}
    rest = griffe.Parameter("...", kind=griffe.ParameterKind.positional_or_keyword)
    if len({tuple(_types(each)[name] for name in sorted(differ)) for each in shown}) < len(shown):
        return shown
    for each in shown:
        bound = [each.parameters[0]] if each.parameters and each.parameters[0].name in ("self", "cls") else []
        each.parameters = griffe.Parameters(*bound, rest, *(one for one in each.parameters if one.name in differ))
    return shown


def _types(function: griffe.Function) -> dict[str, tuple[str, str]]:
    return {parameter.name: (str(parameter.annotation), str(parameter.default)) for parameter in function.parameters}


def _fenced(match: re.Match[str]) -> str:
    code = dedent(match[1]).strip("\n")
    language = "pycon" if code.startswith(">>>") else "python"
    return "Example:\n" + indent(f"```{language}\n{code}\n```", "    ") + "\n\n"


def _is_attrs(thing: griffe.Class) -> bool:
    return any(str(decorator.value).partition("(")[0] in _ATTRS for decorator in thing.decorators)


def _constructor(thing: griffe.Class) -> griffe.Function:
    fields: dict[str, griffe.Attribute] = {}
    everywhere: set[str] = set()
    for base in (*reversed(thing.mro()), thing):
        if isinstance(base, griffe.Class) and _is_attrs(base):
            own = [member for member in base.members.values() if isinstance(member, griffe.Attribute)]
            fields |= {member.name: member for member in own if _is_field(member)}
            if any("kw_only=True" in str(decorator.value) for decorator in base.decorators):
                everywhere |= {member.name for member in own}
    parameters = [griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)]
    parameters += [_parameter(member, keyword=name in everywhere) for name, member in fields.items()]
    parameters.sort(key=lambda parameter: parameter.kind is griffe.ParameterKind.keyword_only)
    return griffe.Function("__init__", parameters=griffe.Parameters(*parameters), returns="None", parent=thing)


def _is_field(member: griffe.Attribute) -> bool:
    if member.annotation is None or "property" in member.labels or "ClassVar" in str(member.annotation):
        return False
    return _argument(member, "init") != "False"


def _parameter(member: griffe.Attribute, *, keyword: bool) -> griffe.Parameter:
    called = isinstance(member.value, griffe.ExprCall) and str(member.value.function) in ("field", "attrs.field")
    default = None if member.value is None else str(member.value)
    if called:
        factory = _argument(member, "factory")
        default = f"{factory.partition('[')[0]}()" if factory else _argument(member, "default")
    if default is not None and "lambda" in default:
        default = "..."  # computed from the other arguments
    only = keyword or _argument(member, "kw_only") == "True"
    kind = griffe.ParameterKind.keyword_only if only else griffe.ParameterKind.positional_or_keyword
    name = _argument(member, "alias") or member.name.lstrip("_")
    return griffe.Parameter(name.strip("\"'"), annotation=member.annotation, kind=kind, default=default)


def _argument(member: griffe.Attribute, name: str) -> str | None:
    if isinstance(member.value, griffe.ExprCall):
        for argument in member.value.arguments:
            if isinstance(argument, griffe.ExprKeyword) and argument.name == name:
                return str(argument.value)
    return None
