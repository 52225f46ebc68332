"""The pages of the API: one for each public module, one for all clients of providers.

A thing is described once, on the page of the package that `@public` names; other modules that export it link there.
The names are those of `__all__`, read from the source.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import cache
from typing import Any, NamedTuple

import griffe

from aimu._tools.site.paths import ROOT
from aimu._tools.site.tables import joined, table
from aimu.models._table import TABLE

MODULES = (
    "aimu.aio",
    "aimu",
    "aimu.agents",
    "aimu.tools",
    "aimu.types",
    "aimu.models",
    "aimu.errors",
    "aimu.skills",
    "aimu.evals",
    "aimu.testing",
    "aimu.engines",
    "aimu.providers",
)
SYNC = ("aimu", "aimu.agents", "aimu.models", "aimu.tools")
_CLIENTS = {f"aimu.{room}{row.stem}Client" for row in TABLE.values() for room in ("aio.Async", "models.")}


class Thing(NamedTuple):
    """A public name, the name under which it is described, and what griffe knows about it."""

    name: str
    home: str
    thing: Any

    @property
    def reference(self) -> str:
        """A link to the description, for autorefs."""
        return f"[`{self.name}`][{self.home}]"


@cache
def things() -> dict[str, list[Thing]]:
    """Return the public names of each module, read from the source."""
    package: Any = griffe.load("aimu", search_paths=[ROOT], allow_inspection=False, resolve_aliases=True)
    found: dict[str, list[Thing]] = {}
    homes: dict[str, str] = {}
    for module in MODULES:
        names = [f"{module}.{name}" for name in sorted(_exports(_at(package, module)))]
        targets = {name: _at(package, name) for name in names}
        for name, thing in targets.items():
            homes.setdefault(thing.path, _declared(thing) or name)
        found[module] = [Thing(name, homes[thing.path], thing) for name, thing in targets.items()]
    return found


def pages() -> dict[str, str]:
    """Return the Markdown of each page by its path under docs/."""
    found = things()
    pages = {page_of(module): _module_page(module, group) for module, group in found.items() if module != "aimu.errors"}
    pages[page_of(next(iter(_CLIENTS)))] = _clients_page()
    pages["reference/api/index.md"] = _index_page(found)
    return pages


def twin(name: str, names: Container[str]) -> str | None:
    """Return the sync name of a name of `aimu.aio`; None if it has none."""
    last = name.rpartition(".")[2].removeprefix("Async")
    return next((found for module in SYNC if (found := f"{module}.{last}") in names), None)


def _at(package: Any, name: str) -> Any:
    found = package
    for part in name.split(".")[1:]:
        found = found[part]
    return found.final_target if found.is_alias else found


def _exports(module: Any) -> list[str]:
    return [str(name) for name in module.exports or ()]


def _declared(thing: Any) -> str | None:
    for decorator in getattr(thing, "decorators", ()):
        call = str(decorator.value)
        if call.startswith("public("):
            return f"{call[8:-2]}.{thing.name}"
    return None


def page_of(name: str) -> str:
    """Return the path of the page that describes a module, or a thing by its home."""
    if name in _CLIENTS:
        return "reference/api/provider-clients.md"
    module = name if name in MODULES else name.rpartition(".")[0]
    return "reference/errors.md" if module == "aimu.errors" else f"reference/api/{module}.md"


def summary(thing: Any) -> str:
    """Return the first paragraph of what griffe has read as the docstring of a thing."""
    text = thing.docstring.value if thing.docstring is not None else ""
    return " ".join(text.partition("\n\n")[0].split())


def _module_page(module: str, group: Sequence[Thing]) -> str:
    shown = [thing for thing in group if thing.name not in _CLIENTS]
    own = [thing for thing in shown if thing.home == thing.name]
    other = [thing.reference for thing in shown if thing.home != thing.name]
    parts = [f"# {module}", _at(group[0].thing.package, module).docstring.value]
    if shown != list(group):
        parts.append("The client classes of single providers are on [a page of their own](provider-clients.md).")
    if other:
        parts.append(f"Also exported here: {', '.join(other)}.")
    parts += [directive(thing) for thing in own]
    return joined(*parts)


def directive(thing: Thing) -> str:
    """Return the lines that make mkdocstrings describe a thing, with what it inherits from private bases."""
    options = ["heading_level: 2"]
    if thing.thing.is_class:
        inherited = _inherited(thing.thing)
        options += [f"inherited_members: [{', '.join(inherited)}]"] if inherited else []
        options += ["show_bases: false"] if any(_is_private(base) for base in thing.thing.resolved_bases) else []
    return "\n".join([f"::: {thing.home}", "    options:", *(f"      {option}" for option in options)])


def _is_private(base: Any) -> bool:
    return base.path.startswith("aimu.") and not _declared(base) and not base.path.startswith("aimu.errors.")


def _inherited(thing: Any) -> list[str]:
    names: set[str] = set()
    for base in thing.mro():
        if not _is_private(base):
            return sorted(names - base.all_members.keys())
        told = {name for name, member in base.members.items() if not name.startswith("_") and member.docstring}
        names |= told - thing.members.keys()
    return sorted(names)


def _clients_page() -> str:
    parts = [
        "# Clients of providers",
        'Each provider has a client class for async and one for sync code. `aio.client("provider:model")` and '
        '`aimu.client("provider:model")` make the same clients from a model string; the classes are for programs that '
        "know their provider. Methods and options are those of [`AsyncModelClient`][aimu.aio.AsyncModelClient] and "
        "[`ModelClient`][aimu.ModelClient].",
    ]
    for row in sorted(TABLE.values(), key=lambda row: row.title.lower()):
        parts.append(f"## {row.title}")
        names = f"aimu.aio.Async{row.stem}Client", f"aimu.models.{row.stem}Client"
        parts += [
            f"::: {name}\n    options:\n      heading_level: 3\n      members: false\n      show_bases: false"
            for name in names
        ]
    return joined(*parts)


def _index_page(found: dict[str, list[Thing]]) -> str:
    everything = {thing.name: thing for group in found.values() for thing in group}
    own = [thing for thing in found["aimu.aio"] if thing.name not in _CLIENTS and thing.home == thing.name]
    twins = [(thing, everything.get(twin(thing.name, everything) or "")) for thing in own]
    parts = [
        "# API",
        "Names with `Async`, and all that `aimu.aio` exports, are for async code on asyncio or trio. Their sync twins "
        "have the same methods and behave the same.",
        "## Async and sync, side by side",
        table(("async", "sync"), [(thing.reference, other.reference) for thing, other in twins if other]),
        "## Modules",
    ]
    for module, group in found.items():
        shown = [thing for thing in group if thing.name not in _CLIENTS]
        rows = [(f"[`{thing.name.rpartition('.')[2]}`][{thing.home}]", summary(thing.thing)) for thing in shown]
        parts += [f"### {module}", table(("name", ""), rows)]
    return joined(*parts)
