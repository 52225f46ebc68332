"""Rewrites a JSON Schema for llguidance, so that what its grammar allows is what Python's types accept.

llguidance refuses a schema with a keyword that it does not know, and its dates have a 31st in each month. A rewriting
only narrows, such as an object to its named properties, or leaves a keyword out, which is then validated afterwards.
https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md (that of 1.9).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeAlias, final

from attrs import define, evolve, field

from aimu._core.json_equality import json_key
from aimu.engines._formats.schema import listed_values, types_of
from aimu.engines._grammars.patterns import in_json, literal
from aimu.engines._grammars.recursion import check_depth, endless, rounds
from aimu.tools._refs import definition, gathered

_KEPT = frozenset(
    (
        *("type", "enum", "const", "required", "minItems", "maxItems", "minLength", "maxLength", "pattern", "format"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "$ref", "minProperties"),
        "maxProperties",
    )
)
_SAYING = frozenset(
    (
        *("title", "description", "default", "examples", "$schema", "$id", "$comment", "discriminator", "deprecated"),
        *("readOnly", "writeOnly", "contentMediaType", "contentEncoding", "contentSchema", "uniqueItems"),
    )
)
"""Keywords that a grammar need not enforce: a set of Python may be written with an item twice."""

_YEAR = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_DAYS = "((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
_LEAP = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
_DATE = f"({_YEAR}-{_DAYS}|{_LEAP}-02-29)"
_MINUTE = "([01][0-9]|2[0-3]):[0-5][0-9]"
_SECOND = r":[0-5][0-9](\.[0-9]{1,6})?"
_TIME, _FULL_TIME = f"{_MINUTE}({_SECOND})?", _MINUTE + _SECOND
_ZONE = f"(Z|[+-]{_MINUTE})"
_SECONDS = r"[0-9]{1,5}(\.[0-9]{1,6})?S"
_CLOCK = f"T([0-9]{{1,5}}H([0-9]{{1,5}}M)?({_SECONDS})?|[0-9]{{1,5}}M({_SECONDS})?|{_SECONDS})"
_FORMATS = {
    "date": _DATE,
    "date-time": f"{_DATE}T{_TIME}{_ZONE}?",
    "time": f"{_TIME}{_ZONE}?",
    "duration": f"-?P([0-9]{{1,5}}D({_CLOCK})?|{_CLOCK})",
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
"""What Python's `datetime` and `uuid` can represent."""
_OF_JSON_SCHEMA = {
    **_FORMATS,
    "date-time": f"{_DATE}T{_FULL_TIME}{_ZONE}",
    "time": f"{_FULL_TIME}{_ZONE}",
    "duration": _FORMATS["duration"].removeprefix("-?"),
}
"""The same as JSON Schema wants it: with seconds and zone, as in RFC 3339."""
_ENFORCED = frozenset({"email", "hostname", "ipv4", "ipv6", "uri"})
_ANY_TEXT = frozenset({"binary", "path", "password", "byte"})
_LARGEST = 10**15
"""Greatest bound of a number that llguidance is asked to make a regular expression of."""
_MOST_INLINED = 10_000
"""Parts of schemas that are written in place of references to them: in turn, each could contain all others."""

_Known: TypeAlias = dict[tuple[int, int], bool]
_ANYTHING: Mapping[str, Any] = {}


@final
@define
class Rewriting:
    """Rewrites one schema; `lost` says what the grammar will not enforce. A part that no value fits becomes False.

    Args:
        accepts: Whether llguidance can read a regular expression.
        definitions: The `$defs` of the schema, which is gathered.
        strict: Whether no type of Python or tool validates the text afterwards: then a set has no item twice, only one
            of `oneOf` fits, and times are those of JSON Schema.
    """

    accepts: Callable[[str], bool]
    definitions: Mapping[str, Any]
    strict: bool = False
    lost: list[str] = field(factory=list[str])
    _inlined: tuple[str, ...] = field(default=(), alias="inlined")
    _count: list[int] = field(factory=lambda: [0], alias="count")
    _endless: frozenset[str] = field(default=frozenset(), alias="endless")
    _going_round: frozenset[str] = field(default=frozenset(), alias="going_round")

    @classmethod
    def of(cls, schema: Mapping[str, Any], accepts: Callable[[str], bool], *, strict: bool = False) -> tuple[Any, Self]:
        """Return a schema to compile, and the rewriting that made it; raise ValueError if no value fits the schema.

        Raises TypeError or AttributeError if the schema is not one.
        """
        for key in ("$defs", "definitions"):
            if not isinstance(schema.get(key, {}), Mapping):
                raise TypeError(f"its {key!r} must be an object")
        root = gathered(schema)
        definitions = root.pop("$defs", {})
        going_round = rounds(definitions)
        if isinstance(ref := root.get("$ref"), str) and definition(ref) not in definitions.keys() - going_round:
            raise ValueError(f"as a whole it is the reference {ref!r}, which leads nowhere")
        without_end = endless({"#": root, **definitions}, going_round)
        if "#" in without_end:
            raise ValueError("no value fits it that has an end")
        rewriting = cls(accepts, definitions, strict, endless=without_end, going_round=going_round)
        made = rewriting.schema(root)
        kept = definitions.keys() - without_end - going_round
        defs = {name: rewriting.schema(node) for name, node in definitions.items() if name in kept}
        check_depth(made, defs)
        return ({**made, "$defs": defs} if defs and made is not False else made), rewriting

    def schema(self, node: Any, *, closed: bool = True) -> Any:
        """Return the schema to compile; one that is not `closed` may allow properties without a name."""
        if not isinstance(node, Mapping):
            return node
        if self._inlined:
            self._count[0] += 1
            if self._count[0] > _MOST_INLINED:
                raise ValueError("it combines too many schemas by 'allOf'")
        if isinstance(ref := node.get("$ref"), str):
            return self._referring(node, ref, closed=closed)
        if _is_around_one(node):
            return self.schema(node["allOf"][0], closed=closed)
        made: dict[str, Any] = {}
        for key, value in node.items():
            if key == "properties":
                made[key] = {name: self.schema(item) for name, item in value.items()}
            elif key in ("anyOf", "oneOf"):
                if "anyOf" in made:
                    self.lost.append(f"the keyword {key!r} beside another")
                elif self.strict and key == "oneOf" and not are_apart(value, self.definitions):
                    self.lost.append("the keyword 'oneOf' of alternatives that overlap")
                made.setdefault("anyOf", self._alternatives(value))
            elif key == "allOf":
                made[key] = [self._part(item) for item in value]
            elif key == "prefixItems":
                made[key] = [self.schema(item) for item in value]
            elif key in ("items", "additionalProperties"):
                made[key] = self.schema(value)
            elif key in _KEPT:
                made[key] = value
            elif key not in _SAYING and key not in ("propertyNames", "patternProperties"):
                self.lost.append(f"the keyword {key!r}")
        if self.strict and node.get("uniqueItems"):
            self.lost.append("the keyword 'uniqueItems'")
        self._names(node, made, closed=closed and "allOf" not in node)
        self._text(made)
        self._number(made)
        return False if _has_no_value(made) else made

    def _referring(self, node: Mapping[str, Any], ref: str, *, closed: bool) -> Any:
        """Return the schema of a reference, and of what stands beside it."""
        name, rest = definition(ref), {key: value for key, value in node.items() if key != "$ref"}
        if (is_round := name in self._going_round) or name not in self.definitions:
            self.lost.append(f"the reference {ref!r}{' to itself' if is_round else ''}")
            return self.schema(rest, closed=closed)
        if name in self._endless:
            return False
        if "type" in rest and rest["type"] == _resolved(node, self.definitions).get("type"):
            del rest["type"]
        if rest.keys() - _SAYING or (self.strict and rest.get("uniqueItems")):
            return self.schema({"allOf": [{"$ref": ref}, rest]}, closed=closed)
        return {"$ref": ref}

    @property
    def _formats(self) -> Mapping[str, str]:
        return _OF_JSON_SCHEMA if self.strict else _FORMATS

    def _part(self, node: Any) -> Any:
        """Return one of the schemas that a value follows together: none of them names all properties."""
        ref = node.get("$ref") if isinstance(node, Mapping) and not node.keys() - {"$ref", *_SAYING} else None
        name = definition(ref) if isinstance(ref, str) else ""
        target = self.definitions.get(name)
        if target is None or name in self._inlined or name in self._endless or name in self._going_round:
            return self.schema(node, closed=False)
        before, self._inlined = self._inlined, (*self._inlined, name)
        made = self.schema(target, closed=False)
        self._inlined = before
        return made

    def _alternatives(self, nodes: Sequence[Any]) -> list[Any]:
        """Return the alternatives that can be enforced; all of them, in part, if none can be."""
        whole, partly, lost = list[Any](), list[Any](), list[str]()
        for node in nodes:
            inner = evolve(self, lost=[])
            if (made := inner.schema(node)) is False:
                continue
            (partly if inner.lost else whole).append(made)
            lost += inner.lost
        if not whole:
            self.lost += lost
        return whole or partly or [False]

    def _names(self, node: Mapping[str, Any], made: dict[str, Any], *, closed: bool) -> None:
        """Say which properties an object may have."""
        patterns = dict(node.get("patternProperties") or {})
        names, others = node.get("propertyNames"), node.get("additionalProperties", True)
        if isinstance(names, Mapping) and others is not False:
            pattern = self._pattern_of(names)
            if pattern is None:
                self.lost.append("the names of properties")
            else:
                patterns[pattern] = {} if others is True else others
                made["additionalProperties"] = False
        given = {in_json(pattern): self.schema(item) for pattern, item in patterns.items()}
        usable = {pattern: item for pattern, item in given.items() if self.accepts(pattern)}
        if len(usable) < len(patterns):
            self.lost.append("a pattern of properties")
        if usable:
            made["patternProperties"] = usable
        if closed and (made.get("properties") or usable):
            made.setdefault("additionalProperties", False)

    def _pattern_of(self, names: Mapping[str, Any]) -> str | None:
        """Return a pattern for the names of properties, or None."""
        names = _resolved(names, self.definitions)
        if values := listed_values(names):
            return f"^({'|'.join(literal(str(value)) for value in values)})$"
        form = self._formats.get(names.get("format", ""))
        pattern = names.get("pattern", None if form is None else f"^{form}$")
        return pattern if not names.keys() - {"type", "pattern", "format", *_SAYING} else None

    def _text(self, made: dict[str, Any]) -> None:
        form, bounds = made.pop("format", None), made.keys() & {"minLength", "maxLength"}
        types = made.get("type", "string")
        if form is None or "string" not in ([types] if isinstance(types, str) else types):
            pass  # a format of numbers, such as OpenAPI's int32, says what the type says
        elif form in self._formats and "pattern" not in made:
            made["pattern"] = f"^{self._formats[form]}$"
        elif form in _ENFORCED and "pattern" not in made and types == "string":
            made["format"] = form
            if bounds - {"minLength"} or made.pop("minLength", 1) > 1:
                self.lost.append(f"the lengths of the format {form!r}")
                made.pop("maxLength", None)
        elif form not in _ANY_TEXT:
            self.lost.append(f"the format {form!r}")
        if (pattern := made.pop("pattern", None)) is not None:
            if self.accepts(written := in_json(pattern)):
                made["pattern"] = written
            else:
                self.lost.append(f"the pattern {pattern!r}")

    def _number(self, made: dict[str, Any]) -> None:
        for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if key in made and not abs(made[key]) <= _LARGEST:
                del made[key]
                self.lost.append(f"the keyword {key!r}")


def _is_around_one(node: Mapping[str, Any]) -> bool:
    """Return whether a schema is an `allOf` of one, which gives it a description or the like."""
    parts = node.get("allOf")
    return isinstance(parts, list) and len(parts) == 1 and not node.keys() - ({"allOf"} | _SAYING - {"uniqueItems"})


def _has_no_value(made: Mapping[str, Any]) -> bool:
    """Return whether no value fits a rewritten schema, because none fits a part that it needs."""
    properties = made.get("properties", {})
    needed = [properties.get(name) for name in made.get("required", ())] if made.get("type") == "object" else []
    if made.get("type") == "array" and made.get("minItems", 0) > len(made.get("prefixItems", ())):
        needed.append(made.get("items"))
    needed += made.get("allOf", ())
    return False in needed or made.get("anyOf") == [False]


def are_apart(nodes: Sequence[Any], definitions: Mapping[str, Any]) -> bool:
    """Return whether it is certain that no value follows two of the schemas."""
    found = [_resolved(node, definitions) for node in nodes]
    known: _Known = {}
    return all(_apart(one, other, definitions, known) for at, one in enumerate(found) for other in found[at + 1 :])


def _resolved(node: Any, definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    seen = set[str]()
    while isinstance(node, Mapping) and isinstance(ref := node.get("$ref"), str) and ref not in seen:
        seen.add(ref)
        node = definitions.get(definition(ref))
    return node if isinstance(node, Mapping) else _ANYTHING


def _apart(one: Mapping[str, Any], other: Mapping[str, Any], definitions: Mapping[str, Any], known: _Known) -> bool:
    """Return whether two schemas are apart; add that to what is `known` of pairs."""
    pair = id(one), id(other)
    if pair not in known:
        known[pair] = False  # of a pair within itself it is not certain
        known[pair] = _are_two(one, other, definitions, known)
    return known[pair]


def _are_two(one: Mapping[str, Any], other: Mapping[str, Any], definitions: Mapping[str, Any], known: _Known) -> bool:
    values = [{*map(json_key, listed_values(each))} for each in (one, other)]
    if all(values):
        return not values[0] & values[1]
    types, others = types_of(one, definitions), types_of(other, definitions)
    if types and others and not types & others and not {"integer", "number"} <= types | others:
        return True
    if types != {"object"} or others != {"object"}:
        return False
    return any(
        _apart(_property(one, key, definitions), _property(other, key, definitions), definitions, known)
        for key in {*one.get("required", ())} & {*other.get("required", ())}
    )


def _property(node: Mapping[str, Any], key: str, definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    return _resolved(node.get("properties", {}).get(key), definitions)
