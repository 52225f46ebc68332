"""A sync validator that blocks: the loop goes on, and no run ends before its validator has."""

import threading
import time
from functools import partial

import anyio
import pytest
from anyio import from_thread

import aimu
from aimu.errors import OutputError
from aimu.testing import ScriptedProvider
from tests.holding import Hold, until
from tests.output.kinds import Cat
from tests.output.test_runs import CAT, WAYS, agent_of, entered


@WAYS
async def test_the_loop_goes_on_while_a_sync_validator_blocks(way):
    threads = []
    async with anyio.create_task_group() as group:
        with Hold() as hold:

            def check(cat):
                threads.append(threading.current_thread())
                hold()

            async def release():
                await until(hold.reached.is_set)
                hold.released.set()

            group.start_soon(release)
            answer = await way(agent_of(CAT)[0], output_type=Cat, output_validator=check)
    assert answer.output.lives == 3
    assert threads[0] is not threading.current_thread()


@WAYS
@pytest.mark.parametrize("stop", ["timeout", "cancel"])
@pytest.mark.parametrize("accepts", [True, False])
async def test_a_run_that_is_stopped_waits_for_its_validator(way, stop, accepts):
    ended = []
    agent, _ = agent_of(CAT, CAT)
    scope = anyio.CancelScope()
    options = {"timeout": 1} if stop == "timeout" else {}  # s; time enough to reach the validator
    answer = failure = None
    async with anyio.create_task_group() as group:
        with Hold() as hold:

            def check(cat):
                hold()
                ended.append(cat.lives)
                if not accepts:
                    raise ValueError("it is late")

            async def release():
                await until(hold.reached.is_set)
                if stop == "cancel":
                    scope.cancel()
                await anyio.sleep(1.1 if stop == "timeout" else 0.3)
                assert not ended
                hold.released.set()

            group.start_soon(release)
            with scope:
                try:
                    answer = await way(agent, output_type=Cat, output_validator=check, **options)
                except TimeoutError as exc:
                    failure = exc
    last = {"role": "assistant", "content": CAT}
    assert (ended, agent.model_client.conversation.busy) == ([3], False)
    assert agent.history[-1] == (last if accepts else {**last, "stop_reason": "interrupted"})
    if accepts:  # an answer that was accepted is kept; who reads an entered stream is cancelled like any reader
        assert (answer, failure) == (None if way is entered and stop == "cancel" else CAT, None)
    else:
        assert (answer, isinstance(failure, TimeoutError)) == (None, stop == "timeout")


@WAYS
async def test_a_sync_validator_that_polls_stops_with_the_run(way):
    def check(cat):
        while True:
            from_thread.check_cancelled()

    agent, _ = agent_of(CAT)
    with pytest.raises(TimeoutError, match="did not end within"):
        await way(agent, output_type=Cat, output_validator=check, timeout=0.1)
    assert agent.history[-1] == {"role": "assistant", "content": CAT, "stop_reason": "interrupted"}


@pytest.mark.parametrize("stream", [False, True])
def test_in_a_sync_call_it_runs_on_the_callers_thread(stream):
    threads = []

    def check(cat):
        threads.append(threading.current_thread())
        raise ValueError("no")

    agent = aimu.agents.Agent(aimu.client(ScriptedProvider(CAT)))
    run = partial(agent.run, "Go.", output_type=Cat, output_validator=check, output_retries=0, stream=stream)
    with pytest.raises(OutputError):
        list(run())
    assert threads == [threading.current_thread()]


def test_in_a_sync_call_a_timeout_waits_for_it_too():
    def check(cat):
        time.sleep(0.1)
        if cat.lives == 3:
            raise ValueError("it is late")

    provider = ScriptedProvider(CAT, repeat=True)
    agent = aimu.agents.Agent(aimu.client(provider))
    with pytest.raises(TimeoutError, match="did not end within"):
        agent.run("Go.", output_type=Cat, output_validator=check, output_retries=99, timeout=0.05)
    assert len(provider.requests) <= 3
    assert agent.history[-1] == {"role": "assistant", "content": CAT, "stop_reason": "interrupted"}
    provider.steps = ['{"kind": "cat"}']
    assert agent.run("Go.", output_type=Cat, output_validator=check, timeout=0.05).output.lives == 9
