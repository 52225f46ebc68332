"""Schedules the sequences of one model that share forward passes, for every engine: prefill, joining, leaving.

Owns the order in which sequences are computed between two steps of the requests. All but the last token of a prompt are
computed alone; from then on the sequence is a row of the batch. Runs in the engine's thread; knows no requests and no
library: a `Rows` computes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar, final

from attrs import define

from aimu.engines._language_model import Tokens
from aimu.engines._prefix_cache import States, common_prefix
from aimu.engines._rounds import StopFlag

S = TypeVar("S", bound=States)


@define(eq=False)
class BatchSequence(Generic[S]):
    """A sequence between two steps of its request; `token` is the result of the last one."""

    ids: list[int]
    states: S
    picker: Callable[[Any], Any]
    stopped: StopFlag
    token: int | None = None
    error: Exception | None = None

    def take(self) -> int | None:
        """Return the new token, if there is one; raise the error that the computation of it raised."""
        error, self.error = self.error, None
        if error is not None:
            raise error
        token, self.token = self.token, None
        return token

    def pick(self, logits: Any) -> Any:
        """Return the next token, or None at an error: one in the options of a request fails that request only."""
        try:
            return self.picker(logits)
        except Exception as exc:  # noqa: BLE001 - raised by `take`
            self.error = exc
            return None


class Rows(Protocol[S]):
    """Computes sequences side by side. The rows have the numbers 0, 1, …; if one leaves, the last takes its place."""

    @property
    def slice_length(self) -> int:
        """Number of prompt tokens computed between two steps of the rows."""
        ...

    def inference(self) -> AbstractContextManager[Any]:
        """Return the context in which the model computes."""
        ...

    def picking(self, sampler: Any, ids: list[int]) -> AbstractContextManager[Callable[[Any], Any]]:
        """Return a context with the function that picks the next token of a sequence."""
        ...

    def adopt(self, row: int, length: int, states: S) -> None:
        """Replace `states` by the first `length` tokens of a row, if that is possible and pays."""
        ...

    def enter(self, states: S) -> None:
        """Prepare to extend `states`, which may get shorter if they cannot be used."""
        ...

    def extend(self, ids: list[int], states: S, end: int, stopped: StopFlag) -> None:
        """Append the next of `ids` to `states`, without logits, up to `end` or the end of an image that is there.

        May compute fewer once `stopped()` is true.
        """
        ...

    def join(self, sequences: Sequence[BatchSequence[S]]) -> None:
        """Make the last of the sequences a row; the others are rows already."""
        ...

    def leave(self, row: int, last: int, states: S) -> None:
        """Let a row leave, and give its states back."""
        ...

    def step(self, sequences: Sequence[BatchSequence[S]]) -> None:
        """Append the last token of each row to its states, and set its next `token`, or its `error`."""
        ...


@final
class Batch(Generic[S]):
    """Runs the sequences of one model together."""

    def __init__(self, rows: Rows[S]) -> None:
        self._rows = rows
        self._arrived: deque[BatchSequence[S]] = deque()
        self._running: list[BatchSequence[S]] = []  # in the order of their rows

    def tokens(self, ids: list[int], states: S, sampler: Any, stopped: StopFlag) -> Tokens:
        """Generate tokens as `LanguageModel.tokens`, but yield `compute`, which computes for all, before each token."""
        with self._rows.picking(sampler, ids) as picker:
            sequence = BatchSequence(ids, states, picker, stopped)
            self._arrived.append(sequence)
            try:
                while not stopped():
                    yield self.compute
                    if (token := sequence.take()) is not None:
                        ids.append(token)
                        yield token
            finally:
                self._leave(sequence)

    def compute(self) -> None:
        """Compute a slice of the new prompts, first come first served, then a token for each row."""
        with self._rows.inference():
            self._prefill()
            if not self._running:
                return
            try:
                self._rows.step(self._running)
            except Exception as exc:  # noqa: BLE001 - raised by `take`, in each of the requests
                for sequence in self._running:
                    sequence.error = exc

    def _prefill(self) -> None:
        budget = self._rows.slice_length
        while self._arrived and budget > 0:
            sequence = self._arrived[0]
            try:
                budget -= self._compute_prompt(sequence, budget)
            except Exception as exc:  # noqa: BLE001 - raised by `take`
                sequence.error = exc
                self._arrived.remove(sequence)

    def _compute_prompt(self, sequence: BatchSequence[S], budget: int) -> int:
        """Compute up to `budget` tokens of a prompt, and let it join if only the last is left; return how many."""
        ids, states = sequence.ids, sequence.states
        self._adopt(sequence)
        self._rows.enter(states)
        known, last = len(states), len(ids) - 1
        if known < last:
            self._rows.extend(ids, states, min(known + budget, last), sequence.stopped)
        if len(states) == len(ids) - 1:
            self._rows.join([*self._running, sequence])
            self._arrived.remove(sequence)
            self._running.append(sequence)
        elif sequence.stopped():
            self._arrived.remove(sequence)
        return len(states) - known

    def _adopt(self, sequence: BatchSequence[S]) -> None:
        """Copy the longest common prefix from a row: many agents share a system message and tools."""
        known = [min(common_prefix(row.ids, sequence.ids), len(row.states)) for row in self._running]
        longest = min(max(known, default=0), len(sequence.ids) - 1)
        if longest > len(sequence.states):
            self._rows.adopt(known.index(max(known)), longest, sequence.states)

    def _leave(self, sequence: BatchSequence[S]) -> None:
        if sequence in self._running:
            row, last = self._running.index(sequence), len(self._running) - 1
            self._running[row] = self._running[last]
            del self._running[last]
            self._rows.leave(row, last, sequence.states)
        elif sequence in self._arrived:
            self._arrived.remove(sequence)
