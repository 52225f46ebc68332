"""The grammar of tool calls in a model's own format: marks, name, and arguments that follow the tool's JSON Schema.

A format is described by its `CallMarks`; how a template lists calls is seen in one that it renders. What a grammar
describes is checked with a call in it, which the reader of the format has to read. A format whose strings have quotes
of its own has no grammar here; in one whose calls are Python, values are written as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias, final

from attrs import frozen

from aimu.engines._formats.chat_format import UNKNOWN, ChatFormat
from aimu.engines._formats.marks import ANY, CallMarks, Syntax, is_strong
from aimu.engines._formats.values import ARGUMENT_KEYS
from aimu.engines._formats.writing import write_calls
from aimu.engines._grammars.lark import Lark, any_of, either, quoted
from aimu.engines._grammars.rendering import ARGUMENTS, KEY, NAME, TOOL, VALUE, rendered, said
from aimu.engines._grammars.texts import Texts

MOST = 16
"""Calls in one reply; a model that repeats itself ends here."""
_TextsOf: TypeAlias = Callable[[Any, Mapping[str, Any]], Texts | None]
_ID = "/[A-Za-z0-9_-]{1,16}/"


@final
@frozen(kw_only=True)
class Shape:
    """How a template writes calls with the marks `calls`.

    Attributes:
        calls: The marks.
        listed: Whether JSON calls are items of an array.
        repeated: Whether the outermost marks stand around each call, not around all.
        single: Whether a message has one call only.
        key: The key of the arguments in JSON calls.
        numbered: Whether a number follows the name.
        fenced: Whether a fence closes the arguments.
    """

    calls: CallMarks
    listed: bool = False
    repeated: bool = True
    single: bool = False
    key: str = "arguments"
    numbered: bool = False
    fenced: bool = False

    @property
    def marked(self) -> bool:
        """Whether a call begins with a mark that no answer begins with."""
        return any(map(is_strong, self.calls.opening))


@lru_cache(maxsize=64)
def shape_of(form: ChatFormat) -> Shape:
    """Return how the calls of a format are written; raise ValueError if no grammar can describe them."""
    for marks in _candidates(form):
        shape = _shaped(form, marks)
        if _is_read(form, shape):
            return shape
    raise ValueError(f"no grammar describes the tool calls of the format {form.name!r}")


def calls(
    lark: Lark,
    shape: Shape,
    tools: Sequence[Mapping[str, Any]],
    *,
    several: bool,
    schema_of: Callable[[Mapping[str, Any]], Any],
    texts_of: _TextsOf,
) -> str:
    """Add rules for calls of the tools; return what stands for one or more of them.

    Args:
        lark: Where rules are added.
        shape: How calls are written.
        tools: The tools that may be called, as in requests.
        several: Whether there may be several calls.
        schema_of: Turns the JSON Schema of arguments into one that llguidance accepts.
        texts_of: Returns the texts that such a schema allows, by it and its definitions.
    """
    marks, bodies = shape.calls, list[str]()
    for index, tool in enumerate(tools):
        function = tool["function"]
        schema = schema_of({"properties": {}, "additionalProperties": False, **(function.get("parameters") or {})})
        bodies.append(lark.rule(f"call{index}", _body(lark, shape, function["name"], schema, index, texts_of)))
    lark.rule("one_call", either(bodies))
    opening = [lark.mark(mark) if mark != ANY else _ID for mark in marks.opening]
    if marks.syntax in (Syntax.NAMED, Syntax.TAGGED) and opening:
        # A name begins right behind its mark, which may be the beginning of an attribute.
        lark.rule("named_call", f"{opening.pop()} one_call")
        one = "named_call"
    else:
        one = "one_call"
    closing = [lark.mark(mark) for mark in marks.closing]
    more = "" if not several or shape.single else f"{{0,{MOST - 1}}}"
    if shape.listed or marks.syntax is Syntax.PYTHON:
        body = f'"[" BLANK? {one} {f"""(BLANK? "," BLANK? {one}){more}""" if more else ""} BLANK? "]"'
        return _spaced([*opening, body, *closing])
    if shape.repeated or not (opening and closing):
        lark.rule("marked_call", _spaced([*opening, one, *closing]))
        return f"marked_call (BLANK? marked_call){more}" if more else "marked_call"
    lark.rule("marked_call", _spaced([*opening[1:], one, *closing[:-1]]))
    inner = f"marked_call (BLANK? marked_call){more}" if more else "marked_call"
    return _spaced([opening[0], inner, closing[-1]])


def _body(lark: Lark, shape: Shape, name: str, schema: Any, index: int, texts_of: _TextsOf) -> str:
    marks = shape.calls
    if marks.syntax is Syntax.JSON:
        key, arguments = quoted(json.dumps(marks.name_key or "name")), quoted(json.dumps(shape.key))
        value = lark.rule(f"arguments{index}", f"%json {json.dumps(schema)}")
        written = quoted(json.dumps(name, ensure_ascii=False))
        return f'"{{" BLANK? {key} ":" BLANK? {written} "," BLANK? {arguments} ":" BLANK? {value} BLANK? "}}"'
    if marks.syntax is Syntax.PYTHON:
        return f'{quoted(name)} "(" BLANK? {_keywords(lark, schema, index)} BLANK? ")"'
    head = [quoted(marks.prefix + name)]
    if shape.numbered:
        head.append("/:[0-9]{1,3}/")
    if marks.ident:
        head += [lark.mark(marks.ident), _ID]
    if marks.naming.strip():
        head.append(lark.mark(marks.naming))
    elif marks.naming:
        head.append(quoted(marks.naming))
    if marks.syntax is Syntax.NAMED:
        value = lark.rule(f"arguments{index}", f"%json {json.dumps(schema)}")
        return " ".join([*head, "BLANK?", value, 'BLANK? "```"' if shape.fenced else ""])
    return " BLANK? ".join([" ".join(head), *_tagged(lark, marks, schema, index, texts_of)])


def _keywords(lark: Lark, schema: Any, index: int) -> str:
    """Return arguments as `name=value`, those that are needed first."""
    needed, optional, comma = list[str](), list[str](), ' BLANK? "," BLANK? '
    for number, (name, node) in enumerate(_properties(schema).items()):
        value = _value(lark, node, schema, f"{index}_{number}")
        (needed if name in schema.get("required", ()) else optional).append(f'{quoted(name)} "=" {value}')
    if needed:
        return comma.join(needed) + "".join(f"({comma}{one})?" for one in optional)
    starts = [one + "".join(f"({comma}{other})?" for other in optional[at + 1 :]) for at, one in enumerate(optional)]
    return f"{either(starts)}?" if starts else ""


def _properties(schema: Any) -> Mapping[str, Any]:
    if not isinstance(schema, Mapping) or schema.get("additionalProperties", False) not in (False, None):
        raise ValueError("a tool takes arguments of any name")
    return {name: node for name, node in schema.get("properties", {}).items() if node is not False}


def _value(lark: Lark, node: Any, schema: Mapping[str, Any], place: str) -> str:
    """Add a rule for a value as JSON, by a part of a schema."""
    defs = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    return lark.rule(f"value{place}", f"%json {json.dumps({**(node if isinstance(node, Mapping) else {}), **defs})}")


def _tagged(lark: Lark, marks: CallMarks, schema: Any, index: int, texts_of: _TextsOf) -> list[str]:
    """Return the arguments between marks, each in its place."""
    written: list[str] = []
    for number, (name, node) in enumerate(_properties(schema).items()):
        ending = marks.value[1].replace(ANY, name)
        before = [lark.mark(marks.key[0]), quoted(name), lark.mark(marks.key[1] + marks.value[0].rstrip("\n"))]
        line = r'"\n"?' if "\n" in marks.value[0] + ending else ""
        place, texts = f"{index}_{number}", texts_of(node, schema.get("$defs", {}))
        if texts is not None and (texts.any or texts.free):
            edge = r"\n?" if line else ""
            allowed = [] if texts.any else [[f"{edge}({each}){edge}" for each in row] for row in texts.patterns]
            line = "" if allowed else line
            ended = _text(lark, marks, ending, allowed, place)
        else:
            value = _value(lark, node, schema, place) if texts is None else _listed(lark, texts, schema, place)
            ended = f"{value} {line} {lark.mark(ending.strip())}"
        argument = " ".join([*before, line, ended])
        written.append(f"({argument})" if name in schema.get("required", ()) else f"({argument})?")
    return written


def _listed(lark: Lark, texts: Texts, schema: Any, place: str) -> str:
    """Return what writes one of some values, texts without quotes, or what is always JSON."""
    values = list(map(quoted, texts.values))
    if texts.json:
        values.append(_value(lark, {"anyOf": texts.json}, schema, place))
    return either(values)


def _text(lark: Lark, marks: CallMarks, ending: str, allowed: Sequence[Sequence[str]], place: str) -> str:
    """Return what writes a text as it is, with the mark that ends it: without all marks that would end it, too.

    Args:
        lark: Where rules are added.
        marks: The marks of calls.
        ending: The mark that ends the text.
        allowed: Regular expressions: the text follows all in one of the lists. Without a list, it may be any.
        place: The end of the names of rules.
    """
    ended = ending.strip()
    others = sorted(
        {mark.strip() for mark in (marks.key[0], *marks.closing, *marks.opening) if is_strong(mark)} - {ended}
    )
    if lark.is_token(ended):
        name = lark.rule(f"TEXT{place}", f"/(?s:.*)/ & ~/(?s:.*){any_of([ended, *others])}(?s:.*)/{_follows(allowed)}")
        return f"{name} {lark.mark(ended)}"
    end = any_of([ended])
    kept = _follows([[f"({pattern}){end}" for pattern in row] for row in allowed])
    if allowed:  # or else a text that is too short would go on behind the mark
        kept += f" & ~/(?s:.*){end}(?s:.+)/"
    if others:  # before the mark that ends the text, which can have one of them in it
        kept += f" & ~/(?s:.*){any_of(others)}(?s:.*){end}/"
    lark.rule(f"text{place}[lazy]", f"/(?s:.*){end}/{kept}")
    return f"text{place}"


def _follows(allowed: Sequence[Sequence[str]]) -> str:
    """Return the end of a terminal that follows all regular expressions in one of the lists, if there is a list."""
    rows = [" & ".join(f"/{pattern}/" for pattern in row) for row in allowed]
    return f" & ({' | '.join(f'({row})' for row in rows)})" if rows else ""


def _spaced(parts: Iterable[str]) -> str:
    return " BLANK? ".join(part for part in parts if part)


def _candidates(form: ChatFormat) -> Iterable[CallMarks]:
    """Yield the marks that the model may know: those that the template shows, else those of the format's name."""
    text = rendered(form, said(calls=1))
    known = [marks for row in form.rows if row.name not in ("variants", "anything") for marks in row.calls]
    shown = [marks for marks in known if _begins(_sample(_shaped(form, marks)), text)]
    if shown:
        yield shown[0]
    elif form.name == UNKNOWN:
        yield form.plan.marks
    elif text.lstrip().startswith('{"') and any(row.bare for row in form.rows):
        yield CallMarks(syntax=Syntax.JSON, opening=())
    yield from known[:1]


def _begins(sample: str, text: str) -> bool:
    """Return whether a rendered text has a call that begins as the sample does, but for blanks, quotes and fences."""
    begin, whole = (re.sub(r"[\s'\"`]+", "", part) for part in (sample.partition(VALUE)[0], text))
    return begin in whole


def _shaped(form: ChatFormat, marks: CallMarks) -> Shape:
    """Return the shape of calls with these marks, by two that the template renders."""
    text = rendered(form, said(calls=2))
    one = text.partition(VALUE)[0]
    outer = marks.opening[0].strip() if marks.opening else ""
    before = text.partition(NAME)[0].rstrip().removesuffix('"').rstrip()
    key = next((key for key in ARGUMENT_KEYS if f'"{key}"' in one.rpartition(NAME)[2]), "arguments")
    return Shape(
        calls=marks,
        listed=marks.syntax is Syntax.JSON and _in_array(before, marks),
        repeated=not outer or not text or text.count(outer) > 1,
        single=form.plan.calls == "single" or not outer,
        key=marks.arguments_key or key,
        numbered=re.search(rf"{NAME}:\d", text) is not None,
        fenced="```" in marks.naming,
    )


def _in_array(before: str, marks: CallMarks) -> bool:
    """Return whether an array begins between the marks and the first name."""
    last = next((mark.strip() for mark in reversed(marks.opening) if mark != ANY), "")
    inside = before[before.rfind(last) + len(last) :] if last and last in before else ""
    return inside.lstrip().startswith("[")


def _is_read(form: ChatFormat, shape: Shape) -> bool:
    """Return whether the reader of the format reads a call that is written in this shape."""
    if shape.calls.quote:
        return False
    found = form.read(_sample(shape), tools=[TOOL])
    wanted = [(NAME, {KEY: VALUE})]
    return not found.text and [(call.name, _loaded(call.arguments)) for call in found.calls] == wanted


def check_names(form: ChatFormat, shape: Shape, tools: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError if calls are not JSON and the reader of the format cannot read an argument's name in one."""
    if shape.calls.syntax not in (Syntax.TAGGED, Syntax.PYTHON):
        return
    for tool in tools:
        name, parameters = tool["function"]["name"], tool["function"].get("parameters") or {}
        given = dict.fromkeys(parameters.get("properties", ()), VALUE)
        texts = {"type": "object", "properties": {key: {"type": "string"} for key in given}}
        stand_in = {"type": "function", "function": {"name": name, "parameters": texts}}
        found = form.read(write_calls(shape.calls, [(name, json.dumps(given))]), tools=[stand_in])
        if [(call.name, _loaded(call.arguments)) for call in found.calls] != [(name, given)]:
            names = ", ".join(map(repr, given))
            raise ValueError(f"calls of the format {form.name!r} cannot have arguments with the names {names}")


def _sample(shape: Shape) -> str:
    marks = shape.calls
    if shape.numbered or shape.fenced or shape.listed or shape.key != "arguments":
        return _written(shape)
    return write_calls(marks, [(NAME, ARGUMENTS)])


def _written(shape: Shape) -> str:
    """Return a call in a shape with what `write_calls` does not write."""
    marks, arguments = shape.calls, ARGUMENTS
    before = "".join("id0000001" if mark == ANY else mark for mark in marks.opening)
    after = "".join(marks.closing)
    if marks.syntax is Syntax.JSON:
        body = json.dumps({marks.name_key or "name": NAME, shape.key: {KEY: VALUE}})
        return before + (f"[{body}]" if shape.listed else body) + after
    name = f"{marks.prefix}{NAME}{':0' if shape.numbered else ''}"
    return f"{before}{name}{marks.naming}{arguments}{'```' if shape.fenced else ''}{after}"


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
