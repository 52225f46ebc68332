"""Runs forward passes in one context of llama.cpp, and keeps the states of sequences in its slots or as bytes.

Owns which states are in which slot. A slot is a sequence id of llama.cpp with keys and values of its own, for as many
tokens as one request may have. The states of the sequence that ran last in a slot stay there until another needs it.
Imports llama_cpp, so only `_gguf_model` and `_gguf_batch` import it. Runs in the engine's thread.
"""

from __future__ import annotations

import ctypes
import itertools
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, final
from weakref import ref

from aimu._core.escaping import escaping
from aimu.engines._rounds import StopFlag

llama_cpp: Any = import_module("llama_cpp")  # Any, since the ctypes module does not behave as its annotations say

_ABORTED = 2
_ERROR = 4

log = escaping(logging.getLogger("aimu.engines"))
_said = threading.local()

# llama.cpp calls an abort callback with our pointer at each node of a graph, and aborts if the result is not 0. The
# callback is `strlen`, so that it aborts if the C string at the pointer is not empty. A Python function would take the
# GIL about forty times for each token.
_abort_if_not_empty = ctypes.cast(
    (ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)).strlen, llama_cpp.ggml_abort_callback
)


def _to_logging(level: int, text: bytes, _: Any) -> None:
    line = text.decode(errors="replace").strip()
    if level == _ERROR:
        errors().append(line)
    if line:
        log.debug("llama.cpp: %s", line)


def errors() -> deque[str]:
    """Return the last errors that llama.cpp logged in this thread."""
    if not hasattr(_said, "errors"):
        _said.errors = deque[str](maxlen=2)
    said: deque[str] = _said.errors
    return said


def reason(what: str) -> str:
    """Return `what`, followed by the last errors that llama.cpp logged in this thread."""
    return ": ".join([what, *errors()])


_log_callback = llama_cpp.llama_log_callback(_to_logging)
llama_cpp.llama_log_set(_log_callback, None)


@final
class SequenceStates:
    """The states of one sequence; implements `_prefix_cache.States`.

    They are in a slot of the context, or in the bytes `saved`. Either may hold more than `length` tokens; the surplus
    is cut off when the sequence runs again.
    """

    def __init__(self, context: GGUFContext, length: int = 0, saved: Any = None, shortest: int = 0) -> None:
        self._context = context
        self.length = length
        self.saved = saved
        self.shortest = shortest
        self.nbytes = 0 if saved is None else len(saved)

    def __len__(self) -> int:
        return self.length

    def crop(self, length: int) -> None:
        self.length = length

    def copy(self, length: int) -> SequenceStates:
        return SequenceStates(self._context, length, self._context.as_bytes(self), self.shortest)


def _nobody() -> SequenceStates | None:
    return None


@final
class GGUFContext:
    """The forward passes and the slots of a context, a pointer of llama.cpp."""

    def __init__(self, pointer: Any, model: Any) -> None:
        self.pointer = pointer
        self._memory = llama_cpp.llama_get_memory(pointer)
        self._window: int = llama_cpp.llama_model_n_swa(model)
        count = int(llama_cpp.llama_n_seq_max(pointer))
        self._numbers = [(llama_cpp.llama_seq_id * 1)(slot) for slot in range(count)]
        self._inside: list[Callable[[], SequenceStates | None]] = [_nobody] * count
        self._entered = [0] * count  # the number of the time at which each slot was last entered
        self._times = itertools.count(1)
        self._crops = self._can_crop(model)

    def _can_crop(self, model: Any) -> bool:
        """Compute two tokens; return whether the states of the second can be dropped: recurrent ones cannot."""
        if not self._memory:
            raise ValueError("llama.cpp keeps no states for this model: it embeds texts or fills gaps in them")
        if llama_cpp.llama_model_has_encoder(model):
            raise ValueError("the model has an encoder beside its decoder, and the engine runs decoders only")
        if code := self._decode([0, 0], [0, 0]):
            raise ValueError(reason(f"the first forward pass failed: llama_decode returned {code}"))
        crops = bool(llama_cpp.llama_memory_seq_rm(self._memory, 0, 1, -1))
        llama_cpp.llama_memory_clear(self._memory, True)
        return crops

    @property
    def copies(self) -> bool:
        """Whether the beginning of a sequence in a slot can be copied to another one."""
        return self._crops and not self._window

    @contextmanager
    def until(self, stopped: StopFlag) -> Generator[None]:
        """Abort forward passes in this block once `stopped()` is true."""
        cell = (ctypes.c_char * len(stopped.cell)).from_buffer(stopped.cell)
        llama_cpp.llama_set_abort_callback(self.pointer, _abort_if_not_empty, ctypes.addressof(cell))
        try:
            yield
        finally:
            llama_cpp.llama_set_abort_callback(self.pointer, llama_cpp.ggml_abort_callback(), None)

    def enter(self, states: SequenceStates, *, busy: Collection[SequenceStates] = ()) -> int:
        """Load the first `len(states)` tokens, and no others, into a slot that is not `busy`; return the slot.

        `states` become empty if they cannot be cut to their length.
        """
        slot = self._slot_of(states)
        if slot is None:
            taken = {self._slot_of(other) for other in busy}
            slot = self._choose({slot for slot in taken if slot is not None})
            self._load(states, slot)
        self._entered[slot] = next(self._times)
        self._cut(states, slot)
        return slot

    def seat(self, together: Sequence[SequenceStates]) -> list[int]:
        """Load states into slots that follow each other, and return the slots.

        llama.cpp computes slots with a gap between them in several passes. Few states are moved: sequences that arrive
        fill the gaps of those that left.
        """
        slots = [self._slot_of(states) for states in together]
        known = [slot for slot in slots if slot is not None]
        if len(known) == len(slots) and _span(known) < len(known):
            return known
        starts = range(len(self._inside) - len(slots) + 1)
        windows = [range(start, start + len(slots)) for start in starts]
        window = max(windows, key=lambda window: len({*window}.intersection(known)))
        free = [slot for slot in window if slot not in known]
        for states, slot in zip(together, slots, strict=True):
            if slot not in window:
                self.save(states)
                self._load(states, free.pop())
        return [self.enter(states) for states in together]

    def extend(
        self, ids: Sequence[int], states: SequenceStates, slot: int, *, logits: Sequence[int] | None = None
    ) -> bool:
        """Append tokens to `states` in their slot; return False if that was aborted, and keep what was computed."""
        code = self._decode(ids, [slot] * len(ids), logits)
        if code == 0:
            states.length += len(ids)
        elif code == _ABORTED:
            states.length *= self._crops  # states that cannot be cut are lost: they have been overwritten
            self._cut(states, slot)
        else:
            raise RuntimeError(reason(f"llama_decode returned {code}"))
        return code == 0

    def step(self, ids: Sequence[int], together: Sequence[SequenceStates]) -> list[int]:
        """Append a token to each of the states; return the number of the logits after each."""
        slots = self.seat(together)
        order = sorted(range(len(slots)), key=slots.__getitem__)  # slots out of order are several passes, too
        if code := self._decode([ids[row] for row in order], [slots[row] for row in order], [1] * len(order)):
            raise RuntimeError(reason(f"llama_decode returned {code}"))
        for states in together:
            states.length += 1
        return [order.index(row) for row in range(len(order))]

    def measure(self, states: SequenceStates) -> None:
        """Set what `states` take in memory, and what they can be cut to, also once they are saved."""
        if (slot := self._slot_of(states)) is not None:
            states.nbytes, states.shortest = self._bytes_inside(slot), self._shortest_inside(slot)
            if self._window and not self._whole:
                states.shortest = max(states.shortest, self._shortest_from(self._last(slot) - self._window + 1))

    def save(self, states: SequenceStates) -> None:
        """Save states as bytes if they are in a slot, and let another sequence have the slot."""
        if (slot := self._slot_of(states)) is not None:
            self._inside[slot] = _nobody
            if len(states):
                states.saved = self._bytes_of(slot)
                states.nbytes = len(states.saved)

    def as_bytes(self, states: SequenceStates) -> Any:
        """Return states as bytes. They leave their slot only if there is no other one for their copy."""
        slot = self._slot_of(states)
        if slot is not None and len(self._inside) > 1:
            return self._bytes_of(slot)
        self.save(states)
        return states.saved

    def copy(self, source: SequenceStates, length: int, states: SequenceStates) -> None:
        """Replace `states` by the first `length` tokens of a sequence in a slot, which continues there."""
        if (slot := self._slot_of(source)) is not None:
            if (old := self._slot_of(states)) is not None:
                self._inside[old] = _nobody
            states.saved, states.length = self._bytes_of(slot), length

    def _slot_of(self, states: SequenceStates) -> int | None:
        return next((slot for slot, inside in enumerate(self._inside) if inside() is states), None)

    def _choose(self, busy: Collection[int]) -> int:
        """Return a slot that is not busy: near to those that are, then an unused one, then the least recently used."""
        free = [slot for slot in range(len(self._inside)) if slot not in busy]
        return min(
            free,
            key=lambda slot: (_span({*busy, slot}), self._inside[slot]() is not None, self._entered[slot]),
        )

    def _load(self, states: SequenceStates, slot: int) -> None:
        if (other := self._inside[slot]()) is not None:
            self.save(other)
        self._clear(slot)
        saved, states.saved = states.saved, None
        if saved is not None and not self._read(saved, slot):
            raise RuntimeError(reason("llama.cpp cannot load the saved states"))
        self._inside[slot] = ref(states)

    def _cut(self, states: SequenceStates, slot: int) -> None:
        """Drop all but the first `len(states)` tokens from a slot, or all of them if it cannot be cut there."""
        if len(states) < self._shortest_inside(slot) or not self._drop(slot, len(states)):
            self._clear(slot)
            states.length = 0

    def _drop(self, slot: int, start: int) -> bool:
        return bool(llama_cpp.llama_memory_seq_rm(self._memory, slot, start, -1))

    def _clear(self, slot: int) -> None:
        if len(self._inside) == 1:
            llama_cpp.llama_memory_clear(self._memory, False)
        else:
            self._drop(slot, 0)

    # With windows, llama.cpp saves of one sequence only the last window, and those states can hardly be cut. The whole
    # context is saved instead, unless it is also that of other sequences.

    @property
    def _whole(self) -> bool:
        return bool(self._window) and len(self._inside) == 1

    def _bytes_of(self, slot: int) -> Any:
        size = self._bytes_inside(slot)
        saved = (ctypes.c_uint8 * size)()
        if self._whole:
            llama_cpp.llama_state_get_data(self.pointer, saved, size)
        else:
            llama_cpp.llama_state_seq_get_data(self.pointer, saved, size, slot)
        return saved

    def _read(self, saved: Any, slot: int) -> bool:
        if self._whole:
            return bool(llama_cpp.llama_state_set_data(self.pointer, saved, len(saved)))
        return bool(llama_cpp.llama_state_seq_set_data(self.pointer, saved, len(saved), slot))

    def _bytes_inside(self, slot: int) -> int:
        if self._whole:
            return int(llama_cpp.llama_state_get_size(self.pointer))
        return int(llama_cpp.llama_state_seq_get_size(self.pointer, slot))

    def _shortest_inside(self, slot: int) -> int:
        """Return the shortest length that the states in a slot can be cut to."""
        if not self._crops:
            return self._last(slot) + 1
        # Cells of tokens that no window reaches any more are reused, and the first tokens are then missing.
        return self._shortest_from(int(llama_cpp.llama_memory_seq_pos_min(self._memory, slot)) if self._window else 0)

    def _last(self, slot: int) -> int:
        return int(llama_cpp.llama_memory_seq_pos_max(self._memory, slot))

    def _shortest_from(self, first: int) -> int:
        return first + self._window - 1 if first > 0 else 0

    def _decode(self, ids: Sequence[int], slots: Sequence[int], logits: Sequence[int] | None = None) -> int:
        """Run a forward pass on the next tokens of slots; `logits` tells after which (None: after the last)."""
        count = len(ids)
        batch = llama_cpp.llama_batch(
            n_tokens=count,
            token=(llama_cpp.llama_token * count)(*ids),
            n_seq_id=(ctypes.c_int32 * count)(*[1] * count),
            seq_id=(ctypes.POINTER(llama_cpp.llama_seq_id) * count)(
                *[ctypes.cast(self._numbers[slot], ctypes.POINTER(llama_cpp.llama_seq_id)) for slot in slots]
            ),
            logits=None if logits is None else (ctypes.c_int8 * count)(*logits),
        )
        return int(llama_cpp.llama_decode(self.pointer, batch))


def _span(slots: Collection[int]) -> int:
    return max(slots) - min(slots)
