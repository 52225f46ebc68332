"""What a text between the marks of a call may be, by its schema: it stands there without quotes, as null does.

Owns the choice between the alternatives of a schema: texts, a few values, and everything else, which is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, final

from attrs import define, field

from aimu.engines._formats.schema import listed_values, types_of
from aimu.engines._grammars.patterns import literal, whole, within_slashes
from aimu.tools._refs import definition

_LIMITS = ("pattern", "format", "minLength", "maxLength")
_BESIDE = frozenset({"$defs", "title", "description", "default"})
_PATTERNS = {
    "null": "null",
    "boolean": "true|false",
    "integer": "-?(0|[1-9][0-9]*)",
    "number": r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?",
}
_DEPTH = 16
_LONGEST = 1000
"""Characters of a least length beyond which llguidance has too much to do."""


@final
@define
class Texts:
    """The alternatives of a schema whose values may be texts.

    Attributes:
        values: The texts of the values that it lists, and of null.
        free: Regular expressions for texts of other alternatives: each follows all in one of the lists.
        json: Schemas of alternatives that are written as JSON.
        any: Whether any text will do.
        lost: Limits that nothing holds the text to.
    """

    values: list[str] = field(factory=list[str])
    free: list[list[str]] = field(factory=list[list[str]])
    json: list[Mapping[str, Any]] = field(factory=list[Mapping[str, Any]])
    any: bool = False
    lost: list[str] = field(factory=list[str])

    @property
    def patterns(self) -> list[list[str]]:
        """Regular expressions, to stand between slashes: the whole text follows all in one of the lists."""
        return [*self.free, *([literal(value)] for value in self.values)]


def texts_of(node: Any, definitions: Mapping[str, Any], accepts: Callable[[str], bool]) -> Texts | None:
    """Return the texts that a schema allows; None if none of its values is a text.

    Args:
        node: The schema, rewritten.
        definitions: The rewritten schemas that it may refer to.
        accepts: Whether llguidance can read a regular expression.
    """
    found, branches = Texts(), list(_branches(node, definitions, set()))
    listed = [value for branch in branches for value in listed_values(branch)]
    strings = [branch for branch in branches if branch.get("type") == "string" and not listed_values(branch)]
    if not strings and not any(isinstance(value, str) for value in listed):
        return None
    found.values = [value if isinstance(value, str) else json.dumps(value) for value in listed]
    for branch in strings:
        patterns = _limits(branch, accepts, found.lost)
        found.any = found.any or not patterns
        found.free.append(patterns)
    for branch in branches:
        if branch in strings or listed_values(branch):
            continue
        kind = branch.get("type")
        if found.free and kind in _PATTERNS and not branch.keys() - {"type"}:
            found.free.append([_PATTERNS[kind]])
        else:
            found.json.append(branch)
    if strings and found.json and not found.any:
        keys = [key for key in _LIMITS if any(key in branch for branch in strings)]
        found.lost += [f"the keyword {key!r} of a union" for key in keys]
        found.any = True
    return found


def _branches(node: Any, definitions: Mapping[str, Any], met: set[str], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield the alternatives of a schema, each with one type or a list of values if it says so.

    A definition that it `met` before adds none.
    """
    if not isinstance(node, Mapping):
        return
    inner = {key: value for key, value in node.items() if key not in _BESIDE}
    if depth < _DEPTH and inner.keys() == {"$ref"}:
        if (name := definition(inner["$ref"])) not in met:
            met.add(name)
            yield from _branches(definitions.get(name), definitions, met, depth + 1)
    elif depth < _DEPTH and inner.keys() <= {"anyOf", "type"} and "anyOf" in inner:
        for branch in inner["anyOf"]:
            yield from _branches(branch, definitions, met, depth + 1)
    elif depth < _DEPTH and "allOf" in inner and "string" in _common_types(inner, definitions):
        yield {**inner, "type": "string"}
    elif isinstance(kinds := inner.get("type"), list) and not listed_values(inner):
        for kind in kinds:
            yield {**inner, "type": kind} if kind != "null" else {"type": "null"}
    else:
        yield inner


def _common_types(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> list[str]:
    """Return the types that all parts of an `allOf`, and what stands beside them, name; [] if none names any."""
    beside = {key: value for key, value in node.items() if key != "allOf"}
    named = [types for part in (beside, *node["allOf"]) if (types := types_of(part, definitions))]
    return sorted(set.intersection(*named)) if named else []


def _limits(branch: Mapping[str, Any], accepts: Callable[[str], bool], lost: list[str]) -> list[str]:
    """Return regular expressions, all of which a text follows; add the limits that are left out to `lost`."""
    found: list[str] = []
    for part in branch.get("allOf", ()):
        lost += [f"the keyword {key!r} of an 'allOf'" for key in part.keys() - {*_LIMITS, *_BESIDE, "type", "allOf"}]
        found += _limits(part, accepts, lost)
    if "pattern" in branch:
        if accepts(written := whole(branch["pattern"])):
            found.append(within_slashes(written))
        else:
            lost.append(f"the pattern {branch['pattern']!r}")
    if "format" in branch:
        lost.append(f"the format {branch['format']!r}")
    least, most = branch.get("minLength", 0), branch.get("maxLength")
    if least > _LONGEST:
        lost.append("the keyword 'minLength'")
        least = 0
    if least or most is not None:
        found.append(_of_length(least, most))
    return found


def _of_length(least: int, most: int | None) -> str:
    """Return a regular expression for texts of a length that neither begin nor end with a line's end."""
    longer = "" if most is None else max(most - 2, 0)
    choices = [rf"[^\n](?s:.{{{max(least - 2, 0)},{longer}}})[^\n]"] if most is None or most > 1 else []
    choices += [r"[^\n]"] if least < 2 and most != 0 else []
    choices += [""] if least < 1 else []
    return f"({'|'.join(choices)})"
