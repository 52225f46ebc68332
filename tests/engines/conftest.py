"""The embedded model, loaded once for the session: as a bare engine, and as a sync client."""

import os
import threading

import pytest

import aimu
from aimu.engines.huggingface import HuggingFaceEngine
from aimu.testing import tiny_model


@pytest.fixture(scope="session")
def weights():
    """A sync client on the embedded model; tests fork it or wrap it with `aio.client`."""
    with aimu.client(f"hf:{tiny_model()}", threads=1) as client:
        yield client


@pytest.fixture(scope="session")
def tiny():
    """The folder of the embedded model."""
    return os.fspath(tiny_model())


@pytest.fixture(scope="session")
def shared_engine(tiny):
    engine = HuggingFaceEngine(tiny, threads=1)
    yield engine
    engine.close()
    assert not [thread for thread in threading.enumerate() if thread is engine.worker._thread]


@pytest.fixture
def engine(shared_engine):
    """The Hugging Face engine on the tiny model, with nothing remembered."""
    shared_engine.prefix_cache.clear()
    return shared_engine


@pytest.fixture
def forwards(engine, monkeypatch):
    """Counts forward passes, and the most that ever ran at once."""
    counts = {"calls": 0, "inside": 0, "most": 0}
    model = engine._model.model
    forward = model.forward

    def counted(*args, **kwargs):
        counts["calls"] += 1
        counts["inside"] += 1
        counts["most"] = max(counts["most"], counts["inside"])
        try:
            return forward(*args, **kwargs)
        finally:
            counts["inside"] -= 1

    monkeypatch.setattr(model, "forward", counted)
    return counts
