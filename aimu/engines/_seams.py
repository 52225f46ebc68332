"""Decides where a text can be cut so that its parts encode to the tokens of the whole: behind or before an added token.

A tokenizer treats an added token (a mark of the template, such as an end of turn) apart from the text around it. At any
other place the two parts may encode to other tokens: sentencepiece puts a blank before the second, and BPE misses
merges. Added tokens are tried out, since some take the blanks beside them or change what stands there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import final

_PROBES = "a", " a", "\na", "  a", "1"
_START = 64
"""Characters that surely contain the first token of a text, if that is an added one."""


@final
class Seams:
    """Encodes the rest of a text whose start is encoded already.

    Args:
        encode: Turns text into tokens, without adding any.
        spelling: Turns a token into its text.
        is_added: Whether the tokenizer treats a token apart from the text around it.
    """

    def __init__(
        self, encode: Callable[[str], list[int]], spelling: Callable[[int], str], is_added: Callable[[int], bool]
    ) -> None:
        self._encode, self._spelling, self._is_added = encode, spelling, is_added
        self._parts = cache(self._tried)  # per model; it dies with the model

    def encode_rest(self, text: str, after: int) -> list[int] | None:
        """Return the tokens of `text` behind the token `after`; None if only the whole text tells them."""
        if not text:
            return []
        if self._parts(after):
            return self._encode(text)
        first = self._encode(text[:_START])[:1]
        return self._encode(text) if first and self._parts(first[0]) else None

    def _tried(self, token: int) -> bool:
        """Return whether a text can be cut on either side of a token."""
        if not self._is_added(token):
            return False
        encode, spelled = self._encode, self._spelling(token)
        return all(
            encode(before + spelled + behind) == [*encode(before), token, *encode(behind)]
            for before, behind in [("", probe) for probe in _PROBES] + [(f"a{probe[:-1]}", probe) for probe in _PROBES]
        )
