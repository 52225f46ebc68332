"""The texts of a GGUF file: its vocabulary, which turns text into tokens and back, and its chat templates.

Imports llama_cpp, so only `_gguf_model` imports it. Adds the start token that a file asks for; no other.
"""

from __future__ import annotations

import codecs
import ctypes
from collections.abc import Callable, Container, Mapping, Sequence
from importlib import import_module
from typing import Any, final

from aimu.engines._grammars.vocabulary import Vocabulary
from aimu.engines._seams import Seams

llama_cpp: Any = import_module("llama_cpp")  # Any, since the ctypes module does not behave as its annotations say

_TEMPLATES = {"default": None, "tool_use": b"tool_use"}


@final
class _EndTokens(Container[int]):
    def __init__(self, vocabulary: Any) -> None:
        self._vocabulary = vocabulary

    def __contains__(self, token: object) -> bool:
        return bool(llama_cpp.llama_vocab_is_eog(self._vocabulary, token))


@final
class GGUFVocabulary:
    """The vocabulary and the chat templates of a loaded model, a pointer of llama.cpp."""

    def __init__(self, model: Any) -> None:
        self.pointer = llama_cpp.llama_model_get_vocab(model)
        self._pieces: dict[int, bytes] = {}
        self.ends: Container[int] = _EndTokens(self.pointer)
        named = {name: llama_cpp.llama_model_chat_template(model, key) for name, key in _TEMPLATES.items()}
        self.templates: Mapping[str, str] = {name: text.decode() for name, text in named.items() if text}
        start: int = llama_cpp.llama_vocab_bos(self.pointer)
        marks = {"bos_token": start, "eos_token": llama_cpp.llama_vocab_eos(self.pointer)}
        self.variables: Mapping[str, str] = {
            name: self.decode([token]) if token >= 0 else "" for name, token in marks.items()
        }
        self._start = start if llama_cpp.llama_vocab_get_add_bos(self.pointer) and start >= 0 else None
        self._seams = Seams(self._tokens, lambda token: self.decode([token]), self._is_added)

    def encode(self, text: str) -> list[int]:
        """As `LanguageModel.encode`; begins with one start token if the file asks for it, even if the text has none."""
        ids = self._tokens(text)
        return ids if self._start is None or ids[:1] == [self._start] else [self._start, *ids]

    def encode_rest(self, text: str, after: int) -> list[int] | None:
        """As `LanguageModel.encode_rest`."""
        return self._seams.encode_rest(text, after)

    def decode(self, ids: Sequence[int]) -> str:
        """As `LanguageModel.decode`."""
        return b"".join(map(self._piece, ids)).decode(errors="replace")

    def detokenizer(self, shown: Callable[[str], bool]) -> Callable[[int], str]:
        """As `LanguageModel.detokenizer`."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return lambda token: "" if self._silent(token, shown) else decoder.decode(self._piece(token))

    def vocabulary(self, shown: Callable[[str], bool]) -> Vocabulary:
        """As `LanguageModel.vocabulary`."""
        count: int = llama_cpp.llama_vocab_n_tokens(self.pointer)
        never = llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN | llama_cpp.LLAMA_TOKEN_ATTR_UNUSED
        tokens, special = [b""] * count, dict[int, str]()
        for token in range(count):
            attributes, raw = llama_cpp.llama_vocab_get_attr(self.pointer, token), self._piece(token)
            text = raw.decode(errors="replace") if self._is_added(token) else ""
            if attributes & llama_cpp.LLAMA_TOKEN_ATTR_CONTROL or (text and shown(text)):
                special[token] = text
            if not attributes & never:
                tokens[token] = raw
        ends = [token for token in range(count) if token in self.ends]
        return Vocabulary(tokens=tokens, special=special, ends=ends, encode=self._tokens)

    def _tokens(self, text: str) -> list[int]:
        raw = text.encode(errors="replace")
        tokens = (llama_cpp.llama_token * (len(raw) + 2))()
        count = llama_cpp.llama_tokenize(self.pointer, raw, len(raw), tokens, len(tokens), False, True)
        return list(tokens[:count])

    def _is_added(self, token: int) -> bool:
        kinds = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
        return bool(llama_cpp.llama_vocab_get_attr(self.pointer, token) & kinds)

    def _piece(self, token: int) -> bytes:
        piece = self._pieces.get(token)
        if piece is None:
            size = 32
            while (used := self._write_piece(token, buffer := ctypes.create_string_buffer(size))) < 0:
                size = -used
            piece = self._pieces[token] = buffer.raw[:used]
        return piece

    def _write_piece(self, token: int, buffer: Any) -> int:
        return int(llama_cpp.llama_token_to_piece(self.pointer, token, buffer, len(buffer), 0, True))

    def _silent(self, token: int, shown: Callable[[str], bool]) -> bool:
        """Return whether a token is left out of the reply's text."""
        return llama_cpp.llama_vocab_is_control(self.pointer, token) and not shown(
            self._piece(token).decode(errors="replace")
        )
