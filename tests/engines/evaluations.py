"""Counts the forward passes of an engine, inside the call that computes."""

from contextlib import contextmanager
from threading import Lock

from aimu.engines._huggingface import HuggingFaceEngine
from tests.holding import wait_in_thread


class Evaluations:
    """Counts all `calls`, those that are `inside` now and the `most` at once; keeps their results in `codes`.

    Each call first calls `before` with its arguments.
    """

    def __init__(self):
        self.calls = self.inside = self.most = 0
        self.codes = []
        self.before = lambda *args, **kwargs: None
        self._lock = Lock()

    def around(self, compute):
        def counted(*args, **kwargs):
            with self._lock:
                self.calls += 1
                self.inside += 1
                self.most = max(self.most, self.inside)
            try:
                self.before(*args, **kwargs)
                outcome = compute(*args, **kwargs)
                self.codes.append(outcome)
                return outcome
            finally:
                with self._lock:
                    self.inside -= 1

        return counted


@contextmanager
def evaluations(engine):
    """Count the forward passes of `engine`."""
    counts = Evaluations()
    if isinstance(engine, HuggingFaceEngine):
        owner, name = engine._model.model, "forward"
        compute = owner.forward
        counted = counts.around(compute)
    else:
        import llama_cpp

        owner, name = llama_cpp, "llama_decode"
        compute = llama_cpp.llama_decode
        own, pointer = counts.around(compute), engine._model.slots.pointer

        def counted(context, batch):
            return (own if context is pointer else compute)(context, batch)

    setattr(owner, name, counted)
    try:
        yield counts
    finally:
        setattr(owner, name, compute)


class Passes:
    """Records the forward passes of an engine: `rows` of each (0 for a slice of a prompt) and `tokens` of all.

    Each calls `before` with its rows and its input ids. The next one waits until the engine has `gather` requests.
    """

    def __init__(self, engine):
        self.rows, self.tokens = [], 0
        self.most_at_once = self.most_running = 0
        self.gather = 0
        self.before = lambda rows, ids: None
        self._engine = engine

    @contextmanager
    def recorded(self):
        """Record the forward passes in this block; only one may run at once."""
        with evaluations(self._engine) as counts:
            counts.before = self._torch if isinstance(self._engine, HuggingFaceEngine) else self._llama
            yield counts
            assert counts.most <= 1

    def _torch(self, *, input_ids, attention_mask=None, **kwargs):
        self._note(0 if attention_mask is None else len(input_ids), input_ids.flatten().tolist())

    def _llama(self, context, batch):
        logits = batch.logits and any(batch.logits[: batch.n_tokens])
        self._note(batch.n_tokens if logits else 0, batch.token[: batch.n_tokens])

    def _note(self, rows, ids):
        worker, wanted, self.gather = self._engine.worker, self.gather, 0
        wait_in_thread(lambda: worker.running + worker.waiting >= wanted)
        self.rows.append(rows)
        self.tokens += len(ids)
        self.most_running = max(self.most_running, worker.running)
        self.before(rows, ids)
