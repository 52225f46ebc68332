"""Chat templates rendered as transformers renders them, in a sandbox with bounds.

A template comes with the weights, from strangers: it reaches nothing but what it is given, and what it does is counted:
steps of loops and macros, characters written, the size of strings and lists, and the work of built-in operations, by
the size of what they take and make. Beyond a bound it ends with TemplateLimit.
What templates may use: https://huggingface.co/docs/transformers/chat_templating_writing (read 2026-11-22).
Imports jinja2, so it is imported when a template is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import Any, final

import jinja2
from attrs import define
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import SandboxedEnvironment
from jinja2.visitor import NodeTransformer

from aimu._core.json_text import read_json
from aimu.engines._formats.bounds import BITS, DEPTH, SIZE, SOURCE, STEPS, WRITTEN, TemplateLimit

_MACRO = 10  # steps that a macro's run counts as
_COUNT, _WRITE, _JOIN, _TICK, _SIZED, _COMPARED = "__count", "__write", "__join", "__tick", "__sized", "__compared"
_WIDE = re.compile(r"\*|\d{6,}")
_PADDING = ("center", "expandtabs", "ljust", "rjust", "zfill")
_GROWING = ("append", "extend", "insert")
_INSTANT = frozenset(("length", "count", "first", "default", "d", "attr", "items", "mapping"))  # filters
_COMPARING = ("sort", "unique", "groupby", "min", "max", "dictsort", "sum")  # filters that look into the elements
_TESTS = (
    "in",
    *("eq", "equalto", "==", "ne", "!="),
    *("gt", "greaterthan", ">", "ge", ">="),
    *("lt", "lessthan", "<", "le", "<="),
)


@final
@define
class _Account:
    """What one rendering may still do."""

    steps: int
    written: int

    def count(self, steps: int) -> str:
        self.steps -= steps
        if self.steps < 0:
            raise TemplateLimit("its loops and macros take too many steps")
        return ""

    def write(self, value: Any) -> Any:
        if isinstance(value, Mapping | list | tuple):
            _check_depth(value, 0, [SIZE >> 4])
            value = str(value)
        self.written -= len(value) if isinstance(value, str) else 1
        if self.written < 0:
            raise TemplateLimit(f"it writes more than {WRITTEN:,} characters")
        return value


_ACCOUNT: ContextVar[_Account | None] = ContextVar("_ACCOUNT", default=None)


def _charge(*values: Any) -> None:
    """Count work as steps: a step is worth a few elements of a list, or some more characters."""
    account = _ACCOUNT.get()
    if account is not None:
        account.count(sum(map(_weight, values)))


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return len(value) >> 6
    return len(value) >> 2 if hasattr(type(value), "__len__") else 0


def _tick() -> bool:
    if (account := _ACCOUNT.get()) is not None:
        account.count(1)
    return True


def _sized_value(value: Any) -> Any:
    _charge(value)
    return value


def _compared_value(value: Any) -> Any:
    """Charge for an operand of a comparison, which goes through all that a value holds."""
    account = _ACCOUNT.get()
    if account is not None and isinstance(value, Mapping | list | tuple):
        left = [account.steps]
        _check_depth(value, 0, left)
        account.count(account.steps - left[0])
    else:
        _charge(value)
    return value


def _counted_items(items: Iterator[Any]) -> Iterator[Any]:
    for item in items:
        _tick()
        yield item


class _Generation(Extension):  # type: ignore[misc]
    """`{% generation %}` marks an assistant's text for training; here it is just its text."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own way

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Counting(NodeTransformer):  # type: ignore[misc]
    """Counts each turn of a loop, each macro's run, each text that is written, and each `~`; jinja2 gives the names."""

    def visit_For(self, node: Any) -> Any:  # noqa: N802
        node = self._counted(node)
        if node.test is not None:
            node.test = nodes.And(_called(_TICK, []), node.test)
        return node

    def visit_Getitem(self, node: Any) -> Any:  # noqa: N802
        node = self.generic_visit(node)
        is_read = node.ctx == "load" and isinstance(node.arg, nodes.Slice)
        return _called(_SIZED, [node]) if is_read else node

    def visit_Compare(self, node: Any) -> Any:  # noqa: N802
        node = self.generic_visit(node)
        node.expr = _called(_COMPARED, [node.expr])
        for operand in node.ops:
            operand.expr = _called(_COMPARED, [operand.expr])
        return node

    def visit_Macro(self, node: Any) -> Any:  # noqa: N802
        return self._counted(node, _MACRO)

    def visit_CallBlock(self, node: Any) -> Any:  # noqa: N802
        return self._counted(node, _MACRO)

    def visit_Output(self, node: Any) -> Any:  # noqa: N802
        node = self.generic_visit(node)
        node.nodes = [
            _called(_WRITE, [nodes.Const(child.data) if isinstance(child, nodes.TemplateData) else child])
            for child in node.nodes
        ]
        return node

    def visit_Concat(self, node: Any) -> Any:  # noqa: N802
        node = self.generic_visit(node)
        return _called(_JOIN, node.nodes)

    def _counted(self, node: Any, steps: int = 1) -> Any:
        node = self.generic_visit(node)
        node.body.insert(0, nodes.Output([_called(_COUNT, [nodes.Const(steps)])]))
        return node


def _compared(tree: Any) -> dict[str, frozenset[Any]]:
    """The constants with which a template compares each of its variables."""
    found: dict[str, set[Any]] = {}
    for comparison in tree.find_all(nodes.Compare):
        names = [node.name for node in comparison.find_all(nodes.Name)]
        values = [node.value for node in comparison.find_all(nodes.Const) if isinstance(node.value, str | int)]
        for name in names:
            found.setdefault(name, set()).update(values)
    return {name: frozenset(values) for name, values in found.items()}


def _called(name: str, arguments: list[Any]) -> Any:
    return nodes.Call(nodes.Name(name, "load"), arguments, [], None, None)


@final
class _Environment(SandboxedEnvironment):  # type: ignore[misc]
    """Lists may be changed, as some templates do: they are copies."""

    intercepted_binops = frozenset(("*", "**", "%", "+"))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            if _WIDE.search(left):
                raise TemplateLimit("it pads text without measure")
        elif operator in ("*", "**"):
            _check_product(operator, left, right)
        elif operator == "+" and isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
            _check_size(len(left) + len(right))
        result = super().call_binop(context, operator, left, right)
        _charge(result)
        return result

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        method = getattr(function, "__wrapped__", function)
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(owner, _Account) or function in _OWN:
            return function(*args)
        if isinstance(owner, str):
            _check_method(owner, name, args)
            _charge(owner)
        elif isinstance(owner, list) and name in _GROWING:
            _check_size(len(owner) + (len(args[0]) if name == "extend" and isinstance(args[0], Sequence) else 1))
        if isinstance(owner, list | tuple) and name != "append":
            _compared_value(owner)
        _charge(*args)
        result = super().call(context, function, *args, **kwargs)
        return _sized_value(result) if isinstance(result, str | list | tuple) else result


def _check_size(size: int) -> None:
    if size > SIZE:
        raise TemplateLimit(f"it makes values of more than {SIZE:,} characters or elements")


def _check_product(operator: str, left: Any, right: Any) -> None:
    if isinstance(left, str | list | tuple) and isinstance(right, int):
        _check_size(len(left) * right)
    elif isinstance(right, str | list | tuple) and isinstance(left, int):
        _check_size(len(right) * left)
    elif isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > BITS:
            raise TemplateLimit("it computes numbers without measure")


def _check_method(text: str, name: str, args: tuple[Any, ...]) -> None:
    if name in _PADDING:
        _check_size(len(text) + sum(arg for arg in args if isinstance(arg, int)) * (1 + text.count("\t")))
    elif name == "replace" and len(args) > 1 and all(isinstance(arg, str) for arg in args[:2]):
        _check_size(len(text) + text.count(args[0]) * len(args[1]))
    elif name == "join" and args and isinstance(args[0], list | tuple):
        _check_size(sum(len(text) + len(str(item)) for item in args[0]))
    elif name in ("format", "format_map") and _WIDE.search(text):
        raise TemplateLimit("it pads text without measure")


def _check_depth(value: Any, depth: int, left: list[int]) -> None:
    """A value that holds another one many times over grows beyond all measure when it is written."""
    left[0] -= 1
    if depth > DEPTH or left[0] < 0:
        raise TemplateLimit("it writes values that nest without measure")
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for item in value:
        _check_depth(item, depth + 1, left)


def _join(*parts: Any) -> str:
    for part in parts:
        if not isinstance(part, str):
            _compared_value(part)
    texts = [str(part) for part in parts]
    size = sum(map(len, texts))
    _check_size(size)
    if (account := _ACCOUNT.get()) is not None:
        account.count(size >> 7)  # the least work for a text; some templates add all that they write to what they wrote
    return "".join(texts)


def _sized(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose numbers and texts are within the bounds, and whose result is."""

    def checked(*args: Any, **kwargs: Any) -> Any:
        numbers = [value for value in (*args, *kwargs.values()) if isinstance(value, int)]
        _check_size(max(numbers, default=0) * 64)
        texts = [value for value in args if isinstance(value, str)]
        if function.__name__ == "do_replace" and len(texts) > 2:
            _check_method(texts[0], "replace", (texts[1], texts[2]))
        if function.__name__ == "do_format" and texts and _WIDE.search(texts[0]):
            raise TemplateLimit("it pads text without measure")
        result = function(*args, **kwargs)
        if isinstance(result, str):
            _check_size(len(result))
        return result

    checked.__dict__.update(getattr(function, "__dict__", {}))  # jinja2's marks: what is passed first
    return checked


def _charged(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or test whose work is counted."""
    weigh = _compared_value if name in _COMPARING or name in _TESTS else _sized_value

    def charged(*args: Any, **kwargs: Any) -> Any:
        for value in args:
            weigh(value)
        result = function(*args, **kwargs)
        if isinstance(result, Iterator):
            return _counted_items(result)
        _charge(result)
        return result

    charged.__dict__.update(getattr(function, "__dict__", {}))  # jinja2's marks: what is passed first
    return charged


def _today() -> str:
    return datetime.now().strftime("%Y-%m-%d")


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON for a model, without the escapes that jinja2's own filter makes for HTML."""
    if isinstance(value, Iterator):
        value = list(value)
    _check_depth(value, 0, [SIZE >> 4])
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


_OWN = (_tick, _join, _sized_value, _compared_value)
_FILTERS = ("center", "format", "indent", "replace", "wordwrap", "batch", "slice", "truncate")


def _environment() -> Any:
    # Not optimized: what is computed while a template is read is not counted.
    environment: Any = _Environment(
        trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    for name in _FILTERS:
        environment.filters[name] = _sized(environment.filters[name])
    environment.filters["from_json"] = read_json
    for name in environment.filters.keys() - _INSTANT:
        environment.filters[name] = _charged(name, environment.filters[name])
    for name in _TESTS:
        environment.tests[name] = _charged(name, environment.tests[name])
    for name in ("pprint", "striptags", "urlize", "xmlattr"):  # for web pages; their work is not linear
        del environment.filters[name]
    del environment.globals["lipsum"]
    environment.globals.update(
        raise_exception=_raise_exception,
        strftime_now=lambda form: datetime.now().strftime(form),
        **{_JOIN: _join, _TICK: _tick, _SIZED: _sized_value, _COMPARED: _compared_value},
    )
    return environment


@final
class Template:
    """A chat template. Raises jinja2.TemplateError where it cannot be read."""

    def __init__(self, text: str) -> None:
        if len(text) > SOURCE:
            raise TemplateLimit(f"it is longer than {SOURCE:,} characters")
        self.text = text
        environment = _environment()
        try:
            tree = environment.parse(text)
            self.names = frozenset(node.name for node in tree.find_all(nodes.Name))
            self.constants = _compared(tree)
            tree = _Counting().visit(tree).set_environment(environment)
            for node in tree.find_all(nodes.Node):
                if node.lineno is None:
                    node.lineno = 1
            self._template = environment.from_string(tree)
        except (RecursionError, MemoryError, SyntaxError, ValueError) as exc:
            raise jinja2.TemplateError(f"{type(exc).__name__}: {exc}") from exc

    def render(self, variables: Mapping[str, Any], *, steps: int = STEPS) -> str:
        """The text that the template makes of `variables`.

        Raises whatever the template raises, and TemplateLimit beyond a bound.
        """
        account = _Account(steps, WRITTEN)
        values = {"documents": None, "datetime": _today(), **variables, _COUNT: account.count, _WRITE: account.write}
        token = _ACCOUNT.set(account)
        try:
            return "".join(self._template.generate(values))
        finally:
            _ACCOUNT.reset(token)
