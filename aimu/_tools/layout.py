"""Lays out generated code as `ruff format` does, as far as generated code goes.

It works without ruff, so that the test suite can compare generated files too; `ruff format --check` confirms it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from aimu._tools.docstring_words import WIDTH

TAB = 4


class Import(NamedTuple):
    """One imported name, and where it comes from."""

    module: str
    name: str  # empty: the module itself
    alias: str = ""
    guarded: bool = False  # below `if TYPE_CHECKING:`


def module(docstring: str, imports: Iterable[Import], code: str) -> str:
    """Return the text of a module: its docstring, imports, and the code below them."""
    needed = set(imports)
    guarded = {item for item in needed if item.guarded}
    if guarded:
        needed.add(Import("typing", "TYPE_CHECKING"))
    lines = [
        *f'"""{docstring}"""'.split("\n"),
        "",
        "from __future__ import annotations",
        "",
        *sorted_imports(needed - guarded, 0),
    ]
    if guarded:
        lines += ["", "if TYPE_CHECKING:", *sorted_imports(guarded, TAB)]
    comments = {
        number: found[0] for number, line in enumerate(code.split("\n"), 1) if (found := re.search("  # .*", line))
    }
    lines += ["", "", *_Printer(comments).body(ast.parse(code).body, 0)]
    return "\n".join(lines) + "\n"


def sorted_imports(imports: Iterable[Import], indent: int) -> Iterator[str]:
    """Yield import statements in the order of isort."""
    statements: dict[tuple[str, str], list[str]] = {}
    for item in sorted(imports, key=lambda item: (item.module, _rank(item.name))):
        statements.setdefault((item.module, item.alias or ("from" if item.name else "")), []).append(item.name)
    section = 0
    for (source, kind), names in sorted(statements.items(), key=lambda item: _place(item[0], item[1][0])):
        if section not in (0, _section(source)):
            yield ""
        section = _section(source)
        alias = f" as {kind}" if kind not in ("", "from") else ""
        line = f"from {source} import {', '.join(names)}{alias}" if names[0] else f"import {source}"
        if indent + len(line) > WIDTH:
            yield from _shifted([f"from {source} import (", *(f"    {name}," for name in names), ")"], indent)
        else:
            yield " " * indent + line


def _place(statement: tuple[str, str], name: str) -> tuple[int, bool, str, tuple[int, str]]:
    return _section(statement[0]), bool(statement[1]), statement[0], _rank(name)


def _section(source: str) -> int:
    """The standard library comes first, this package last."""
    root = source.split(".")[0]
    return 1 if root in sys.stdlib_module_names else 3 if root == "aimu" else 2


def _rank(name: str) -> tuple[int, str]:
    """Constants come first, then classes, then the rest."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2), name.lower()


class _Printer:
    def __init__(self, comments: dict[int, str]) -> None:
        self._comments = comments  # by number of the line that they end

    def body(self, statements: Sequence[ast.stmt], indent: int) -> list[str]:
        lines: list[str] = []
        for index, statement in enumerate(statements):
            if index:
                lines += [""] * _blank_lines(statements[index - 1], statement, indent)
            lines += self._statement(statement, indent)
        return lines

    def _statement(self, node: ast.stmt, indent: int) -> list[str]:
        pad = " " * indent
        if isinstance(node, ast.ClassDef):
            marks = [f"{pad}@{_text(mark)}" for mark in node.decorator_list]
            bases = ", ".join(map(_text, node.bases))
            return [*marks, f"{pad}class {node.name}({bases}):", *self._class_body(node, indent + TAB)]
        if isinstance(node, ast.FunctionDef):
            marks = [f"{pad}@{_text(mark)}" for mark in node.decorator_list]
            head = _split(f"def {node.name}(", parameters(node.args), f") -> {_text(node.returns)}:", indent)
            if _is_stub(node):
                return [*marks, *head[:-1], f"{head[-1]} ..."]
            return [*marks, *head, *self.body(node.body, indent + TAB)]
        if isinstance(node, ast.If):
            return [f"{pad}if {_text(node.test)}:", *self.body(node.body, indent + TAB)]
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return _docstring(node.value.value, indent)
        lines = _laid_out(node, indent)
        return [*lines[:-1], lines[-1] + self._comments.get(node.end_lineno or 0, "")]

    def _class_body(self, node: ast.ClassDef, indent: int) -> list[str]:
        docstring, *rest = node.body
        return [*self._statement(docstring, indent), *([""] if rest else []), *self.body(rest, indent)]


def parameters(arguments: ast.arguments) -> list[str]:
    """Return each parameter of a signature as it is written."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [*[None] * (len(positional) - len(arguments.defaults)), *arguments.defaults]
    found = [_parameter(item, default) for item, default in zip(positional, defaults, strict=True)]
    if arguments.posonlyargs:
        found.insert(len(arguments.posonlyargs), "/")
    if arguments.vararg or arguments.kwonlyargs:
        found.append(f"*{_parameter(arguments.vararg, None) if arguments.vararg else ''}")
    found += [
        _parameter(item, default) for item, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return [*found, f"**{_parameter(arguments.kwarg, None)}"] if arguments.kwarg else found


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    text = argument.arg if argument.annotation is None else f"{argument.arg}: {_text(argument.annotation)}"
    if default is None:
        return text
    return f"{text}{'=' if argument.annotation is None else ' = '}{_text(default)}"


def _laid_out(node: ast.stmt, indent: int) -> list[str]:
    """A simple statement; a call at its end is split if it is too long."""
    text = _text(node)
    value = getattr(node, "value", None)
    if len(text) + indent <= WIDTH or not isinstance(value, ast.Call):
        return [" " * indent + text]
    return _call(value, text.removesuffix(_text(value)), indent)


def _call(node: ast.Call, before: str, indent: int) -> list[str]:
    arguments = [*map(_text, node.args), *(_keyword(item) for item in node.keywords)]
    before = f"{before}{_text(node.func)}("
    split = _split(before, arguments, ")", indent)
    if len(arguments) == 1 and isinstance(node.args[0], ast.Call) and len(split) > 1 and len(split[1]) > WIDTH:
        return [" " * indent + before, *_call(node.args[0], "", indent + TAB), " " * indent + ")"]
    return split


def _keyword(item: ast.keyword) -> str:
    return f"{item.arg}={_text(item.value)}" if item.arg else f"**{_text(item.value)}"


def _split(before: str, items: Sequence[str], after: str, indent: int) -> list[str]:
    """On one line; else the items on a line of their own; else a line for each."""
    pad, inner = " " * indent, " " * (indent + TAB)
    together = ", ".join(items)
    if indent + len(before + together + after) <= WIDTH:
        return [pad + before + together + after]
    if indent + TAB + len(together) <= WIDTH or len(items) == 1:
        return [pad + before, inner + together, pad + after]
    return [pad + before, *(f"{inner}{item}," for item in items), pad + after]


def _docstring(text: str, indent: int) -> list[str]:
    lines = f'"""{text}"""'.split("\n")
    return [" " * indent + lines[0], *lines[1:]]


def _blank_lines(before: ast.stmt, after: ast.stmt, indent: int) -> int:
    kinds = (ast.ClassDef, ast.FunctionDef)
    if not isinstance(before, kinds) and not isinstance(after, kinds):
        return 0
    same = getattr(before, "name", "") == getattr(after, "name", "-")
    if same and isinstance(before, ast.FunctionDef) and _is_stub(before):
        return 0
    return 1 if indent else 2


def _is_stub(node: ast.FunctionDef) -> bool:
    return [ast.unparse(item) for item in node.body] == ["..."]


def _text(node: ast.AST | None) -> str:
    """The code of a node, with the quotes that ruff chooses."""
    text = ast.unparse(node) if node is not None else "None"
    return re.sub(r"""'([^'"\\]*)'""", r'"\1"', text)


def _shifted(lines: Iterable[str], indent: int) -> Iterator[str]:
    return (" " * indent + line for line in lines)
