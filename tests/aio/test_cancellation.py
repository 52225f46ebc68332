"""A run that is stopped anywhere leaves a valid and true history, a usable conversation, and nothing else behind."""

from functools import partial

import pytest

from aimu.testing import cancel_everywhere
from tests.aio.scenarios import MODES, STREAMED, AgentScenario, stop_at_every_chunk

MINIMUM = {"plain": 12, "bare": 22, "held": 22, "entered": 40, "slow": 270, "ticked": 12}
WAYS = [("asyncio", "scope"), ("asyncio", "native"), ("trio", "scope")]


@pytest.mark.parametrize(("backend", "how"), WAYS)
@pytest.mark.parametrize("concurrent", [False, True], ids=["sequential", "concurrent"])
@pytest.mark.parametrize("mode", MODES)
def test_a_run_cancelled_at_any_step_leaves_a_valid_and_true_history(mode, concurrent, backend, how):
    make = partial(AgentScenario, mode, concurrent=concurrent)
    make.__qualname__ = f"agent, {mode}, {'concurrent' if concurrent else 'sequential'} tools"
    cancel_everywhere(make, backend=backend, how=how, minimum=MINIMUM[mode])


@pytest.mark.parametrize(("backend", "how"), WAYS)
@pytest.mark.parametrize("mode", ["plain", "bare", "entered"])
def test_a_run_cancelled_at_any_step_can_be_resumed(mode, backend, how):
    make = partial(AgentScenario, mode, concurrent=True, resuming=True)
    make.__qualname__ = f"agent, {mode}, resumed"
    cancel_everywhere(make, backend=backend, how=how, minimum=MINIMUM[mode])


@pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")  # trio, bare form only
@pytest.mark.parametrize("raising", [False, True], ids=["break", "raise"])
@pytest.mark.parametrize("concurrent", [False, True], ids=["sequential", "concurrent"])
@pytest.mark.parametrize("mode", STREAMED)
async def test_a_stream_left_at_any_chunk_leaves_a_valid_and_true_history(mode, concurrent, raising):
    def make(n):
        return AgentScenario(mode, concurrent=concurrent, stop_at=n, raising=raising)

    points = await stop_at_every_chunk(make)
    print(f"agent, {mode}: left at {points} chunks")
    assert points >= 18
