"""Compiles grammars for a vocabulary, and follows one in a request: which tokens it allows next, and when it has ended.

Imports llguidance and numpy, so it is imported when a request has a grammar. A `Constraint` belongs to one request and
is used in the engine's thread. A `Compiler` may be used in any thread.

All constraints of a compiled grammar share what llguidance finds out about texts. That grows with them, by a few
kilobytes a token where texts have a limited length, and an error follows once it is too much. So grammars are compiled
anew after many tokens, and a constraint with an error is replaced by a new one, which gets the same tokens.
"""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from threading import Lock
from typing import Any, final

from attrs import define

from aimu.engines._grammars.vocabulary import Vocabulary
from aimu.errors import EngineError

llguidance: Any = import_module("llguidance")
np: Any = import_module("numpy")

_MOST = 64
_MOST_CHARACTERS = 4 << 20
_MOST_TOKENS = 1 << 15
_RENEWALS = 3  # in one request
# Ten times what llguidance allows: a grammar whose texts end in many places takes milliseconds a token, not more.
_LIMITS: Any = llguidance.LLParserLimits(step_max_items=500_000)

LIMITS: Any = np.where(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little"), np.inf, -np.inf
).astype(np.float32)
"""For each byte of a mask, the upper limits of eight logits: none if the token is allowed, else minus infinity."""


@define(eq=False)
class Compiled:
    """A grammar as llguidance has compiled it, and the number of tokens that followed it so far."""

    matcher: Any
    tokens: int = 0


@final
class Constraint:
    """What a grammar allows in one request.

    Attributes:
        ended: Whether the text is complete, and no token can follow.
        failed: Why the grammar is not enforced any more, or "".
    """

    def __init__(self, compiled: Compiled, size: int, renew: Callable[[], Compiled]) -> None:
        self._compiled, self._renew = compiled, renew
        self._matcher = compiled.matcher.deep_copy()
        self._tokens: list[int] = []
        self._renewals = 0
        self._bits = np.zeros((size + 31) // 32 * 4, dtype=np.uint8)
        self._fresh = False
        self.ended = False
        self.failed = ""

    def bits(self) -> Any:
        """Return which tokens are allowed next: an array of bytes, with one bit for each token, the lowest first."""
        if not self._fresh:
            self._compute()
            if self._matcher.is_error() and self._renewed():
                self._compute()
            if self._matcher.is_error():
                self._fail(self._matcher.get_error())
            elif not self._bits.any():
                self._fail("the vocabulary has no token for the text that must follow")
            self._fresh = True
        return self._bits

    def _compute(self) -> None:
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)

    def limits(self) -> Any:
        """Return upper limits of the logits: a float32 array, minus infinity for tokens that are not allowed."""
        return np.take(LIMITS, self.bits(), axis=0).reshape(-1)

    @staticmethod
    def view(address: int, count: int) -> Any:
        """Return so many float32 numbers at an address as an array."""
        return np.ctypeslib.as_array((ctypes.c_float * count).from_address(address))

    def mask(self, logits: Any) -> None:
        """Set the logits of tokens that are not allowed to minus infinity; they are a writable float32 array."""
        limits = self.limits()[: len(logits)]
        known = logits[: len(limits)]
        np.minimum(known, limits, out=known)
        if not self.failed:
            logits[len(limits) :] = -np.inf

    def allows(self, token: int) -> bool:
        """Return whether a token is allowed next."""
        bits = self.bits()
        return token >> 3 < len(bits) and bool(bits[token >> 3] >> (token & 7) & 1)

    def accept(self, token: int) -> None:
        """Go on behind a token."""
        self._fresh = False
        if self.failed:
            return
        if not self._matcher.consume_token(token) and not (self._renewed() and self._matcher.consume_token(token)):
            self._fail(self._matcher.get_error())
            return
        self._tokens.append(token)
        self._compiled.tokens += 1
        self.ended = self._matcher.is_stopped()

    def _renewed(self) -> bool:
        """Start over, with the same tokens, by a grammar that is compiled anew; return whether that is possible."""
        self._renewals += 1
        if self._renewals > _RENEWALS:
            return False
        self._compiled = self._renew()
        matcher = self._compiled.matcher.deep_copy()
        if not all(map(matcher.consume_token, self._tokens)):
            return False
        self._matcher = matcher
        return True

    def _fail(self, reason: str) -> None:
        """Allow all tokens from now on."""
        self.failed = reason.splitlines()[0] if reason else "llguidance stopped"
        self._bits[:] = 0xFF


@final
class Compiler:
    """Compiles grammars for one vocabulary, and keeps the latest ones.

    Args:
        vocabulary: The vocabulary. Building the tables for 128,000 tokens takes 0.4 seconds of CPU.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        kind: Any = llguidance.LLTokenizer
        # In two steps, since llguidance holds the GIL during each: other threads run between them.
        whole = kind(_Tokens(vocabulary), eos_token=sorted(vocabulary.ends), slices=[])
        self._tokenizer = whole.with_slices(kind.general_slices())
        self._compiled: OrderedDict[str, Compiled] = OrderedDict()
        self._lock = Lock()

    def has(self, grammar: str) -> bool:
        """Return whether a grammar is compiled."""
        with self._lock:
            self._trim()
            return grammar in self._compiled

    def constraint(self, grammar: str) -> Constraint:
        """Return a new constraint by a grammar of llguidance; raise ValueError with the reason if it is refused."""
        with self._lock:
            self._trim()
            compiled = self._compiled.get(grammar)
        if compiled is None:
            compiled = self._compile(grammar)
        self._keep(grammar, compiled)
        return Constraint(compiled, len(self.vocabulary.tokens), lambda: self._renewed(grammar))

    def _compile(self, grammar: str) -> Compiled:
        matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0, limits=_LIMITS)
        if matcher.is_error():
            raise ValueError(_short(matcher.get_error()))
        return Compiled(matcher)

    def _renewed(self, grammar: str) -> Compiled:
        compiled = self._compile(grammar)
        self._keep(grammar, compiled)
        return compiled

    def _keep(self, grammar: str, compiled: Compiled) -> None:
        with self._lock:
            self._compiled[grammar] = compiled
            self._compiled.move_to_end(grammar)
            self._trim()

    def _trim(self) -> None:
        """Drop the grammars that were not used for longest, while those kept are too many, or too large."""
        kept = self._compiled
        while (
            len(kept) > _MOST
            or sum(map(len, kept)) > _MOST_CHARACTERS
            or sum(each.tokens for each in kept.values()) > _MOST_TOKENS
        ):
            kept.popitem(last=False)


class _Tokens:
    """A vocabulary as llguidance reads it."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary) -> None:
        marks = vocabulary.special
        if not vocabulary.ends:
            raise EngineError("the vocabulary has no token that ends a reply")
        self.eos_token_id = min(vocabulary.ends)
        self.special_token_ids = sorted({*marks, *vocabulary.ends})
        named = set(self.special_token_ids)
        self.tokens = [
            b"\xff" + (marks.get(token) or f"[{token}]").encode() if token in named else raw
            for token, raw in enumerate(vocabulary.tokens)
        ]
        self._written_with = vocabulary.written_with

    def __call__(self, text: str | bytes) -> list[int]:
        return self._written_with(text.encode() if isinstance(text, str) else text)


@lru_cache(maxsize=1024)
def is_readable(pattern: str) -> bool:
    """Return whether llguidance can read a regular expression."""
    return not llguidance.LLMatcher.validate_grammar(of_regex(pattern))


def of_regex(pattern: str) -> str:
    """Return the grammar of a regular expression."""
    return str(llguidance.LLMatcher.grammar_from_regex(pattern))


def _short(reason: str) -> str:
    return " ".join(reason.split())[:300]
