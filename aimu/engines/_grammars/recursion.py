"""What references of a JSON Schema to itself lead to: values without an end, nothing at all, or too deep a nesting.

A grammar would let a model begin a value that cannot end. llguidance follows references by recursion, and ends the
process when its stack is full.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any

from aimu._core.acyclic import acyclic, following
from aimu.tools._refs import definition, inside

_DEEPEST = 400
"""Schemas within each other; llguidance 1.9 needs a stack of 8 MiB for about 1,000."""


def rounds(definitions: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the definitions that are references which lead back to them, with nothing else on the way.

    Such a definition says nothing.

    Args:
        definitions: The `$defs` of a gathered schema.
    """
    users: dict[str, list[str]] = {name: [] for name in definitions}
    for name, node in definitions.items():
        if isinstance(node, Mapping) and isinstance(ref := node.get("$ref"), str) and definition(ref) in users:
            users[definition(ref)].append(name)
    return frozenset(users.keys() - acyclic(users))  # each refers to one at most, so a cycle leads nowhere else


def endless(definitions: Mapping[str, Any], going_round: Collection[str]) -> frozenset[str]:
    """Return the names of the definitions that no finite value fits.

    Args:
        definitions: The `$defs` of a gathered schema.
        going_round: Those that say nothing, so that any value fits them.
    """
    needs: dict[Hashable, tuple[int, list[Hashable]]] = {id(definitions[name]): (0, []) for name in going_round}
    waiting = [*definitions.values()]
    while waiting:
        node = waiting.pop()
        if id(node) in needs:
            continue
        parts = list(_needed(node, definitions))
        needs[id(node)] = len(parts), [(id(node), at) for at in range(len(parts))]
        for at, (count, inner) in enumerate(parts):
            needs[id(node), at] = count, [*map(id, inner)]
            waiting += inner
    ended = following(needs)
    return frozenset(name for name, node in definitions.items() if id(node) not in ended)


def _needed(node: Any, definitions: Mapping[str, Any]) -> Iterator[tuple[int, Sequence[Any]]]:
    """Yield what a value that fits a schema must fit besides: how many of which schemas."""
    if not isinstance(node, Mapping):
        if node is False:
            yield 1, ()
        return
    if isinstance(ref := node.get("$ref"), str) and (name := definition(ref)) in definitions:
        yield 1, [definitions[name]]
    for key in ("anyOf", "oneOf", "allOf"):
        if several := node.get(key):
            yield len(several) if key == "allOf" else 1, several
    kinds = [node["type"]] if isinstance(node.get("type"), str) else node.get("type")
    if kinds == ["object"]:
        properties = node.get("properties") or {}
        needed = [properties[name] for name in node.get("required", ()) if name in properties]
        yield len(needed), needed
    if kinds == ["array"] and (least := node.get("minItems", 0)):
        places = (node.get("prefixItems") or [])[:least]
        needed = [*places, node.get("items", True)] if least > len(places) else places
        yield len(needed), needed


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
