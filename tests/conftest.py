"""Both backends for every async test (any test or fixture that is a coroutine runs on asyncio and on trio), and the
tiny model with an engine that all tests of a session share."""

import os
import threading

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.fixture(scope="session")
def tiny():
    """The folder of the tiny model."""
    try:
        from aimu.testing import tiny_model
    except ImportError:
        folder = os.environ.get("AIMU_TINY")
        if folder is None:
            pytest.skip("no tiny model: set AIMU_TINY")
        return folder
    return os.fspath(tiny_model())


@pytest.fixture(scope="session")
def shared_engine(tiny):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from aimu.engines.huggingface import HuggingFaceEngine

    engine = HuggingFaceEngine(tiny, threads=1)
    yield engine
    engine.close()
    assert not [thread for thread in threading.enumerate() if thread.name == f"aimu {engine.spec}"]


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
