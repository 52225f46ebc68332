"""References in a JSON Schema: brings all that a schema refers to into its `$defs`, where everything else looks it up.

Follows JSON pointers to any place (`#/properties/a`, `#/definitions/X`, `#`), `$id`, and `$anchor`. Fetches nothing:
what is not in the schema stays as it is. JSON Schema Core 2020-12, sections 8.2 and 9.2, and draft-07, section 8
(json-schema.org, read 2026-11-26).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, final
from urllib.parse import unquote, urljoin

from attrs import define, field, frozen

Schema = dict[str, Any]

NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")  # schemas by name
SEVERAL = ("anyOf", "oneOf", "allOf", "prefixItems")
ONE = (
    *("items", "contains", "additionalItems", "unevaluatedItems"),
    *("additionalProperties", "unevaluatedProperties", "propertyNames", "not", "if", "then", "else"),
)
_DEFINITIONS = "#/$defs/"
_LISTS = "$defs", "definitions"
_DATA = "enum", "const", "default", "examples"
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_.-]+")
_DIGITS = re.compile(r"[0-9]{1,9}")


def definition(ref: str) -> str:
    """Return the name of the definition that a reference of a gathered schema means."""
    return ref.removeprefix(_DEFINITIONS)


def used(node: Any) -> set[str]:
    """Return the names of the definitions that a schema, or a part of one, refers to directly."""
    found, waiting = set[str](), [node]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            waiting.extend(item.values())
            if isinstance(ref := item.get("$ref"), str):
                found.add(definition(ref))
        elif isinstance(item, list):
            waiting.extend(item)
    return found


def inside(node: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the schemas that the keywords of a schema hold, but for definitions."""
    for key, value in node.items():
        if key in NAMED and key not in _LISTS and isinstance(value, Mapping):
            yield from value.values()
        elif (key in SEVERAL or key == "items") and isinstance(value, list):
            yield from value
        elif key in ONE:
            yield value


def gathered(schema: Mapping[str, Any]) -> Schema:
    """Return a schema whose references all have the form `#/$defs/<name>`, but for those that mean nothing in it.

    What the schema as a whole refers to becomes a part of it; its own keywords win. A definition that nothing refers to
    is left out.

    Args:
        schema: A JSON Schema of any draft.
    """
    return _Gathering(schema).whole()


@final
@frozen(eq=False)
class _Place:
    """A part of a schema.

    Attributes:
        node: The part.
        base: What references in it are relative to.
        around: The nearest part around it that has definitions, or None.
    """

    node: Any
    base: str = ""
    around: _Place | None = None

    @property
    def key(self) -> Hashable:
        """What tells it from other parts; a schema made in Python can hold one object in several places."""
        outer = self.around.node if self.around else {}
        return id(self.node), self.base, *(id(outer.get(key)) for key in _LISTS)

    @property
    def defining(self) -> _Place | None:
        """The nearest part that has definitions: this one or one around it."""
        has_some = isinstance(self.node, Mapping) and any(key in self.node for key in _LISTS)
        return self if has_some else self.around

    def inner(self, node: Any) -> _Place:
        """Return a part of this part."""
        given = node.get("$id") if isinstance(node, Mapping) else None
        if isinstance(given, str) and not given.startswith("#"):
            return _Place(node, _joined(self.base, given).partition("#")[0], self.defining)
        return _Place(node, self.base, self.defining)

    def at(self, pointer: str) -> _Place | None:
        """Return the part that a JSON pointer means, or None."""
        found, node, by_name = self, self.node, False
        for part in pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, Mapping) and key in node:
                node = node[key]
            elif isinstance(node, list) and _DIGITS.fullmatch(key) and int(key) < len(node):
                node = node[int(key)]
            else:
                return None
            by_name = key in NAMED and not by_name  # what holds schemas by name is no schema
            found = found if by_name else found.inner(node)
        found = found.inner(node) if by_name else found
        return found if isinstance(node, Mapping | bool) else None


@final
@define(eq=False)
class _Gathering:
    """One pass over a schema. A part that is referred to is written once, in `$defs`."""

    _root: Mapping[str, Any]
    _anchors: dict[tuple[str, str], _Place] = field(factory=dict[tuple[str, str], _Place], init=False)
    """By URL and name; the part that a URL itself means has the empty name."""
    _names: dict[Hashable, str] = field(factory=dict[Hashable, str], init=False)
    _targets: dict[str, _Place] = field(factory=dict[str, _Place], init=False)
    _counts: Counter[str] = field(factory=Counter[str], init=False)
    _holders: set[str] = field(factory=set[str], init=False)
    """Keywords, perhaps of no meaning, that pointers lead through."""

    def whole(self) -> Schema:
        place = _Place(None).inner(self._root)
        self._anchors["", ""] = place
        for part in _parts([place], _definitions):
            self._register(part)
        whole = self._merged(place)
        for _ in _parts(whole, self._named):
            pass
        made: Schema = {}
        for part in reversed(whole):
            made |= self._written(part, top=True)
        for key in self._holders.difference(NAMED, SEVERAL, ONE, _DATA):
            made.pop(key, None)
        defs = {name: self._written(target, top=True) for name, target in self._targets.items()}
        return {**made, "$defs": defs} if defs else made

    def _register(self, place: _Place) -> None:
        """Note the names that a part gives itself."""
        names, identity, anchor = list[str](), place.node.get("$id"), place.node.get("$anchor")
        if isinstance(identity, str):
            names += "", identity.partition("#")[2]  # an anchor, before 2019-09
        if isinstance(anchor, str):
            names.append(anchor)
        for name in names:
            self._anchors.setdefault((place.base, name), place)

    def _merged(self, place: _Place) -> list[_Place]:
        """Return what the whole schema consists of: itself, what it refers to, and so on."""
        found, seen = list[_Place](), set[int]()
        while True:
            seen.add(id(place.node))
            target = self._find(place)
            if target is None or not isinstance(target.node, Mapping) or id(target.node) in seen:
                return [*found, place]
            rest = {key: value for key, value in place.node.items() if key != "$ref"}
            found.append(_Place(rest, place.base, place.around))
            place = target

    def _find(self, place: _Place) -> _Place | None:
        """Return what a part refers to; None if it refers to nothing, or to what is not in the schema."""
        ref = place.node.get("$ref")
        if not isinstance(ref, str):
            return None
        url, _, fragment = _joined(place.base, ref).partition("#")
        fragment = unquote(fragment)
        if not fragment.startswith("/"):
            return self._anchors.get((url, fragment))
        resource = self._anchors.get((url, ""))
        found = None if resource is None else resource.at(fragment)
        if found is not None:
            self._holders.add(fragment.split("/")[1])
        around = place.defining
        while found is None and around is not None and ref.startswith("#"):
            # A schema that was put into another one as it was: its definitions are not where its references say.
            found, around = around.at(fragment), around.around
        return found

    def _named(self, place: _Place) -> list[_Place]:
        """Give what a part refers to a name, and return it."""
        found = self._find(place)
        if found is None:
            return []
        if found.key not in self._names:
            last = unquote(place.node["$ref"]).rpartition("/")[2]
            name = wanted = _NOT_IN_A_NAME.sub("_", last).strip("_") or "root"
            while name in self._targets:
                self._counts[wanted] += 1
                name = f"{wanted}_{self._counts[wanted] + 1}"
            self._names[found.key] = name
            self._targets[name] = found
        return [found]

    def _written(self, place: _Place, *, top: bool = False) -> Any:
        """Return a part with references to `$defs`; one that is referred to becomes such a reference itself."""
        node = place.node
        if not isinstance(node, Mapping):
            return node
        if not top and place.key in self._names:
            return {"$ref": _DEFINITIONS + self._names[place.key]}
        made: Schema = {}
        for key, value in node.items():
            if key in _LISTS or (key in ("$id", "$anchor") and isinstance(value, str)):
                continue
            if key in NAMED and isinstance(value, Mapping):
                made[key] = {name: self._written(place.inner(item)) for name, item in value.items()}
            elif (key in SEVERAL or key == "items") and isinstance(value, list):
                made[key] = [self._written(place.inner(item)) for item in value]
            elif key in ONE:
                made[key] = self._written(place.inner(value))
            else:
                made[key] = value
        if (target := self._find(place)) is not None and (name := self._names.get(target.key)):
            made["$ref"] = _DEFINITIONS + name
        return made


def _parts(places: Iterable[_Place], follow: Callable[[_Place], Iterable[_Place]]) -> Iterator[_Place]:
    """Yield all schemas in some, themselves included, and what `follow` returns for each."""
    waiting, seen = list(places), set[Hashable]()
    while waiting:
        place = waiting.pop()
        if not isinstance(place.node, Mapping) or place.key in seen:
            continue
        seen.add(place.key)
        yield place
        waiting.extend(map(place.inner, inside(place.node)))
        waiting.extend(follow(place))


def _definitions(place: _Place) -> Iterator[_Place]:
    for key in _LISTS:
        if isinstance(listed := place.node.get(key), Mapping):
            yield from map(place.inner, listed.values())


def _joined(base: str, ref: str) -> str:
    try:
        return urljoin(base, ref)
    except ValueError:  # it is no URL, such as "http://["
        return ref
