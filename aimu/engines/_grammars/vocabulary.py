"""The vocabulary of a model as bytes: what each token writes, and which tokens write nothing but stand for themselves.

Knows no library of models; each engine fills a `Vocabulary` from its own tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import final

from attrs import Factory, field, frozen


def _of_text(vocabulary: Vocabulary) -> dict[bytes, int]:
    """Return the tokens that write text, by what they write."""
    marks = vocabulary.special.keys() | set(vocabulary.ends)
    return {raw: token for token, raw in enumerate(vocabulary.tokens) if raw and token not in marks}


@final
@frozen(kw_only=True, eq=False)
class Vocabulary:
    """The tokens of a model.

    Attributes:
        tokens: The bytes that each token writes, b"" for one that is never written.
        special: The text of each token that is a mark, such as an end of turn; no text is written with it.
        ends: The tokens that end a reply, which are marks, too.
        encode: Turns a text into tokens as the model learned it; what it returns is checked.
    """

    tokens: Sequence[bytes]
    special: Mapping[int, str]
    ends: Collection[int]
    encode: Callable[[str], list[int]]
    _longest: int = field(init=False, default=Factory(lambda self: max(map(len, self.tokens)), takes_self=True))
    _ids: Mapping[bytes, int] = field(init=False, default=Factory(_of_text, takes_self=True))

    def marks_in(self, text: str) -> list[str | int]:
        """Cut a text into the tokens that are marks and the text between them."""
        parts: list[str | int] = [text]
        found = {written: token for token, written in self.special.items() if written and written in text}
        for written in sorted(found, key=len, reverse=True):
            parts = [new for part in parts for new in (_cut(part, written, found[written]))]
        return [part for part in parts if part != ""]

    def written_with(self, raw: bytes) -> list[int]:
        """Return tokens that write these bytes, as far as there are any; none of them is a mark."""
        try:
            ids = self.encode(raw.decode())
        except UnicodeDecodeError:
            ids = []
        marks = self.special.keys()
        if ids and not marks & set(ids) and b"".join(self.tokens[token] for token in ids) == raw:
            return ids
        return self._longest_first(raw)

    def _longest_first(self, raw: bytes) -> list[int]:
        ids, at = list[int](), 0
        while at < len(raw):
            sizes = range(min(self._longest, len(raw) - at), 0, -1)
            size = next((size for size in sizes if raw[at : at + size] in self._ids), 0)
            if not size:
                break
            ids.append(self._ids[raw[at : at + size]])
            at += size
        return ids


def _cut(part: str | int, written: str, token: int) -> list[str | int]:
    if isinstance(part, int) or written not in part:
        return [part]
    first, *others = part.split(written)
    return [first, *(new for other in others for new in (token, other))]
