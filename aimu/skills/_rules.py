"""The rules of the format: from the fields of a frontmatter to the facts of a skill.

Follows https://agentskills.io/specification and, in what it tolerates, the format's guide for tools that read skills
(https://agentskills.io/client-implementation/integrating-skills, "Lenient validation", read 2026-11-25: "Warn on issues
but still load the skill when possible"). If the name is missing, the folder's name is used: the specification
requires them to be the same. If the description is missing, the first paragraph of the instructions is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from unicodedata import normalize

from aimu.errors import SkillError
from aimu.skills._fences import Note
from aimu.skills._frontmatter import Fields, Value

KEYS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
NAME_CHARACTERS = 64
DESCRIPTION_CHARACTERS = 1024
COMPATIBILITY_CHARACTERS = 500
MAX_NAME_CHARACTERS = 200  # the folder's name replaces a longer one

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TOOL = re.compile(r"(?:\([^)]*\)|[^\s,])+")  # `Bash(git add:*)` is one tool
_BEGINNING = 8_192  # only so many characters of a text are searched
_ASIDE = re.compile(r"<!--.*?-->|^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)  # comments and code
_MARKUP = ("#", "```", "~~~", "---", "***", "===", "|", "![")


def facts(fields: Fields, body: str, folder: str, note: Note) -> dict[str, Any]:
    """Return the attributes of a skill.

    Args:
        fields: What the frontmatter says.
        body: The instructions.
        folder: The name of the skill's folder.
        note: Called for each deviation from the format.

    Raises:
        SkillError: There is no usable name, or neither a description nor instructions.
    """
    fields = _with_known_keys(fields, note)
    extra = {key: value for key, value in fields.items() if key not in KEYS}
    if extra:
        keys = shortened(", ".join(map(repr, sorted(extra))), 300)
        note(f"has the unknown key{'s' * (len(extra) > 1)} {keys}; known: {', '.join(KEYS)}", "move it under metadata")
    name = _name(_text(fields, "name", note, NAME_CHARACTERS), folder, note)
    description = _text(fields, "description", note, DESCRIPTION_CHARACTERS)
    if description is None:
        description = first_paragraph(body)
        if "description" not in fields:
            note("has no 'description'", "say what the skill does and when to use it")
        if not description:
            raise SkillError("has neither a description nor instructions", remedy="write both")
    elif not body:
        note("has no instructions below its frontmatter", "write what to do", harmless=True)
    return {
        "name": name,
        "description": description,
        "body": body,
        "license": _text(fields, "license", note),
        "compatibility": _text(fields, "compatibility", note, COMPATIBILITY_CHARACTERS),
        "metadata": _metadata(fields, extra, note),
        "allowed_tools": _tools(fields, note),
        "extra": extra,
    }


def first_paragraph(body: str) -> str:
    """Return the first prose of a Markdown text on one line, else its first heading, else all of it."""
    heading = ""
    for block in re.split(r"\n\s*\n", _ASIDE.sub("", body[:_BEGINNING])):
        lines = [line.strip() for line in block.strip().split("\n")]
        prose = [line for line in lines if line and not line.startswith(_MARKUP)]
        if prose:
            return shortened(" ".join(" ".join(prose).split()), DESCRIPTION_CHARACTERS)
        heading = heading or next((line.strip("# ") for line in lines if line.startswith("#")), "")
    return shortened(heading or " ".join(body[:_BEGINNING].split()), DESCRIPTION_CHARACTERS)


def shortened(text: str, limit: int) -> str:
    """Cut a text at a word, and add an ellipsis, if it has more characters than `limit`."""
    if len(text) <= limit:
        return text
    cut = text[: max(limit - 1, 0)]
    head, space, _ = cut.rpartition(" ")
    return (head if space and len(head) > limit // 2 else cut).rstrip(" ,;:.") + "…"


def _with_known_keys(fields: Fields, note: Note) -> Fields:
    """Rename keys such as `Name` and `allowed_tools` to those of the format."""
    known: Fields = {}
    for key, value in fields.items():
        right = key.strip().lower().replace("_", "-")
        if key != right and right in KEYS and right not in fields:
            note(f"has the unknown key {key!r}", f"write {right!r}")
            key = right
        known[key] = value
    return known


def _name(given: str | None, folder: str, note: Note) -> str:
    name = " ".join(normalize("NFKC", given or "").split())
    usable = len(name) <= MAX_NAME_CHARACTERS and name.isprintable() and any(map(str.isalnum, name))
    if not usable:
        name = " ".join(normalize("NFKC", folder).split())
        if not (name.isprintable() and any(map(str.isalnum, name))):
            raise SkillError("has no usable name, nor has its folder", remedy="write a name")
        what = "no 'name'" if given is None else f"the name {shortened(given, 80)!r}"
        note(f"has {what}; the folder's is used", f"write 'name: {name}'")
    elif not _NAME.fullmatch(name):
        rule = "lowercase letters and digits, with single hyphens between"
        note(f"has the name {name!r}; a name is {rule}", "rename the skill and its folder")
    if name != normalize("NFKC", folder):
        note(f"has the name {name!r}, but its folder is {folder!r}; they must be the same", "rename one of them")
    return name


def _text(fields: Mapping[str, Value], key: str, note: Note, limit: int | None = None) -> str | None:
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        note(f"has a {key!r} that is not text", "write it as one text, in quotes if it has a colon")
        value = _flat(value)
    value = value.strip()
    if not value:
        note(f"has an empty {key!r}", "write something there, or remove the key")
        return None
    if limit is not None and len(value) > limit:
        note(f"has a {key!r} of {len(value)} characters; at most {limit} are allowed", "shorten it")
    return value


def _flat(value: Value) -> str:
    """Turn a list or a mapping into the text that the author probably meant."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(map(_flat, value))
    return "; ".join(f"{key}: {_flat(item)}" for key, item in value.items())


def _metadata(fields: Fields, extra: Fields, note: Note) -> Mapping[str, Value]:
    value = fields.get("metadata", {})
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return value
    note("has a 'metadata' that does not map text to text", "write one 'key: value' a line below it")
    if isinstance(value, dict):
        return value
    if value:
        extra["metadata"] = value
    return {}


def _tools(fields: Fields, note: Note) -> tuple[str, ...]:
    value = fields.get("allowed-tools", [])
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        if "allowed-tools" in fields:
            note("has an 'allowed-tools' that is not text", "write the names on one line, with spaces between")
        return tuple(str(item).strip() for item in value if str(item).strip())
    text = (_text(fields, "allowed-tools", note, _BEGINNING) or "")[:_BEGINNING]
    tools = tuple(_TOOL.findall(text))
    if "," in _TOOL.sub("", text):
        note("has an 'allowed-tools' with commas", "separate the names by spaces", harmless=True)
    return tools
