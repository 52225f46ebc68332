"""The YAML between the two `---` lines that open a SKILL.md, as text, lists and dicts.

Every scalar is the text that stands there (`version: 1.0` is "1.0", as in the format's reference implementation), so no
tag is ever resolved. Refuses anchors, tags, keys given twice, deep nesting and long frontmatter: none is of use in the
format, and each has been an attack. Knows none of the format's keys.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from aimu.errors import MissingExtraError, SkillError

MAX_CHARACTERS = 16_384
MAX_NESTING = 4

Value: TypeAlias = "str | list[Value] | dict[str, Value]"


def split(text: str) -> tuple[dict[str, Value], str]:
    """The fields of the frontmatter, and the body below it; SkillError names the rule that is broken."""
    first, *lines = text.replace("\r\n", "\n").split("\n")
    if first.rstrip() != "---":
        raise SkillError("must begin with a line '---', then YAML, then another line '---'")
    end = next((number for number, line in enumerate(lines) if line.rstrip() == "---"), None)
    if end is None:
        raise SkillError("has no second line '---' to end the frontmatter")
    return _fields("\n".join(lines[:end])), "\n".join(lines[end + 1 :]).strip()


def _fields(source: str) -> dict[str, Value]:
    try:
        import yaml
    except ImportError as exc:
        raise MissingExtraError("pyyaml", "skills") from exc
    if len(source) > MAX_CHARACTERS:
        raise SkillError(f"has a frontmatter of {len(source)} characters; at most {MAX_CHARACTERS} are read")
    try:
        _refuse_what_is_not_plain(yaml.parse(source, Loader=yaml.SafeLoader))
        value = _value(yaml.compose(source, Loader=yaml.SafeLoader))
    except yaml.YAMLError as exc:
        raise SkillError(f"has a frontmatter that is no YAML: {exc}") from exc
    if not isinstance(value, dict):
        raise SkillError("must have a frontmatter of the form 'key: value'")
    return value


def _refuse_what_is_not_plain(events: Any) -> None:
    nesting = 0
    for event in events:
        if getattr(event, "anchor", None) is not None:
            raise SkillError(f"uses a YAML anchor or alias ({event.anchor!r}) in its frontmatter")
        if getattr(event, "tag", None) is not None:
            raise SkillError(f"uses a YAML tag ({event.tag!r}) in its frontmatter")
        nesting += type(event).__name__.endswith("StartEvent") - type(event).__name__.endswith("EndEvent")
        if nesting > MAX_NESTING + 2:  # stream and document nest too
            raise SkillError(f"nests its frontmatter deeper than {MAX_NESTING}")


def _value(node: Any) -> Value:
    """A composed YAML node; its `id` says what it is."""
    if node is None:
        return ""
    if node.id == "scalar":
        return str(node.value)
    if node.id == "sequence":
        return [_value(item) for item in node.value]
    fields: dict[str, Value] = {}
    for key_node, value_node in node.value:
        key = _value(key_node)
        if not isinstance(key, str):
            raise SkillError("has a key in its frontmatter that is no text")
        if key in fields:
            raise SkillError(f"has the key {key!r} twice in its frontmatter")
        fields[key] = _value(value_node)
    return fields
