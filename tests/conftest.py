"""Both backends for every async test: any test or fixture that is a coroutine runs on asyncio and on trio."""

import gc
import os
import re
import signal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aimu.testing import virtual_time

pytest_plugins = ["tests.watchdog"]
# The same examples in every run; `nox -s explore` looks for others.
settings.register_profile("fixed", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
EXPLORE = {"derandomize": False, "max_examples": 10 * settings.get_profile("fixed").max_examples, "print_blob": True}
settings.register_profile("explore", settings.get_profile("fixed"), **EXPLORE)
settings.load_profile(os.environ.get("AIMU_EXAMPLES", "fixed"))  # here, before a module decorates with settings
# What a machine has set for its user would come between the tests and their servers, and change what is printed.
OF_THE_USER = r"\w+_(PROXY|API_KEY|TOKEN|BASE_URL|ENDPOINT)|(OPENAI|OTEL)_\w+|OLLAMA_HOST|AIMU_(MODEL|DEBUG)"
OF_THE_TERMINAL = r"TERM|NO_COLOR|FORCE_COLOR|COLUMNS|LINES|PYTHONASYNCIODEBUG"
for name in [name for name in os.environ if re.fullmatch(f"{OF_THE_USER}|{OF_THE_TERMINAL}", name, re.IGNORECASE)]:
    del os.environ[name]
os.environ["HF_HUB_OFFLINE"] = "1"  # otherwise a wrong path looks for a hub for a minute
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background jobs of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """Take what the imports made out of garbage collections and searches of the heap: hundreds of thousands of objects.

    Nothing that a test makes is among them, so `leak_check` finds the same. hypothesis looks for what refers to its
    random generators when it first uses them, so it does that before.
    """
    given(st.none())(lambda _: None)()
    gc.collect()
    gc.freeze()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    if request.node.get_closest_marker("virtual_time"):
        return request.param, virtual_time(request.param)
    return request.param


@pytest.fixture
def uncollected():
    """Keeps the garbage collector, whose time depends on the whole process, out of what a test measures."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
