"""Both backends for every async test: any test or fixture that is a coroutine runs on asyncio and on trio."""

import os

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # a wrong path would otherwise look for a hub, for a minute


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param
