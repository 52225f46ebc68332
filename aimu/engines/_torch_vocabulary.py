"""What each token of a tokenizer of transformers writes, as bytes; raises ValueError for one that this cannot tell.

Two kinds of tokenizers write each token the same wherever it stands: byte-level BPE, and sentencepiece's with its mark
for blanks. What is found is compared with what the tokenizer decodes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from aimu.engines._grammars.vocabulary import Vocabulary

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_COMPARED = 256


def vocabulary_of(tokenizer: Any, ends: Collection[int], size: int, shown: Callable[[str], bool]) -> Vocabulary:
    """Return the vocabulary.

    Args:
        tokenizer: The tokenizer.
        ends: The tokens that end a reply.
        size: Number of logits; a tokenizer may have fewer tokens, or more.
        shown: Whether the text of an added token means something in the chat format.
    """
    if not tokenizer.is_fast:
        raise ValueError(f"the tokenizer {type(tokenizer).__name__} is written in Python")
    bytes_of = _writer(json.loads(tokenizer.backend_tokenizer.to_str()).get("decoder"))
    added = {token: item for token, item in tokenizer.added_tokens_decoder.items() if token < size}
    special = {token: item.content for token, item in added.items() if item.special or shown(item.content)}
    tokens = [b""] * size
    for text, token in tokenizer.get_vocab().items():
        if token < size:
            tokens[token] = text.encode() if token in special else bytes_of(text)
    plain = [token for token, raw in enumerate(tokens) if raw and token not in added]
    _compare(tokenizer, tokens, plain)

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids if all(token < size for token in ids) else []

    return Vocabulary(tokens=tokens, special=special, ends=[token for token in ends if token < size], encode=encode)


def _writer(decoder: Mapping[str, Any] | None) -> Callable[[str], bytes]:
    """Return what a decoder makes of a token."""
    steps = list(_steps(decoder))
    kinds = {step["type"] for step in steps}
    if "ByteLevel" in kinds:
        table = {character: byte for byte, character in enumerate(_characters_of_bytes())}
        return lambda text: bytes(map(table.__getitem__, text)) if table.keys() >= set(text) else text.encode()
    blanks = [step["replacement"] for step in steps if step["type"] == "Metaspace"]
    blanks += [step["pattern"]["String"] for step in steps if step["type"] == "Replace" and step["content"] == " "]
    if not blanks or kinds - {"Metaspace", "Replace", "ByteFallback", "Fuse", "Strip"}:
        raise ValueError(f"the tokenizer's decoder ({', '.join(sorted(kinds)) or 'none'}) joins tokens by their places")

    def written(text: str) -> bytes:
        if "ByteFallback" in kinds and (byte := _BYTE.fullmatch(text)):
            return bytes([int(byte[1], 16)])
        for blank in blanks:
            text = text.replace(blank, " ")
        return text.encode()

    return written


def _steps(decoder: Mapping[str, Any] | None) -> Iterable[Mapping[str, Any]]:
    if decoder is not None:
        inner = decoder.get("decoders")
        yield from (step for part in inner for step in _steps(part)) if inner is not None else [decoder]


def _characters_of_bytes() -> list[str]:
    """Return the character that stands for each byte in byte-level BPE: itself if it is printable and no blank."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(0x100)]


def _compare(tokenizer: Any, tokens: list[bytes], plain: list[int]) -> None:
    """Raise ValueError if the tokenizer decodes some of the tokens to another text."""
    first = next((token for token in plain if tokens[token].isalpha() and tokens[token].isascii()), None)
    if first is None:
        return
    for token in plain[:: max(1, len(plain) // _COMPARED)]:
        try:
            expected = (tokens[first] + tokens[token]).decode()
        except UnicodeDecodeError:
            continue
        if tokenizer.decode([first, token], skip_special_tokens=False, clean_up_tokenization_spaces=False) != expected:
            raise ValueError(f"the tokenizer does not decode its token {token} to {tokens[token]!r}")
