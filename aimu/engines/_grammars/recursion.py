"""What references of a JSON Schema to itself lead to: values without an end, nothing at all, or too deep a nesting.

A grammar would let a model begin a value that cannot end. llguidance follows references by recursion, and ends the
process when its stack is full.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from aimu.tools._refs import definition, inside, used

_DEEPEST = 400
"""Schemas within each other; llguidance 1.9 needs a stack of 8 MiB for about 1,000."""


def rounds(definitions: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the definitions that are references which lead back to them, with nothing else on the way.

    Such a definition says nothing.

    Args:
        definitions: The `$defs` of a gathered schema.
    """
    after = {
        name: definition(node["$ref"])
        for name, node in definitions.items()
        if isinstance(node, Mapping) and isinstance(node.get("$ref"), str)
    }
    found, met = set[str](), set[str]()
    for start in after:
        way: dict[str, int] = {}
        at = start
        while at in after and at not in met:
            met.add(at)
            way[at] = len(way)
            at = after[at]
        if at in way:
            found.update(list(way)[way[at] :])
    return frozenset(found)


def endless(definitions: Mapping[str, Any], going_round: Collection[str]) -> frozenset[str]:
    """Return the names of the definitions that no finite value fits.

    Args:
        definitions: The `$defs` of a gathered schema.
        going_round: Those that say nothing, so that any value fits them.
    """
    users: defaultdict[str, list[str]] = defaultdict(list)
    for name, node in definitions.items():
        for other in used(node):
            users[other].append(name)
    ended, waiting = set[str](), list(definitions)
    while waiting:
        name = waiting.pop()
        if name not in ended and (name in going_round or _ends(definitions[name], definitions, ended)):
            ended.add(name)
            waiting += users[name]
    return frozenset(definitions.keys() - ended)


def _ends(node: Any, definitions: Mapping[str, Any], ended: Collection[str]) -> bool:
    """Return whether a value fits a schema if values fit these definitions."""
    if not isinstance(node, Mapping):
        return node is not False

    def ends(inner: Any) -> bool:
        return _ends(inner, definitions, ended)

    if isinstance(ref := node.get("$ref"), str) and (name := definition(ref)) in definitions and name not in ended:
        return False
    for key, several in (("anyOf", any), ("oneOf", any), ("allOf", all)):
        if node.get(key) and not several(map(ends, node[key])):
            return False
    kinds = [node["type"]] if isinstance(node.get("type"), str) else node.get("type")
    if kinds == ["object"]:
        properties = node.get("properties") or {}
        return all(ends(properties[name]) for name in node.get("required", ()) if name in properties)
    if kinds == ["array"] and (least := node.get("minItems", 0)):
        places = node.get("prefixItems") or []
        return all(map(ends, places[:least])) and (least <= len(places) or ends(node.get("items", True)))
    return True


def check_depth(schema: Any, definitions: Mapping[str, Any]) -> None:
    """Raise ValueError if schemas nest so deeply, by way of references too, that llguidance could not follow them."""
    waiting, met = [(schema, 1)], set[str]()
    while waiting:
        node, depth = waiting.pop()
        if not isinstance(node, Mapping):
            continue
        if depth > _DEEPEST:
            raise ValueError(f"it nests too deeply: more than {_DEEPEST} schemas, by way of references")
        inner = list(inside(node))
        if isinstance(ref := node.get("$ref"), str) and (name := definition(ref)) not in met:
            met.add(name)
            inner.append(definitions.get(name))
        waiting += [(item, depth + 1) for item in reversed(inner)]
