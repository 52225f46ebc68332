"""The classes and functions of aimu.aio as their source states them.

Reads with `ast` and imports nothing: linting needs no dependency of the library. Knows nothing of the sync surface.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from aimu._tools.docstring_words import items
from aimu._tools.layout import Import

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str
    tree: ast.Module

    @cached_property
    def names(self) -> dict[str, Import]:
        """What the file imports and defines."""
        found = {name: Import(self.name, name) for statement in self.tree.body for name in defined(statement)}
        for statement in self.tree.body:
            guarded = isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"
            for node in ast.walk(statement) if guarded else [statement]:
                if isinstance(node, ast.ImportFrom) and node.module:
                    for alias in node.names:
                        found[alias.asname or alias.name] = Import(node.module, alias.name, guarded=guarded)
                elif isinstance(node, ast.Import):
                    for alias in node.names:
                        found[alias.name] = Import(alias.name, "", guarded=guarded)
        return found


def defined(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module's body defines."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield statement.name
    elif isinstance(statement, ast.Assign):
        yield from (target.id for target in statement.targets if isinstance(target, ast.Name))
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id


@dataclass(frozen=True)
class Field:
    """A public attribute: a field of attrs, an assignment in `__init__`, or a property."""

    name: str
    annotation: ast.expr
    doc: str
    setter: ast.expr | None  # the type that may be assigned
    plain: bool  # assigning runs no code that may look at a running turn


@dataclass(frozen=True)
class Source:
    """The whole package, or one of its classes at a time."""

    modules: list[Module]
    homes: dict[str, list[Module]] = field(default_factory=dict[str, list[Module]])

    @classmethod
    def read(cls, package: Path) -> Source:
        """All files below the folder `package`."""
        modules: list[Module] = []
        for path in sorted(package.rglob("*.py")):
            parts = path.relative_to(package.parent.parent).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            modules.append(Module(name, ast.parse(path.read_text(encoding="utf8"))))
        source = cls(modules)
        for module in modules:
            for statement in module.tree.body:
                for name in defined(statement):
                    source.homes.setdefault(name, []).append(module)
        return source

    def module_of(self, name: str) -> Module:
        """The file that defines a class or function of this name."""
        found = {module.name: module for module in self.homes.get(name, [])}
        if len(found) != 1:
            raise LookupError(f"{name} is defined in {len(found)} modules of aimu.aio: {', '.join(found)}")
        return next(iter(found.values()))

    def statements(self, name: str) -> list[ast.ClassDef | Function]:
        """The definition of a class or function, with its overloads first."""
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        return [node for node in self.module_of(name).tree.body if isinstance(node, kinds) and node.name == name]

    def class_(self, name: str) -> ast.ClassDef:
        """The definition of a class."""
        [node] = self.statements(name)
        assert isinstance(node, ast.ClassDef)
        return node

    def lineage(self, name: str) -> Iterator[ast.ClassDef]:
        """The class and its bases in this package, the class first."""
        node = self.class_(name)
        yield node
        for base in bases(node):
            if base in self.homes:
                yield from self.lineage(base)

    def parts(self, name: str, known: Container[str]) -> Iterator[str]:
        """The class, and its bases in this package up to those that are known: what they bring is brought with it."""
        yield name
        for base in bases(self.class_(name)):
            if base in self.homes and base not in known:
                yield from self.parts(base, known)

    def constructor(self, name: str) -> ast.arguments | None:
        """The parameters of the class without `self`; None where it is its base's constructor."""
        node = self.class_(name)
        own = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
        if own:
            return without_first(own[0].args)
        return self._of_attrs(name) if is_attrs(node) else None

    def _of_attrs(self, name: str) -> ast.arguments:
        chosen: dict[str, ast.AnnAssign] = {}
        for node in reversed(list(self.lineage(name))):
            for entry in attrs_fields(node) if is_attrs(node) else ():
                chosen.pop(target(entry), None)  # a field that a subclass states again comes later
                chosen[target(entry)] = entry
        positional, keyword = ast.arguments(args=[], defaults=[], posonlyargs=[], kwonlyargs=[], kw_defaults=[]), []
        for entry in chosen.values():
            options = field_options(entry)
            if is_(options.get("init"), False):
                continue
            alias = options.get("alias")
            label = str(alias.value) if isinstance(alias, ast.Constant) else target(entry).lstrip("_")
            argument = ast.arg(label, entry.annotation)
            default = default_of(entry, options)
            if is_(options.get("kw_only"), True):
                keyword.append((argument, default))
            else:
                positional.args.append(argument)
                positional.defaults.extend([] if default is None else [default])
        positional.kwonlyargs = [argument for argument, _ in keyword]
        positional.kw_defaults = [default for _, default in keyword]
        return positional

    def fields(self, name: str) -> list[Field]:
        """The public attributes that the class itself brings."""
        node = self.class_(name)
        docs = items(ast.get_docstring(node) or "")
        found: dict[str, Field] = {}
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and not ast.unparse(item.annotation).startswith("ClassVar"):
                frozen = ast.unparse(field_options(item).get("on_setattr", ast.Constant(None))).endswith("frozen")
                setter = None if frozen else item.annotation
                found[target(item)] = Field(
                    target(item), item.annotation, docs.get(target(item), ""), setter, plain=True
                )
            elif isinstance(item, ast.FunctionDef) and item.name == "__init__":
                found.update((entry.name, entry) for entry in assigned(item, docs))
            elif isinstance(item, ast.FunctionDef) and "property" in decorators(item):
                found[item.name] = Field(item.name, returned(item), ast.get_docstring(item) or "", None, plain=False)
            elif isinstance(item, ast.FunctionDef) and f"{item.name}.setter" in decorators(item):
                getter, value = found[item.name], item.args.args[1].annotation
                found[item.name] = Field(item.name, getter.annotation, getter.doc, value, plain=False)
        return [entry for entry in found.values() if not entry.name.startswith("_")]

    def methods(self, name: str) -> dict[str, list[Function]]:
        """The methods that the class itself defines, each with its overloads first; properties are fields."""
        found: dict[str, list[Function]] = {}
        for item in self.class_(name).body:
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not any(
                mark == "property" or mark.endswith(".setter") for mark in decorators(item)
            ):
                found.setdefault(item.name, []).append(item)
        return found


def assigned(init: ast.FunctionDef, docs: dict[str, str]) -> Iterator[Field]:
    """The public attributes that `__init__` sets."""
    given = {argument.arg: argument.annotation for argument in (*init.args.args, *init.args.kwonlyargs)}
    for node in ast.walk(init):
        place: ast.expr | None = node.target if isinstance(node, ast.AnnAssign) else None
        annotation = node.annotation if isinstance(node, ast.AnnAssign) else None
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            place, annotation = node.targets[0], given.get(node.value.id)
        if isinstance(place, ast.Attribute) and ast.unparse(place.value) == "self" and annotation is not None:
            yield Field(place.attr, annotation, docs.get(place.attr, ""), annotation, plain=True)


def without_first(arguments: ast.arguments) -> ast.arguments:
    """Parameters without `self` or `cls`."""
    rest = copy.copy(arguments)
    rest.args = arguments.args[1:]
    return rest


def attrs_fields(node: ast.ClassDef) -> list[ast.AnnAssign]:
    """The fields that an attrs class states."""
    return [
        item
        for item in node.body
        if isinstance(item, ast.AnnAssign) and not ast.unparse(item.annotation).startswith("ClassVar")
    ]


def field_options(entry: ast.AnnAssign) -> dict[str, ast.expr]:
    """The keyword arguments of `field(...)`."""
    call = entry.value
    if isinstance(call, ast.Call) and ast.unparse(call.func) == "field":
        return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    return {}


def default_of(entry: ast.AnnAssign, options: dict[str, ast.expr]) -> ast.expr | None:
    """The default of a field, `FACTORY` where each object gets a new one."""
    if "factory" in options:
        return ast.Name("FACTORY")
    if isinstance(entry.value, ast.Call) and ast.unparse(entry.value.func) == "field":
        return options.get("default")
    return entry.value


def is_(node: ast.expr | None, value: bool) -> bool:
    """Whether the node is this constant."""
    return isinstance(node, ast.Constant) and node.value is value


def is_attrs(node: ast.ClassDef) -> bool:
    """Whether attrs writes the constructor."""
    return any(mark.split("(")[0] in ("define", "frozen", "mutable") for mark in decorators(node))


def decorators(node: ast.ClassDef | Function) -> list[str]:
    """The decorators as they are written."""
    return [ast.unparse(mark) for mark in node.decorator_list]


def bases(node: ast.ClassDef) -> list[str]:
    """The names of the bases, without their parameters."""
    return [ast.unparse(base).split("[")[0] for base in node.bases]


def target(entry: ast.AnnAssign) -> str:
    """The name that an annotated assignment sets."""
    return ast.unparse(entry.target)


def returned(node: Function) -> ast.expr:
    """The declared type of the result."""
    assert node.returns is not None, f"{node.name} declares no result"
    return node.returns
