"""Follows a constraint as a model of random weights does, over a small vocabulary of bytes, marks and longer pieces."""

import re
from typing import Annotated

import numpy as np
from pydantic import Field, TypeAdapter

from aimu.engines._grammars.vocabulary import Vocabulary

PIECES = [b'{"', b'"}', b'":', b"</", b"  ", b"true", "é".encode()[:1], "日本".encode(), "日".encode()[:2] + b'"']
CLOSERS = b"\"}])</>|'"
is_word = TypeAdapter(Annotated[str, Field(pattern=r"^\w$")]).validator.isinstance_python  # in Rust, as in grammars


def vocabulary(*marks, without=b""):
    """Two ends, the marks, a token that writes nothing, all bytes but those `without`, and pieces."""
    plain = [b""] + [bytes([byte]) for byte in range(256) if byte not in without] + PIECES
    special = {0: "<eos>", 1: "<eot>"} | dict(enumerate(marks, 2))
    tokens = [b""] * len(special) + plain
    return Vocabulary(tokens=tokens, special=special, ends=[0, 1], encode=lambda text: [])


def allowed(constraint, words):
    """The tokens that are allowed next."""
    bits = np.unpackbits(constraint.bits(), bitorder="little")
    assert not bits[len(words.tokens) :].any() or constraint.failed
    return np.flatnonzero(bits[: len(words.tokens)]).tolist()


def written(words, token):
    return words.special[token].encode() if token in words.special else words.tokens[token]


def followed(constraint, words, rng, most=600):
    """A random text that the constraint allows, and whether it came to its end; closing marks are likelier."""
    text = b""
    for _ in range(most):
        if constraint.ended:
            return text.decode(), True
        choices = allowed(constraint, words)
        assert choices, constraint.failed
        closing = [t for t in choices if t in words.special or words.tokens[t] in [bytes([c]) for c in CLOSERS]]
        token = rng.choice(closing if closing and rng.random() < 0.35 else choices)
        if token in words.ends:
            return text.decode(), True
        constraint.accept(token)
        assert not constraint.failed
        text += written(words, token)
    return text.decode(errors="replace"), False


def spell(constraint, words, text):
    """Go on behind each byte of a text."""
    ids = {raw: token for token, raw in enumerate(words.tokens) if len(raw) == 1}
    for byte in text.encode():
        constraint.accept(ids[bytes([byte])])


def in_rust(text):
    """The text with "a" or "-" for what is a letter, or none, to Rust alone: Python may know another Unicode."""

    def one(char):
        word = is_word(char)
        return char if word is bool(re.match(r"\w", char)) else "-a"[word]

    return "".join(map(one, text))
