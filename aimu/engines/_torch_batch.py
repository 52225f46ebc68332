"""Runs several sequences in the same forward passes, each at its own position: keys and values, prefill, decoding.

Owns the order in which sequences are computed between two steps of the requests. All but the last token of a prompt are
computed alone; from then on the sequence is a row of the batch. Runs in the engine's thread; knows no requests. Refuses
models that keep more than plain keys and values.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, final

import torch
from attrs import define
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from aimu.engines import _torch_model as torch_model
from aimu.engines._prefix_cache import common_prefix
from aimu.engines._torch_model import Sampler, TorchModel
from aimu.engines._torch_states import KVStates

_DIFFERENCE = 0.01
"""Tolerance of float32 logits in a batch against the sequence alone, as a fraction of the greatest logit."""


@define(eq=False)
class _Sequence:
    """A sequence between two steps of its request; `token` is the result of the last one."""

    ids: list[int]
    states: KVStates
    sampler: Sampler
    token: int | None = None
    error: Exception | None = None

    def take(self) -> int | None:
        """Return the new token, if there is one; raise the error that the computation of it raised."""
        error, self.error = self.error, None
        if error is not None:
            raise error
        token, self.token = self.token, None
        return None if token is None else torch_model.checked(token)

    def pick(self, logits: Any) -> Any:
        """Return the next token, shape (1, 1). An error in the options of a request fails that request only."""
        try:
            return self.sampler(logits)
        except Exception as exc:  # noqa: BLE001 - raised by `take`
            self.error = exc
            return torch.zeros((1, 1), dtype=torch.long, device=logits.device)


class _RowsLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer in `room`, each of shape (rows, heads, room, width), zero behind the end of a row.

    Zeros, since a mask makes the weight 0, but 0 times infinity is NaN.
    """

    def __init__(self, like: tuple[Any, Any]) -> None:
        super().__init__()
        self.room = [states.new_zeros((0, *states.shape[1:])) for states in like]
        self.place: Any = None

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Write the new token of each row at its position; return all rows, up to the length of the longest."""
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
    """Keys and values of the rows of a batch; `states` of no tokens define the shapes."""

    def __init__(self, states: KVStates) -> None:
        self.cache: Any = DynamicCache()
        self.layers = self.cache.layers = [_RowsLayer(like) for like in states.move_out()]

    def fit(self, rows: int, length: int) -> None:
        """Make room for `rows` rows of up to `length` tokens; shrink it if it is far too large."""
        have_rows, _, have_length, _ = self.layers[-1].room[-1].shape  # the tensor that is resized last
        enough = 1 << max(0, rows - 1).bit_length(), length + max(256, length // 4)
        if rows > have_rows or length > have_length or have_rows * have_length > 4 * enough[0] * enough[1]:
            for layer in self.layers:
                layer.resize(*enough)

    def join(self, row: int, states: KVStates) -> None:
        """Move the states of a sequence into a row."""
        for layer, tensors in zip(self.layers, states.move_out(), strict=True):
            for room, own in zip(layer.room, tensors, strict=True):
                if own is not None:  # a prompt of one token has no states yet
                    room[row, :, : own.shape[2]] = own[0]

    def copy(self, row: int, length: int, states: KVStates) -> None:
        """Copy the first `length` tokens of a row into `states`."""
        states.move_out()
        for index, layer in enumerate(self.layers):
            states.cache.update(*(room[row : row + 1, :, :length] for room in layer.room), index)
        states.length = length

    def leave(self, row: int, last: int, states: KVStates) -> None:
        """Copy the states of a row into `states`, and move the last row to its place."""
        try:
            self.copy(row, len(states), states)
        finally:
            for layer in self.layers:
                for room in layer.room:
                    if row != last:
                        room[row] = room[last]
                    room[last] = 0

    def place(self, rows: Any, positions: Any, span: int) -> Any:
        """Set where the next forward pass writes the token of each row; all positions are below `span`.

        Returns the attention mask to add to the scores of each row, shape (rows, 1, 1, span).
        """
        for layer in self.layers:
            layer.place = rows, positions, span
        mask = torch.zeros((len(rows), span), dtype=self.layers[0].room[0].dtype, device=positions.device)
        hidden = torch.arange(span, device=positions.device) > positions[:, None]
        return mask.masked_fill_(hidden, torch.finfo(mask.dtype).min)[:, None, None]


@final
class TorchBatch:
    """Runs the sequences of one model together; raises ValueError if the model does not allow it."""

    def __init__(self, model: TorchModel) -> None:
        self._model = model
        self._arrived: deque[_Sequence] = deque()
        self._running: list[_Sequence] = []  # in the order of their rows
        if reason := _obstacle(model):
            raise ValueError(f"batch: requests cannot share the forward passes of this model, {reason}; use batch=1")
        with torch.inference_mode():
            self._rows = _Rows(self._check())

    def tokens(
        self, ids: list[int], states: KVStates, sampler: Sampler, stopped: Callable[[], bool]
    ) -> Generator[int | Callable[[], object]]:
        """Generate tokens as `TorchModel.tokens`, but yield `compute`, which computes for all, before each token."""
        sampler.start(self._model.real(ids, states), self._model.model.device)
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
            states.release()

    def compute(self) -> None:
        """Compute a slice of the new prompts, first come first served, then a token for each row."""
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
                known, last = len(sequence.states), len(sequence.ids) - 1
                if known < last:
                    self._model.advance(sequence.ids, sequence.states, min(known + budget, last))
                budget -= len(sequence.states) - known
                if len(sequence.states) == len(sequence.ids) - 1:
                    self._join(sequence)
            except Exception as exc:  # noqa: BLE001 - raised by `take`
                sequence.error = exc
                self._arrived.remove(sequence)

    def _adopt(self, sequence: _Sequence) -> None:
        """Copy the longest common prefix from a row: many agents share a system message and tools."""
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
            sequence.token = token  # the list is the only time that a GPU is waited for

    def _forward(self) -> Any:
        """Append the last token of each row to its states; return the logits after it, shape (rows, vocabulary)."""
        lengths = [len(sequence.states) for sequence in self._running]
        span = max(lengths) + 1
        self._rows.fit(len(lengths), span)
        last = [sequence.ids[-1] for sequence in self._running]
        shifts = [sequence.states.shift for sequence in self._running]
        tokens, places, rows, shift = self._model.tensor([last, lengths, range(len(lengths)), shifts])
        mask = self._rows.place(rows, places, span)
        logits = self._model.forward(
            tokens[:, None], self._rows.cache, position_ids=(places + shift)[:, None], attention_mask=mask
        )
        for sequence in self._running:
            sequence.states.length += 1
        return logits

    def _check(self) -> KVStates:
        """Check that two sequences of different lengths compute the same together as alone; return empty states."""
        model, sampler = self._model, self._model.sampler(self._model.settings())
        alone: list[Any] = []
        for ids in ([1, 2, 3, 4, 5], [3, 2, 1]):
            states = model.new_states()
            model.extend(model.tensor([ids[:-1]]), states)
            empty = states.copy(0)
            if not alone:
                self._rows = _Rows(states.copy(0))
            self._arrived.append(_Sequence(ids, states.copy(len(states)), sampler))
            self._join(self._arrived[0])
            alone.append(model.extend(model.tensor([ids[-1:]]), states))
        logits = torch.cat(alone)
        together = self._forward()
        self._running.clear()
        allowed = max(_DIFFERENCE, torch.finfo(logits.dtype).eps ** 0.5) * logits.abs().max()
        if not (together - logits).abs().max() <= allowed:
            raise ValueError("batch: this model computes other results when requests share forward passes; use batch=1")
        return empty


def _obstacle(model: TorchModel) -> str | None:
    """Say why sequences of `model` cannot be rows of a batch, as far as its configuration shows."""
    attention = getattr(model.model.config.get_text_config(), "_attn_implementation", None)
    if attention not in ("sdpa", "eager"):
        return f"whose attention is {attention!r}: only 'sdpa' and 'eager' take a mask for each row"
    if "position_ids" not in model.takes or "attention_mask" not in model.takes:
        return "which takes no positions or no mask"
    if "local" in getattr(model.model.config, "attention_layers", ()):
        return "which counts the tokens of its local layers back from the end of the longest row"
    if not model.new_states().plain:
        return "which keeps more than the keys and values of all tokens (sliding windows, recurrent layers)"
    return None
