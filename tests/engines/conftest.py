"""The embedded model, loaded once for the session."""

import pytest

import aimu
from aimu.testing import tiny_model


@pytest.fixture(scope="session")
def weights():
    """A sync client on the embedded model; tests fork it or wrap it with `aio.client`."""
    with aimu.client(f"hf:{tiny_model()}", threads=1) as client:
        yield client
