"""Several sequences in the same forward passes, each at its own place: rows of keys and values, prefill, decoding.

Owns which sequence is computed when, between two steps of the requests. A prompt is computed by itself, all but its
last token; from there on its sequence is a row of the batch. Runs in the engine's thread; knows no request. Models
that keep more than plain keys and values are refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any, final

import torch
from attrs import define
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from aimu.engines import _torch_model as torch_model
from aimu.engines._prefix_cache import common_prefix
from aimu.engines._torch_model import KVStates, Sampler, TorchModel

_DIFFERENCE = 0.01
"""How much logits may differ, as a part of the greatest, between a batch and each sequence alone, in float32."""


@define(eq=False)
class _Sequence:
    """A sequence between two steps of its request: `token` is what came out of the last one."""

    ids: list[int]
    states: KVStates
    sampler: Sampler
    token: int | None = None
    error: Exception | None = None

    def take(self) -> int | None:
        """The new token, if there is one; raises what kept it from being made."""
        error, self.error = self.error, None
        if error is not None:
            raise error
        token, self.token = self.token, None
        return token

    def pick(self, logits: Any) -> Any:
        """The next token, shape (1, 1). What the options of one request break is that request's error."""
        try:
            return self.sampler(logits)
        except Exception as exc:  # noqa: BLE001 - raised by `take`
            self.error = exc
            return torch.zeros((1, 1), dtype=torch.long, device=logits.device)


class _RowsLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer, `room`: each of shape (rows, heads, room, width), with zeros behind each row's end.

    Zeros, since what is masked weighs nothing, but nothing times infinity is no number.
    """

    def __init__(self, like: tuple[Any, Any]) -> None:
        super().__init__()
        self.room = [states.new_zeros((0, *states.shape[1:])) for states in like]
        self.place: Any = None

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Write the new token of each row at its position; returns all rows, as far as the longest goes."""
        rows, positions, span = self.place
        keys, values = self.room
        rows, positions = rows.to(keys.device), positions.to(keys.device)
        keys[rows, :, positions] = key_states[:, :, 0]
        values[rows, :, positions] = value_states[:, :, 0]
        return keys[: len(rows), :, :span], values[: len(rows), :, :span]

    def resize(self, rows: int, length: int) -> None:
        for index, states in enumerate(self.room):
            room = states.new_zeros(rows, states.shape[1], length, states.shape[-1])
            kept = states[:rows, :, :length]
            room[: kept.shape[0], :, : kept.shape[2]] = kept
            self.room[index] = room


@final
class _Rows:
    """Keys and values of the rows of a batch. `states` of no tokens tell the shapes."""

    def __init__(self, states: KVStates) -> None:
        self.cache: Any = DynamicCache()
        self.layers = self.cache.layers = [_RowsLayer(like) for like in states.move_out()]

    def fit(self, rows: int, length: int) -> None:
        """Make room for `rows` rows of up to `length` tokens; give back what is far too much."""
        have_rows, _, have_length, _ = self.layers[-1].room[-1].shape  # the last to be resized
        enough = 1 << max(0, rows - 1).bit_length(), length + max(256, length // 4)
        if rows > have_rows or length > have_length or have_rows * have_length > 4 * enough[0] * enough[1]:
            for layer in self.layers:
                layer.resize(*enough)

    def join(self, row: int, states: KVStates) -> None:
        """Take over the states of a sequence."""
        for layer, tensors in zip(self.layers, states.move_out(), strict=True):
            for room, own in zip(layer.room, tensors, strict=True):
                if own is not None:  # a prompt of one token has nothing yet
                    room[row, :, : own.shape[2]] = own[0]

    def copy(self, row: int, length: int, states: KVStates) -> None:
        """Make the first `length` tokens of a row the states of another sequence, or of its own."""
        states.move_out()
        for index, layer in enumerate(self.layers):
            states.cache.update(*(room[row : row + 1, :, :length] for room in layer.room), index)
        states.length = length

    def leave(self, row: int, last: int, states: KVStates) -> None:
        """Give a row's states back; the last row moves into its place."""
        try:
            self.copy(row, len(states), states)
        finally:
            for layer in self.layers:
                for room in layer.room:
                    if row != last:
                        room[row] = room[last]
                    room[last] = 0

    def place(self, rows: Any, positions: Any, span: int) -> Any:
        """Have the next forward write a token in each of `rows`, at its position; none is at `span` or behind it.

        Returns what each row may see, to be added to its scores: shape (rows, 1, 1, span).
        """
        for layer in self.layers:
            layer.place = rows, positions, span
        mask = torch.zeros((len(rows), span), dtype=self.layers[0].room[0].dtype, device=positions.device)
        hidden = torch.arange(span, device=positions.device) > positions[:, None]
        return mask.masked_fill_(hidden, torch.finfo(mask.dtype).min)[:, None, None]


@final
class TorchBatch:
    """Run the sequences of one model together. ValueError if those of that model cannot be."""

    def __init__(self, model: TorchModel) -> None:
        self._model = model
        self._arrived: deque[_Sequence] = deque()
        self._running: list[_Sequence] = []  # in the order of their rows
        if reason := _obstacle(model):
            raise ValueError(f"batch: requests cannot share the forward passes of this model, {reason}")
        with torch.inference_mode():
            self._rows = _Rows(self._check())

    def tokens(
        self, ids: list[int], states: KVStates, sampler: Sampler, stopped: Callable[[], bool]
    ) -> Generator[int | Callable[[], object]]:
        """As `TorchModel.tokens`, but where the model is to compute, `compute` is yielded, which does so for all."""
        sampler.start(ids, self._model.model.device)
        sequence = _Sequence(ids, states, sampler)
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
        """A slice of the prompts that are not yet known, first come first served; then a token for each row."""
        with torch.inference_mode():
            self._prefill()
            try:
                self._decode()
            except Exception as exc:  # noqa: BLE001 - raised by `take`, in each of the requests
                for sequence in self._running:
                    sequence.error = exc

    def _prefill(self) -> None:
        budget = torch_model.PREFILL_SLICE
        while self._arrived and budget > 0:
            sequence = self._arrived[0]
            try:
                self._adopt(sequence)
                known = len(sequence.states)
                step = sequence.ids[known : min(known + budget, len(sequence.ids) - 1)]
                budget -= len(step)
                if step:
                    self._model.extend(self._tensor([step]), sequence.states)
                if len(sequence.states) == len(sequence.ids) - 1:
                    self._join(sequence)
            except Exception as exc:  # noqa: BLE001 - raised by `take`
                sequence.error = exc
                self._arrived.remove(sequence)

    def _adopt(self, sequence: _Sequence) -> None:
        """Copy from a row what its sequence begins with, too: many agents share a system message and tools."""
        known = [min(common_prefix(row.ids, sequence.ids), len(row.states)) for row in self._running]
        longest = min(max(known, default=0), len(sequence.ids) - 1)
        if longest > len(sequence.states):
            self._rows.copy(known.index(max(known)), longest, sequence.states)

    def _join(self, sequence: _Sequence) -> None:
        row, lengths = len(self._running), [len(other.states) for other in (*self._running, sequence)]
        self._rows.fit(row + 1, max(lengths) + 1)
        self._rows.join(row, sequence.states)
        self._arrived.remove(sequence)
        self._running.append(sequence)

    def _leave(self, sequence: _Sequence) -> None:
        if sequence in self._running:
            row, last = self._running.index(sequence), len(self._running) - 1
            self._running[row] = self._running[last]
            del self._running[last]
            self._rows.leave(row, last, sequence.states)
        elif sequence in self._arrived:
            self._arrived.remove(sequence)

    def _decode(self) -> None:
        if not self._running:
            return
        logits = self._forward()
        picked = [sequence.pick(logits[row : row + 1]) for row, sequence in enumerate(self._running)]
        for sequence, (token,) in zip(self._running, torch.cat(picked).tolist(), strict=True):
            sequence.token = token

    def _forward(self) -> Any:
        """Logits of each row after its last token, which joins its states; shape (rows, vocabulary)."""
        lengths = [len(sequence.states) for sequence in self._running]
        span = max(lengths) + 1
        self._rows.fit(len(lengths), span)
        last = [sequence.ids[-1] for sequence in self._running]
        tokens, positions, rows = self._tensor([last, lengths, range(len(lengths))])
        mask = self._rows.place(rows, positions, span)
        logits = self._model.forward(
            tokens[:, None], self._rows.cache, position_ids=positions[:, None], attention_mask=mask
        )
        for sequence in self._running:
            sequence.states.length += 1
        return logits

    def _tensor(self, values: Sequence[Sequence[int]]) -> Any:
        return torch.tensor([list(row) for row in values], device=self._model.model.device)

    def _check(self) -> KVStates:
        """Compute two sequences of unlike length together and each alone, and compare; returns empty states."""
        model, sampler = self._model, self._model.sampler(self._model.settings())
        alone: list[Any] = []
        for ids in ([1, 2, 3, 4, 5], [3, 2, 1]):
            states = model.new_states()
            model.extend(self._tensor([ids[:-1]]), states)
            empty = states.copy(0)
            if not alone:
                self._rows = _Rows(states.copy(0))
            self._arrived.append(_Sequence(ids, states.copy(len(states)), sampler))
            self._join(self._arrived[0])
            alone.append(model.extend(self._tensor([ids[-1:]]), states))
        logits = torch.cat(alone)
        together = self._forward()
        self._running.clear()
        allowed = max(_DIFFERENCE, torch.finfo(logits.dtype).eps ** 0.5) * logits.abs().max()
        if not (together - logits).abs().max() <= allowed:
            raise ValueError("batch: requests cannot share the forward passes of this model, which come out otherwise")
        return empty


def _obstacle(model: TorchModel) -> str | None:
    """Why sequences of `model` cannot be rows of a batch, as far as it can be told beforehand."""
    attention = getattr(model.model.config.get_text_config(), "_attn_implementation", None)
    if attention not in ("sdpa", "eager"):
        return f"whose attention is {attention!r}: only 'sdpa' and 'eager' take a mask for each row"
    if "position_ids" not in model.takes or "attention_mask" not in model.takes:
        return "which takes no positions"
    if not model.new_states().croppable:
        return "which keeps more than the keys and values of all tokens (sliding windows, recurrent layers)"
    return None
