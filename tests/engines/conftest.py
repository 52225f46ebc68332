"""The embedded model, loaded once for all tests: as engines, and as sync clients."""

import os
import random
import threading
from functools import partial

import pytest

import aimu
from aimu.engines._huggingface import HuggingFaceEngine
from aimu.engines._llamacpp import LlamaCppEngine
from aimu.testing import tiny_gguf, tiny_model
from tests.engines.evaluations import evaluations

MODELS = {"hf": tiny_model(), "llamacpp": tiny_gguf()}
ENGINES = {
    "hf": partial(HuggingFaceEngine, MODELS["hf"]),
    "hf batch": partial(HuggingFaceEngine, MODELS["hf"], batch=4),
    "llamacpp": partial(LlamaCppEngine, MODELS["llamacpp"]),
    "llamacpp batch": partial(LlamaCppEngine, MODELS["llamacpp"], batch=4),
}


@pytest.fixture(scope="session", params=MODELS)
def model_string(request):
    """A model string of the embedded model for each engine."""
    return f"{request.param}:{MODELS[request.param]}"


@pytest.fixture(scope="session")
def weights(model_string):
    """A sync client on the embedded model; tests fork it or wrap it with `aio.client`."""
    with aimu.client(model_string, threads=1) as client:
        yield client


@pytest.fixture(scope="session")
def tiny():
    """The folder of the embedded model."""
    return os.fspath(tiny_model())


@pytest.fixture(scope="session")
def opened():
    """Opens one engine of each kind for all tests."""
    engines = {}

    def open_once(kind):
        if kind not in engines:
            engines[kind] = ENGINES[kind](threads=1)
        engines[kind].prefix_cache.clear()
        return engines[kind]

    yield open_once
    threads = {engine.worker._thread for engine in engines.values()}
    for engine in engines.values():
        engine.close()
    assert not threads & set(threading.enumerate())


@pytest.fixture(autouse=True)
def drawn_numbers(request):
    """The numbers that a test draws from `random` are the same each time."""
    random.seed(request.node.nodeid)


@pytest.fixture(params=ENGINES)
def engine(request, opened):
    """Each engine on the tiny model, with an empty prefix cache."""
    return opened(request.param)


@pytest.fixture(params=MODELS)
def library(request):
    """The provider of each engine."""
    return request.param


@pytest.fixture
def serial_engine(library, opened):
    """An engine that runs one request at a time."""
    return opened(library)


@pytest.fixture
def batch_engine(library, opened):
    """An engine that runs four requests at once."""
    return opened(f"{library} batch")


@pytest.fixture
def hf_engine(opened):
    return opened("hf")


@pytest.fixture
def llama_engine(opened):
    return opened("llamacpp")


@pytest.fixture
def forwards(engine):
    """Counts forward passes, and how many run at once."""
    with evaluations(engine) as counts:
        yield counts


@pytest.fixture
def slice_prefill(monkeypatch):
    """Sets the number of prompt tokens that are computed at once."""

    def set_slice(length):
        for model in ("_torch_model", "_gguf_model"):
            monkeypatch.setattr(f"aimu.engines.{model}.PREFILL_SLICE", length)

    return set_slice


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Writes the model of a family once."""
    written = {}

    def write_once(kind):
        from tests.engines.vision_models import write_model

        if kind not in written:
            written[kind] = write_model(kind, tmp_path_factory.mktemp(kind))
        return written[kind]

    return write_once


@pytest.fixture(scope="session")
def seeing(folders):
    """Opens an engine on the model of a family, once for each number of requests at a time."""
    engines = {}

    def open_once(kind, batch=1):
        if (kind, batch) not in engines:
            engines[kind, batch] = HuggingFaceEngine(folders(kind), threads=1, batch=batch)
        engines[kind, batch].prefix_cache.clear()
        return engines[kind, batch]

    yield open_once
    for engine in engines.values():
        engine.close()
