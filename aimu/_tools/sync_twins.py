"""Generates the sync twins: the classes of `aimu._sync` with the signatures and docstrings of those of `aimu.aio`.

A twin decides nothing: each body hands on to the async object in one of the ways below, by the types in the
signature. What needs code of its own is written by hand in `aimu._sync`: bridge, twin, reader and own.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

from aimu._tools import layout
from aimu._tools.async_source import Field, Function, Source, bases, decorators, returned, without_first
from aimu._tools.docstring_words import SENTENCES, WIDTH, Words
from aimu._tools.layout import Import
from aimu._tools.sync_names import (
    ABSTRACT,
    BASES,
    BODIES,
    COPIED,
    ENTERED,
    HANDWRITTEN,
    HELD,
    HOMES,
    INTERNAL,
    KINDS,
    PROTECTED,
    SPECIAL,
    TWINS,
    InnerTwins,
    async_name,
    in_sync,
    into_async,
    mentions_twin,
)

HEAD = """Generated from aimu.aio by `python -m aimu._tools.generate`: do not edit.

The sync twins of {}. They decide nothing.
"""
ROOT = Path(__file__).resolve().parents[2]


def files() -> dict[Path, str]:
    """Return the text of each generated file, by its path relative to the root of the checkout.

    Raises:
        ValueError: A member has no docstring, or one that does not fit the sync surface.
        LookupError: A name cannot be found.
    """
    source = Source.read(ROOT / "aimu" / "aio")
    words = Words(
        {name: f"aimu.{twin}" if HOMES[module][0] == "aimu" else twin for name, (twin, module) in TWINS.items()}
    )
    texts = {Path(f"aimu/_sync/{home}.py"): Home(home, source, words).text() for home in HOMES}
    wrong = [*words.problems, *(f"no docstring says any longer: {text}" for text in SENTENCES.keys() - words.met)]
    if wrong:
        raise ValueError("\n".join(wrong))
    return texts


class Home:
    """One generated module."""

    def __init__(self, name: str, source: Source, words: Words) -> None:
        self.name = name
        self.source = source
        self.words = words
        self.names = HOMES[name][1].split()

    def text(self) -> str:
        """Return the text of the module."""
        code = "\n".join(line for name in self.names for line in self.definition(name))
        return layout.module(HEAD.format(", ".join(self.names)), self.imports(code), code)

    def imports(self, code: str) -> Iterator[Import]:
        """Yield imports of all that the code names."""
        tree = ast.parse(code)
        here = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        for name in used - here - set(dir(builtins)) - locals_of(tree):
            found = self.resolve(name)
            yield found._replace(alias="" if found.name in ("", name) else name)

    def resolve(self, name: str) -> Import:
        """Where the module takes a name from."""
        if name in HANDWRITTEN:
            return Import(HANDWRITTEN[name], name)
        for there, (here, home) in TWINS.items():
            if name == here:
                return Import(f"aimu._sync.{home}", name)
            if name == async_name(there):
                return Import(self.source.module_of(there).name, there)
        for there in self.names:
            parts = [there] if there.islower() else self.source.parts(there, TWINS)  # functions have no bases
            for part in parts:
                if found := self.source.module_of(part).names.get(name):
                    return found
        if name in KINDS.values():
            return Import("collections.abc", name)
        raise LookupError(f"{self.name}: where does {name} come from?")

    def definition(self, name: str) -> list[str]:
        """The twin of a class or function."""
        *overloads, last = self.source.statements(name)
        if isinstance(last, ast.ClassDef):
            return Class(self, name, last).lines()
        lines = [line for item in overloads if not isinstance(item, ast.ClassDef) for line in self.stub(item)]
        body = self.handed_on(last, async_name(name), self.passed(last.args))
        return [
            *lines,
            *self.public(name),
            *self.function(last, last.args, self.copied(last) if name in COPIED else body),
        ]

    def public(self, name: str) -> list[str]:
        """The mark that says where users import a name from."""
        return [] if name in INTERNAL else [f'@public("{HOMES[self.name][0]}")']

    def function(
        self,
        node: Function,
        arguments: ast.arguments,
        body: list[str],
        *,
        name: str = "",
        first: str = "",
        indent: int = 0,
    ) -> list[str]:
        """A function with its docstring."""
        doc = self.doc(ast.get_docstring(node), f"{node.name}()", indent + 4) if body != ["..."] else []
        marks = [f"@{mark}" for mark in decorators(node) if not mark.startswith("public(")]
        head = f"def {name or node.name}({self.parameters(arguments, first)}) -> {self.type(returned(node))}:"
        return [*marks, head, *indented([*doc, *body])]

    def stub(self, node: Function, *, first: str = "") -> list[str]:
        """An overload."""
        return self.function(node, without_first(node.args) if first else node.args, ["..."], first=first)

    def doc(self, docstring: str | None, what: str, indent: int) -> list[str]:
        """The docstring in sync words, ready to be indented."""
        if not docstring:
            self.words.problems.append(f"{what} has no docstring in aimu.aio")
        lines = self.words.docstring(docstring or "", indent).split("\n")
        lines[0] = f'"""{lines[0]}'
        short = len(lines) == 1 and len(lines[0]) + indent + 3 <= WIDTH
        return [f'{lines[0]}"""'] if short else [*lines, '"""']

    def type(self, node: ast.expr) -> str:
        """A type in sync names."""
        return ast.unparse(in_sync(node))

    def parameters(self, arguments: ast.arguments, first: str = "") -> str:
        """The parameters as a signature states them."""
        copy = ast.parse(f"def f({ast.unparse(arguments)}): ...").body[0]
        assert isinstance(copy, ast.FunctionDef)
        for argument in ast.walk(copy.args):
            if isinstance(argument, ast.arg) and argument.annotation is not None:
                argument.annotation = in_sync(argument.annotation)
        return ", ".join(filter(None, [first, ast.unparse(copy.args)]))

    def passed(self, arguments: ast.arguments) -> str:
        """The arguments of the call that hands them on."""
        given = [self.translated(item) for item in (*arguments.posonlyargs, *arguments.args)]
        given += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
        given += [f"{item.arg}={self.translated(item)}" for item in arguments.kwonlyargs]
        given += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
        return ", ".join(given)

    def translated(self, argument: ast.arg) -> str:
        """An argument as the async side takes it."""
        return into_async(argument.arg, argument.annotation)

    def handed_on(
        self, node: Function, target: str, arguments: str, *, run: str = "bridge.run", like: str = "sync_of"
    ) -> list[str]:
        """The statements that call `target` of the async side and give what it gives, by the type of its result.

        What is awaited is run on the thread's loop. So is a plain function, which may look at a running turn; but one
        that makes an object only is called as it is, and the object gets a twin.
        """
        kind, call = returned(node), f"{target}({arguments})"
        text, twin = ast.unparse(kind), mentions_twin(kind)
        if "Coroutine[" in text:
            return [f"return perform({call})"]
        if isinstance(node, ast.AsyncFunctionDef):
            call = f"{run}({call})"
        elif not twin and text != "Self":
            call = f"bridge.call({', '.join(filter(None, [target, arguments]))})"
        if text == "None":
            return [call]
        if text == "Self":
            return [f"return {like}({call})"]
        if twin or run != "bridge.run":  # whose results have no type
            return [f"result: {self.type(kind)} = {f'sync_of({call})' if twin else call}", "return result"]
        return [f"return {call}"]

    def copied(self, node: Function) -> list[str]:
        """The body of a function in sync names."""
        statements = [item for item in node.body if not isinstance(item, ast.Expr)]
        lines: list[str] = []
        for statement in statements:
            if isinstance(statement, ast.Return) and statement.value is not None:
                value = InnerTwins().visit(in_sync(statement.value))
                awaited = "Coroutine[" in ast.unparse(returned(node))
                lines.append(f"return {'perform' if awaited else ''}({ast.unparse(value)})")
            else:
                lines.extend(ast.unparse(statement).split("\n"))
        return lines


class Class:
    """The twin of one class."""

    def __init__(self, home: Home, name: str, node: ast.ClassDef) -> None:
        self.home = home
        self.name = name
        self.node = node
        self.twin = TWINS[name][0]
        self.abstract = name in ABSTRACT
        self.run = "self._run" if "Reader" in BASES.get(name, "") else "bridge.run"
        self.parts = list(home.source.parts(name, TWINS))

    def lines(self) -> list[str]:
        home = self.home
        marks = [*home.public(self.name), *(f"@{mark}" for mark in decorators(self.node) if mark == "final")]
        body = [*home.doc(ast.get_docstring(self.node), self.name, 4), ""]
        if not self.abstract:
            marks.append(f"@twin_of({async_name(self.name)})")
            generic = [ast.unparse(base) for base in self.node.bases if ast.unparse(base).startswith("Generic[")]
            parameters = "".join(generic).removeprefix("Generic")
            narrows = any(base in TWINS and base not in ABSTRACT for base in bases(self.node))
            remark = "  # pyright: ignore[reportIncompatibleVariableOverride]" if narrows else ""
            body += [f"__aio__: {async_name(self.name)}{parameters}{remark}", ""]
            body += self.constructor()
        body += [line for entry in self.fields() for line in self.property(entry)]
        for name, definitions in self.methods().items():
            body += self.method(name, definitions)
        return [*marks, f"class {self.twin}({', '.join(self.bases())}):", *indented(body)]

    def bases(self) -> list[str]:
        """The twins of its bases, then what is written by hand."""
        there = [TWINS[base][0] for base in bases(self.node) if base in TWINS]
        by_hand = BASES.get(self.name) or ("" if there else "Facade")
        return [*there, *filter(None, [by_hand]), *(["ABC"] if self.abstract else [])]

    def constructor(self) -> list[str]:
        if self.run == "self._run":  # the library makes these
            return []
        arguments = next(filter(None, map(self.home.source.constructor, self.parts)), None)
        if arguments is None:
            return []
        held = HELD.get(self.name) or async_name(self.name)
        head = f"def __init__({self.home.parameters(arguments, 'self')}) -> None:"
        return [head, *indented([f"self._hold({held}({self.home.passed(arguments)}))"]), ""]

    def fields(self) -> list[Field]:
        found: dict[str, Field] = {}
        for part in self.parts:
            for entry in self.home.source.fields(part):
                found.setdefault(entry.name, entry)
        return list(found.values())

    def methods(self) -> dict[str, list[Function]]:
        found: dict[str, list[Function]] = {}
        for part in self.parts:
            for name, definitions in self.home.source.methods(part).items():
                if not name.startswith("_") or name in SPECIAL or name in PROTECTED:
                    found.setdefault(name, definitions)
        return found

    def property(self, entry: Field) -> list[str]:
        home, kind = self.home, self.home.type(entry.annotation)
        doc = home.doc(entry.doc, f"{self.name}.{entry.name}", 8)
        head = ["@property", f"def {entry.name}(self) -> {kind}:"]
        if self.abstract:
            return [head[0], "@abstractmethod", head[1], *indented(doc), ""]
        if mentions_twin(entry.annotation):
            body = [f"value: {kind} = field_of(self.__aio__, {entry.name!r})", "return value"]
        else:
            body = [BODIES.get(f"{self.name}.{entry.name}", f"return self.__aio__.{entry.name}")]
        lines = [*head, *indented([*doc, *body]), ""]
        if entry.setter is not None:
            value = into_async("value", entry.setter)
            body = [f"self.__aio__.{entry.name} = {value}"]
            if not entry.plain:
                body = [f"bridge.call(setattr, self.__aio__, {entry.name!r}, {value})"]
            setter = f"def {entry.name}(self, value: {home.type(entry.setter)}) -> None:"
            lines += [f"@{entry.name}.setter", setter, *indented(body), ""]
        return lines

    def method(self, name: str, definitions: list[Function]) -> list[str]:
        *overloads, last = definitions
        home, here = self.home, SPECIAL.get(name, name)
        if self.run == "self._run" and here.startswith("__"):
            return []  # a reader enters and leaves in its own way
        arguments = without_first(last.args)
        if here == "__enter__":
            opening = ENTERED.get(self.name, name)
            idle = [ast.unparse(item) for item in last.body] == ["return self"]
            body = [] if idle else [f"bridge.run(self.__aio__.{opening}())"]
            return ["def __enter__(self) -> Self:", *indented([*body, "return self"]), ""]
        if here == "__exit__":
            return [f"def __exit__({home.parameters(arguments, 'self')}) -> None:", "    self.close()", ""]
        lines = [line for item in overloads for line in home.stub(item, first="self")]
        if "abstractmethod" in decorators(last):
            return [*lines, *home.function(last, arguments, [], first="self", indent=4), ""]
        class_method = "classmethod" in decorators(last)
        target = f"{async_name(self.name)}.{name}" if class_method else f"self.__aio__.{name}"
        like, first = ("cls._of", "cls") if class_method else ("self._like", "self")
        body = home.handed_on(last, target, home.passed(arguments), run=self.run, like=like)
        if given := BODIES.get(f"{self.name}.{name}"):
            body = [given]
        return [*lines, *home.function(last, arguments, body, name=here, first=first, indent=4), ""]


def locals_of(tree: ast.Module) -> set[str]:
    """The names that functions bind: parameters and local variables."""
    found = {item.arg for item in ast.walk(tree) if isinstance(item, ast.arg)}
    return found | {
        item.id for item in ast.walk(tree) if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store)
    }


def indented(lines: list[str]) -> list[str]:
    """Four columns to the right."""
    return [f"    {line}" if line else "" for line in lines]
