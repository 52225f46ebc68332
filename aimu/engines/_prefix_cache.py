"""Keeps the states of past prompts, so that an engine computes only the new part of a prompt.

Owns the choice of the entry to reuse and how much of it, and the eviction: least recently used first, bounded in bytes.
Knows no model and no tensor: the states come through the protocol `States`. Used by one thread; any thread may read the
counters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar, final

from attrs import define


class States(Protocol):
    """Attention states (keys and values) of a sequence of tokens."""

    @property
    def nbytes(self) -> int:
        """Memory that they take, in bytes."""
        ...

    @property
    def shortest(self) -> int:
        """The length of the shortest prefix that they can be cut to: 0 for states of all tokens.

        Recurrent states cannot be cut, and windows keep the last tokens only. A number above their own length means
        that they cannot be reused at all.
        """
        ...

    def __len__(self) -> int: ...

    def crop(self, length: int) -> None:
        """Drop all but the first `length` tokens."""
        ...

    def copy(self: S, length: int) -> S:
        """Return new states with the first `length` tokens."""
        ...


S = TypeVar("S", bound=States)


@define(eq=False, kw_only=True)
class Entry(Generic[S]):
    """A sequence with the states of its first `len(states)` tokens.

    `marks` are rising pairs (characters, tokens), in which characters can repeat: so many characters of `text` are
    exactly so many tokens of `ids`. The last mark but one is the end of the last prompt.
    """

    text: str
    ids: list[int]
    marks: list[tuple[int, int]]
    states: S


@final
class PrefixCache(Generic[S]):
    """The entries of recent conversations.

    `hits` counts the prompts that reused states, `tokens_reused` the tokens whose states were reused.

    Args:
        limit: Upper bound of the memory for all states, in bytes; 0 keeps nothing.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.hits: int = 0
        self.tokens_reused: int = 0
        self._entries: list[Entry[S]] = []  # the most recently used is the last

    @property
    def entries(self) -> int:
        """Number of entries."""
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """Memory of all entries, in bytes; the states of a running request are not among them."""
        return sum(entry.states.nbytes for entry in list(self._entries))

    def take(
        self,
        text: str,
        *,
        encode: Callable[[str], list[int]],
        encode_rest: Callable[[str, int], list[int] | None],
        new: Callable[[], S],
    ) -> Entry[S]:
        """Return an entry for a prompt, with the states of its longest known prefix.

        The entry belongs to the caller until `put`.

        Args:
            text: The prompt.
            encode: Turns the text of a prompt into ids.
            encode_rest: Turns the rest of a text, behind an id, into ids; None if only `encode` can. If `text`
                continues an entry from one of its marks, the ids up to the mark are kept and the rest is encoded.
            new: Makes states of no tokens.
        """
        ids, marks = self._encode(text, encode, encode_rest)
        states, reused = self._states(ids)
        if reused:
            self.hits += 1
            self.tokens_reused += reused
        return Entry(
            text=text, ids=ids, marks=[*marks, (len(text), len(ids))], states=new() if states is None else states
        )

    def put(self, entry: Entry[S]) -> None:
        """Add an entry, and drop the least recently used ones that no longer fit."""
        self._entries.append(entry)
        while self._entries and self.bytes > self.limit:
            del self._entries[0]

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()

    def _encode(
        self,
        text: str,
        encode: Callable[[str], list[int]],
        encode_rest: Callable[[str, int], list[int] | None],
    ) -> tuple[list[int], list[tuple[int, int]]]:
        best: tuple[list[int], list[tuple[int, int]]] | None = None
        kept = 0
        for entry in self._entries:
            same = common_prefix(entry.text, text)
            # Tokens that write nothing are in the answer: of two marks at one place, the first is the prompt's.
            marks = list({mark[0]: mark for mark in reversed(entry.marks) if mark[0] <= same}.values())[::-1]
            while marks and marks[-1][1] > kept:
                length, known = marks[-1]
                if (rest := encode_rest(text[length:], entry.ids[known - 1])) is not None:
                    best, kept = ([*entry.ids[:known], *rest], marks), known
                    break
                marks.pop()
        return best or (encode(text), [])

    def _states(self, ids: list[int]) -> tuple[S | None, int]:
        """Return the states of the longest known prefix of `ids`, taken from their entry or copied, and its length."""
        known = [
            (min(common_prefix(entry.ids, ids), len(entry.states), len(ids) - 1), entry) for entry in self._entries
        ]
        usable = [(n, -len(entry.states), i) for i, (n, entry) in enumerate(known) if self._usable(n, entry)]
        if not usable:
            return None, 0
        reused, _, index = max(usable)
        entry = self._entries[index]
        if reused >= min(len(entry.states), entry.marks[-2][1] - 1):
            # The conversation continues, or its last answer is regenerated: nothing else needs the cropped states.
            del self._entries[index]
            if reused < len(entry.states):
                entry.states.crop(reused)
            return entry.states, reused
        self._entries.append(self._entries.pop(index))
        return entry.states.copy(reused), reused

    @staticmethod
    def _usable(length: int, entry: Entry[S]) -> bool:
        return length > 0 and length >= entry.states.shortest


def common_prefix(a: Sequence[object], b: Sequence[object]) -> int:
    """Return the length of the longest common prefix, by bisection: comparing slices is faster than a loop."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
