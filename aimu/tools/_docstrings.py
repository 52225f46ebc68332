"""Reads the descriptions of a function and its parameters off a docstring in Google, NumPy or Sphinx style.

Lenient: text that it does not recognise stays in the description or is left out; nothing here raises.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

_ARGUMENTS = {"args", "arguments", "parameters", "params", "keyword_args", "other_parameters", "attributes"}
_RESULTS = {"returns": "Returns", "return": "Returns", "yields": "Yields", "yield": "Yields"}
_OTHERS = "raises raise example examples note notes warning warnings see_also references"
_HEADINGS = {*_ARGUMENTS, *_RESULTS, *_OTHERS.split()}
_GOOGLE = re.compile(r"(\w[\w ]*):\s*$")
_UNDERLINE = re.compile(r"-{3,}\s*$")
_SPHINX = re.compile(r":(\w+)(?:\s+([^:]*))?:\s*(.*)$")  # :param type name: text
_ENTRY = re.compile(r"\*{0,2}(\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?:\([^)]*\))?\s*:\s*(.*)$")  # name (type): text


def documented(docstring: str | None) -> tuple[str, dict[str, str]]:
    """Return the description, with what is returned as its last paragraph, and those of the parameters by name."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    description: list[str] = []
    notes: dict[str, list[str]] = {}
    results: dict[str, list[str]] = {}  # lines by "Returns" or "Yields"
    section: str | None = None  # the current heading; "" after a Sphinx field
    entry: list[str] = []  # collects continuation lines
    margin = 0  # the indentation of the entries of the section
    for index, line in enumerate(lines):
        text, indent = line.strip(), len(line) - len(line.lstrip())
        heading = _heading(lines, index)
        if heading:
            section, entry, margin = heading, [], -1
        elif (field := _SPHINX.match(text)) and indent == 0:
            section, entry = "", []
            if field[1] in ("param", "parameter", "arg", "argument", "key", "keyword") and field[2]:
                notes[field[2].split()[-1].lstrip("*")] = entry = [field[3]]
            elif field[1] in _RESULTS:
                results[_RESULTS[field[1]]] = entry = [field[3]]
        elif section is None:
            description.append(line)
        elif section in _ARGUMENTS and text and not _UNDERLINE.match(text):
            margin = indent if margin < 0 else margin
            if indent <= margin and (found := _ENTRY.match(text)):
                # NumPy puts the type after the colon, at the margin of the text, and indents the description.
                entry = [] if indent == 0 else [found[2]]
                for name in re.findall(r"\w+", found[1]):
                    notes[name] = entry
            elif indent <= margin and re.fullmatch(r"\w+", text):
                notes[text] = entry = []
            else:
                entry.append(text)
        elif section in _RESULTS and not _UNDERLINE.match(text):
            results.setdefault(_RESULTS[section], []).append(line)
        elif section == "":
            entry.append(text)
    joined = {name: " ".join(" ".join(parts).split()) for name, parts in notes.items()}
    about = "\n\n".join(["\n".join(description).strip(), *_paragraphs(results)]).strip()
    return about, {name: text for name, text in joined.items() if text}


def _paragraphs(results: dict[str, list[str]]) -> Iterator[str]:
    for heading, lines in results.items():
        # NumPy puts the type at the margin, and indents the description.
        text = " ".join(" ".join([line for line in lines if line[:1].isspace()] or lines).split())
        if text:
            yield f"{heading}: {text}"


def _heading(lines: list[str], index: int) -> str | None:
    line = lines[index]
    if line[:1].isspace():
        return None
    google = _GOOGLE.match(line)
    underlined = index + 1 < len(lines) and _UNDERLINE.match(lines[index + 1]) is not None
    name = (google[1] if google else line.strip() if underlined else "").lower().replace(" ", "_")
    return name if name in _HEADINGS else None
