"""What an engine remembers of past prompts, so that only what is new is computed. No model and no tensor in here.

Owns which entry is reused, how much of it, and what is forgotten: least recently used first, bounded in bytes. The
states themselves come through the `States` protocol. Used by one thread; the counters may be read from any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar, final

from attrs import define


class States(Protocol):
    """Attention states (keys and values) of a sequence of tokens."""

    @property
    def nbytes(self) -> int: ...

    @property
    def croppable(self) -> bool:
        """Whether a shorter prefix can be had; False for recurrent and sliding-window states."""
        ...

    def __len__(self) -> int: ...

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        ...

    def copy(self: S, length: int) -> S:
        """New states with the first `length` tokens."""
        ...


S = TypeVar("S", bound=States)


@define(eq=False, kw_only=True)
class Entry(Generic[S]):
    """A sequence whose states are known: those of the first `len(states)` of `ids`.

    `marks` are pairs (characters, tokens) at which `text` and `ids` are known to be cut alike, rising; the last but
    one is the end of the last prompt.
    """

    text: str
    ids: list[int]
    marks: list[tuple[int, int]]
    states: S


@final
class PrefixCache(Generic[S]):
    """Entries of the last conversations; `hits` counts prompts that found something, `tokens_reused` how much."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.hits = 0
        self.tokens_reused = 0
        self._entries: list[Entry[S]] = []  # the most recently used is the last

    @property
    def entries(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """Bytes held between requests; those of the running one are the request's own."""
        return sum(entry.states.nbytes for entry in list(self._entries))

    def take(self, text: str, encode: Callable[[str], list[int]], *, splits: bool, new: Callable[[], S]) -> Entry[S]:
        """An entry for the prompt `text`: its ids, and states of as many of them as are known, but never of all.

        Where `text` goes on from a mark of an entry, the ids that the model wrote are kept and only the rest is
        encoded; with `splits=False`, for tokenizers that encode a rest unlike the middle of a text, all of it is.
        The entry returned is the caller's; `put` gives it back.
        """
        ids, marks = self._encode(text, encode, splits)
        states, reused = self._states(ids)
        if reused:
            self.hits += 1
            self.tokens_reused += reused
        return Entry(
            text=text, ids=ids, marks=[*marks, (len(text), len(ids))], states=new() if states is None else states
        )

    def put(self, entry: Entry[S]) -> None:
        """Remember `entry`, and forget what no longer fits."""
        self._entries.append(entry)
        while self._entries and self.bytes > self.limit:
            del self._entries[0]

    def clear(self) -> None:
        self._entries.clear()

    def _encode(
        self, text: str, encode: Callable[[str], list[int]], splits: bool
    ) -> tuple[list[int], list[tuple[int, int]]]:
        best: tuple[list[int], list[tuple[int, int]]] = [], []
        if splits:
            for entry in self._entries:
                same = common_prefix(entry.text, text)
                marks = [mark for mark in entry.marks if mark[0] <= same]
                if marks and marks[-1][1] > len(best[0]):
                    best = entry.ids[: marks[-1][1]], marks
        ids, marks = best
        return [*ids, *encode(text[marks[-1][0] :] if marks else text)], marks

    def _states(self, ids: list[int]) -> tuple[S | None, int]:
        """The states of the longest known prefix of `ids`, taken out of their entry or copied."""
        known = [
            (min(common_prefix(entry.ids, ids), len(entry.states), len(ids) - 1), entry) for entry in self._entries
        ]
        usable = [(n, -len(entry.states), i) for i, (n, entry) in enumerate(known) if self._usable(n, entry)]
        if not usable:
            return None, 0
        reused, _, index = max(usable)
        entry = self._entries[index]
        if reused >= min(len(entry.states), entry.marks[-2][1] - 1):
            # The conversation goes on, or its last answer is written anew: nobody else needs what is cropped.
            del self._entries[index]
            if reused < len(entry.states):
                entry.states.crop(reused)
            return entry.states, reused
        self._entries.append(self._entries.pop(index))
        return entry.states.copy(reused), reused

    @staticmethod
    def _usable(length: int, entry: Entry[S]) -> bool:
        return length > 0 and (entry.states.croppable or length == len(entry.states))


def common_prefix(a: Sequence[object], b: Sequence[object]) -> int:
    """Length of the longest common prefix, by bisection, since comparing slices is fast and a loop is not."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
