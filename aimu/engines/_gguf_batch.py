"""Computes several sequences of a GGUF model in the same forward passes; `_batch` decides what is computed when.

Imports llama_cpp, so only `_llamacpp` imports it, when it loads weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias, final

from aimu.engines import _gguf_model as gguf_model
from aimu.engines._batch import BatchSequence
from aimu.engines._gguf_context import SequenceStates
from aimu.engines._gguf_model import GGUFModel, Sampling
from aimu.engines._rounds import StopFlag

WORTH = 16
"""Number of tokens from which copying states is cheaper than computing them."""

_Sequence: TypeAlias = BatchSequence[SequenceStates]


@final
class GGUFRows:
    """Implements `_batch.Rows`: each row is in a slot of the model's context."""

    def __init__(self, model: GGUFModel) -> None:
        self._model, self._context = model, model.slots
        self._running: list[SequenceStates] = []

    @property
    def slice_length(self) -> int:
        return gguf_model.PREFILL_SLICE

    def inference(self) -> AbstractContextManager[Any]:
        return self._model.inference()

    def picking(self, sampler: Sampling, ids: list[int]) -> AbstractContextManager[Callable[[int], int]]:
        return self._model.picking(sampler, ids)

    def adopt(self, row: int, length: int, states: SequenceStates) -> None:
        if self._context.copies and length - len(states) >= WORTH:
            self._context.copy(self._running[row], length, states)

    def enter(self, states: SequenceStates) -> None:
        self._context.enter(states, busy=self._running)

    def extend(self, ids: list[int], states: SequenceStates, end: int, stopped: StopFlag) -> None:
        slot = self._context.enter(states, busy=self._running)
        step = ids[len(states) : end]
        with self._context.until(stopped):
            self._context.extend(step, states, slot, logits=[0] * len(step))
        self._context.measure(states)  # the request can end before it joins

    def join(self, sequences: Sequence[_Sequence]) -> None:
        self._running.append(sequences[-1].states)

    def leave(self, row: int, last: int, states: SequenceStates) -> None:
        self._running[row] = self._running[last]
        del self._running[last]
        self._context.measure(states)

    def step(self, sequences: Sequence[_Sequence]) -> None:
        last = [sequence.ids[-1] for sequence in sequences]
        numbers = self._context.step(last, [sequence.states for sequence in sequences])
        for sequence, number in zip(sequences, numbers, strict=True):
            sequence.token = sequence.pick(number)
