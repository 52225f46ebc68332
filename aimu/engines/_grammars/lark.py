"""Rules of a grammar in Lark, as llguidance reads it, and the marks in it: tokens of their own, or text.

https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md (that of 1.9).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import final

from attrs import define, field

from aimu.engines._grammars.vocabulary import Vocabulary

BLANK = r"BLANK: /[ \t\r\n]{1,16}/"


@final
@define
class Lark:
    """Rules of a grammar, which grow as the parts of a reply are described."""

    vocabulary: Vocabulary
    rules: list[str] = field(factory=lambda: [BLANK])

    def rule(self, name: str, body: str) -> str:
        """Add a rule, or a terminal if its name is in capitals; return its name."""
        self.rules.append(f"{name}: {body}")
        return name

    def mark(self, text: str) -> str:
        """Return what writes a mark: its own tokens, or else its text. Blanks at its edges are free."""
        before, behind = text[:1].isspace(), text[-1:].isspace()
        written = self.exact(text.strip())
        return " ".join(filter(None, ("BLANK?" if before else "", written, "BLANK?" if behind else "")))

    def is_token(self, mark: str) -> bool:
        """Return whether a mark has a token of its own, or begins with one."""
        return any(isinstance(part, int) for part in self.vocabulary.marks_in(mark.strip())[:1])

    def exact(self, text: str) -> str:
        """Return what writes a text with marks in it, and its blanks as they are."""
        parts = self.vocabulary.marks_in(text)
        return " ".join(f"<[{part}]>" if isinstance(part, int) else quoted(part) for part in parts)

    def text(self, start: str) -> str:
        """Return the grammar whose text follows the rule `start`."""
        return "\n".join([f"start: {start}", *self.rules]) + "\n"


def quoted(text: str) -> str:
    """Return a text as a literal."""
    return json.dumps(text, ensure_ascii=False)


def either(parts: Iterable[str]) -> str:
    return f"({' | '.join(parts)})"


def any_of(marks: Iterable[str]) -> str:
    """Return a regular expression, within slashes, for one of these texts."""
    return f"({'|'.join(sorted(re.escape(mark.strip()).replace('/', chr(92) + '/') for mark in marks))})"
