"""Reads the frontmatter of a SKILL.md as text, lists and dicts.

Every scalar is kept as the text in the file (`version: 1.0` is "1.0", as in the format's reference implementation):
no tag, anchor or alias is ever resolved. What is not valid YAML is read line by line (`aimu.skills._loose`).
The format's guide for tools advises such a fallback (https://agentskills.io/client-implementation/integrating-skills,
"Handling malformed YAML", read 2026-11-25). Refuses what has been used in attacks: aliases of anchors, YAML's own tags,
and deep nesting. Does not know the keys of the format.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from aimu.errors import MissingExtraError, SkillError
from aimu.skills import _loose as loose
from aimu.skills._fences import NO_END, Note, split_lines

MAX_CHARACTERS = 16_384  # of YAML; its parser is slow
MAX_NESTING = 4  # of the strict reading
MAX_DEPTH = 32

Value: TypeAlias = "str | list[Value] | dict[str, Value]"
Fields: TypeAlias = "dict[str, Value]"


class _NotPlain(Exception):
    """The YAML has anchors, aliases or tags; it is read as plain text instead."""


def split(text: str, note: Note) -> tuple[Fields, str]:
    """Return the fields of the frontmatter (empty if there is none) and the body.

    Args:
        text: The content of the file.
        note: Called for each deviation from the format.

    Raises:
        SkillError: The frontmatter is unsafe to read.
    """
    source, body = split_lines(text, note)
    if source is None:
        return {}, "\n".join(body).strip()
    try:
        import yaml
    except ImportError as exc:
        raise MissingExtraError("pyyaml", "skills") from exc
    fields, rest = _fields(yaml, source, note)
    return fields, "\n".join([*rest, *body]).strip()


def _fields(yaml: Any, lines: list[str], note: Note) -> tuple[Fields, list[str]]:
    """Return the fields, and the lines that turn out to belong to the body."""
    source = "\n".join(lines)
    if len(source) > MAX_CHARACTERS:
        problem = f"has a frontmatter of {len(source)} characters; at most {MAX_CHARACTERS} are read as YAML"
        note(problem, "move the text below the frontmatter")
        return {key: loose.text_of(chunk) for key, chunk in loose.chunks(lines)}, []
    try:
        value = _parsed(yaml, source, note)
    except yaml.YAMLError as exc:
        problem, line = _told(exc)
        remedy = "put quotes around the value" + (f" in line {line + 2}" if line is not None else "")
        note(f"has a frontmatter that is not YAML: {problem}", remedy)
    except _NotPlain:
        pass  # noted
    else:
        if isinstance(value, dict):
            return value, []
        note("must have a frontmatter of the form 'key: value'", "write at least a name and a description")
    end = loose.extent(lines, closed=True)
    if end < len(lines):
        note(NO_END, "write a line '---' between the frontmatter and the instructions")
        return _loose(yaml, lines[:end], note), [*lines[end:], "---"]
    return _loose(yaml, lines, note), []


def _loose(yaml: Any, lines: list[str], note: Note, depth: int = 0) -> Fields:
    """Read key by key, so that one invalid value does not affect the others."""
    fields: Fields = {}
    for key, chunk in loose.chunks(lines):
        _add(fields, key, _loose_value(yaml, key, chunk, note, depth), note)
    return fields


def _loose_value(yaml: Any, key: str, chunk: list[str], note: Note, depth: int) -> Value:
    source = "\n".join(chunk)
    for text in dict.fromkeys((source, loose.without_tabs(source))):
        try:
            value = _parsed(yaml, text, note)
        except (yaml.YAMLError, _NotPlain):
            continue
        if isinstance(value, dict) and list(value) == [key]:
            return value[key]
    below = loose.nested(chunk) if depth < MAX_DEPTH else None
    return loose.text_of(chunk) if below is None else _loose(yaml, below, note, depth + 1)


def _parsed(yaml: Any, source: str, note: Note) -> Value:
    """Parse the source; raises yaml.YAMLError or _NotPlain if it must be read as plain text."""
    _check_events(yaml.parse(source, Loader=yaml.SafeLoader), note)
    return _value(yaml.compose(source, Loader=yaml.SafeLoader), note)


def _check_events(events: Iterable[Any], note: Note) -> None:
    nesting = deepest = 0
    kinds: set[str] = set()
    for event in events:
        name, anchor, tag = type(event).__name__, getattr(event, "anchor", None), getattr(event, "tag", None)
        if anchor is not None:
            note(f"uses a YAML anchor or alias ({anchor!r}) in its frontmatter", "put quotes around the value")
            kinds.add("alias" if name == "AliasEvent" else "anchor")
        if tag is not None:
            note(f"uses a YAML tag ({tag!r}) in its frontmatter", "put quotes around the value")
            kinds.add("own tag" if tag.startswith("tag:") else "tag")
        nesting += name.endswith("StartEvent") - name.endswith("EndEvent")
        deepest = max(deepest, nesting - 2)  # stream and document nest too
        if deepest > MAX_DEPTH:
            raise SkillError(f"nests its frontmatter deeper than {MAX_DEPTH} levels", remedy="write it flatter")
    if deepest > MAX_NESTING:
        note(f"nests its frontmatter deeper than {MAX_NESTING} levels", "write it flatter")
    if {"alias", "anchor"} <= kinds or "own tag" in kinds:
        what = "aliases of anchors" if "alias" in kinds else "YAML's own tags"
        raise SkillError(f"uses {what} in its frontmatter, which are unsafe to read", remedy="write the values out")
    if kinds:
        raise _NotPlain


def _value(node: Any, note: Note) -> Value:
    """Convert a composed YAML node; its `id` is its kind."""
    if node is None:
        return ""
    if node.id == "scalar":
        return str(node.value)
    if node.id == "sequence":
        return [_value(item, note) for item in node.value]
    fields: Fields = {}
    for key_node, value_node in node.value:
        key = _value(key_node, note)
        if not isinstance(key, str):
            note("has a key in its frontmatter that is not text", "write the key as a word")
            continue
        _add(fields, key, _value(value_node, note), note)
    return fields


def _add(fields: Fields, key: str, value: Value, note: Note) -> None:
    if key in fields:
        note(f"has the key {key!r} twice in its frontmatter", "remove one; the last one with a value counts")
    fields[key] = value or fields.get(key, value)


def _told(exc: Any) -> tuple[str, int | None]:
    """Return the message of a YAML error on one line, and its line number."""
    mark = getattr(exc, "problem_mark", None)
    return " ".join(str(getattr(exc, "problem", None) or exc).split()), None if mark is None else mark.line
