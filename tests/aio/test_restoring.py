"""Histories that are loaded again, of one agent and of whole teams, and runs that continue them."""

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

import aimu
from aimu import aio
from aimu._core.messages import check_history
from aimu.aio import AsyncRunner
from aimu.errors import (
    BusyConversationError,
    InvalidHistoryError,
    InvalidOptionError,
    NothingToResumeError,
    ProviderError,
)
from aimu.testing import ScriptedProvider, reply
from aimu.tools import tool
from aimu.types import Answer
from tests.aio.team import answers, loaded, team
from tests.workflows.models import agent, model, read

ROOT = Path(__file__).resolve().parents[2]
ASKED = {"role": "user", "content": "Do it."}
CUT = {"role": "assistant", "content": "I was", "interrupted": True}
CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
CALLED = [ASKED, {"role": "assistant", "content": "", "tool_calls": [CALL]}]
SEEN = {"role": "tool", "tool_call_id": "c", "name": "look", "content": "seen"}
DONE = {"role": "assistant", "content": "Done."}


def alone(*steps, **fields):
    provider = ScriptedProvider(*steps)
    return provider, aio.Agent(aio.client(provider, system="Be brief."), name="clerk", **fields)


# --- teams ---


async def test_a_team_is_saved_loaded_in_a_fresh_process_and_resumed():
    provider = model(answers() | {"last": ProviderError("down")})
    runner = team(provider)
    with pytest.raises(ProviderError):
        await runner.run("Tides.")
    runner.agents[-1].history = [*runner.agents[-1].history, ASKED]  # the question that was not answered
    saved = json.dumps(runner.messages)
    assert {"sort", "voice", "voice_2", "voice_3", "lead", "search", "search#2", "write", "judge", "last"} == {
        *json.loads(saved)
    }
    done = await anyio.to_thread.run_sync(
        lambda: subprocess.run(
            [sys.executable, "-m", "tests.aio.team"], input=saved, capture_output=True, text=True, timeout=120, cwd=ROOT
        )
    )
    assert (done.stdout, done.stderr) == ("10\n", "")
    assert await loaded(json.loads(saved)) == 10


async def test_runners_without_a_key_keep_their_histories():
    runner = team(model(answers()))
    await runner.run("Tides.")
    before = json.loads(json.dumps(runner.messages))
    runner.messages = {"last": [ASKED]}
    assert runner.messages == before | {"last": [before["last"][0], ASKED]}
    runner.messages = {}
    runner.messages = runner.messages


@pytest.mark.parametrize(
    ("saved", "error", "words"),
    [
        ({"last": [ASKED], "lats": [ASKED]}, InvalidOptionError, "no runner is named 'lats'; the names are: 'sort', "),
        ({"last": [ASKED], "last#2": [ASKED]}, InvalidOptionError, "no runner is named 'last#2'"),
        ({"last": [ASKED], "search#3": [ASKED]}, InvalidOptionError, "numbered without gaps, got: 'search#3'"),
        ({"last": [ASKED], 7: [ASKED]}, InvalidOptionError, "no runner is named 7"),
        ({"last": [ASKED], "judge": "text"}, InvalidOptionError, "history of 'judge' must be a list of dicts, got str"),
        ({"last": [ASKED], "judge": {}}, InvalidOptionError, "history of 'judge' must be a list of dicts, got dict"),
        ({"last": [ASKED], "judge": CALLED}, InvalidHistoryError, r"messages\[1\] has the tool call 'c'"),
        ([ASKED], InvalidOptionError, "must be a dict of histories by the names of the runners, got list"),
    ],
)
async def test_what_cannot_be_loaded_changes_no_history(saved, error, words):
    runner = team(model(answers()))
    await runner.run("Tides.")
    before = json.loads(json.dumps(runner.messages))
    with pytest.raises(error, match=words) as caught:
        runner.messages = saved
    if error is InvalidHistoryError:
        assert caught.value.__notes__ == ["in the history of 'judge'"]
    assert runner.messages == before


async def test_a_team_that_is_busy_loads_nothing():
    asked, go = anyio.Event(), anyio.Event()

    class Slow:
        spec = ScriptedProvider().spec

        async def complete(self, request):
            asked.set()
            await go.wait()
            return await ScriptedProvider("Late.").complete(request)

        def stream(self, request):
            raise AssertionError

        async def aclose(self):
            pass

    first, second = agent(model(), "one"), agent(Slow(), "two")
    chain = aio.Chain([first, second])
    async with anyio.create_task_group() as group:
        group.start_soon(second.run, "Go.")
        await asked.wait()
        with pytest.raises(BusyConversationError, match="the conversation of agent 'two' is busy"):
            chain.messages = {"one": [ASKED], "two": [ASKED]}
        assert chain.messages == {"one": first.history, "two": second.history}
        assert len(first.history) == 1
        go.set()
    chain.messages = {"one": [ASKED], "two": [ASKED]}
    assert first.history[1:] == second.history[1:] == [ASKED]


async def test_a_users_own_runner_gets_its_histories_back_if_it_can_take_them():
    class Own(AsyncRunner):
        def __init__(self):
            self.kept = {"own": []}

        @property
        def messages(self):
            return self.kept

        async def run(self, task, generate_kwargs=None, stream=False, images=None):
            return task

    class Settable(Own):
        @property
        def messages(self):
            return self.kept

        @messages.setter
        def messages(self, saved):
            self.kept = saved

    own, other = Settable(), agent(model(), "one")
    chain = aio.Chain([other, own])
    chain.messages = {"own": [ASKED], "one": [ASKED]}
    assert own.kept == {"own": [ASKED]}
    assert other.history[1:] == [ASKED]
    chain = aio.Chain([other, Own()])
    with pytest.raises(InvalidOptionError, match="Own cannot take its histories back; give its property `messages`"):
        chain.messages = {"one": [], "own": [ASKED]}
    assert other.history[1:] == [ASKED]


def test_sync_teams_load_histories_too():
    provider = model()
    client = aimu.client(provider)

    class Own(aimu.agents.Runner):
        kept = None

        @property
        def messages(self):
            return {"own": self.kept or []}

        @messages.setter
        def messages(self, saved):
            self.kept = saved["own"]

        def run(self, task, generate_kwargs=None, stream=False, images=None):
            return task

    clerk = aimu.agents.Agent(client, "Be brief.", "clerk")
    own = Own()
    chain = aimu.agents.Chain([clerk, own, aimu.agents.Parallel.from_client(client, ["a", "b"])])
    chain.messages = {"clerk": [ASKED, DONE], "own": [ASKED], "worker_2": [ASKED]}
    assert clerk.history == [{"role": "system", "content": "Be brief."}, ASKED, DONE]
    assert own.kept == [ASKED]
    assert chain.messages["worker_2"][1:] == [ASKED]
    clerk.history = [ASKED]
    assert clerk.resume() == "Be brief.(Do it.)"
    with pytest.raises(InvalidOptionError, match="no runner is named 'x'"):
        chain.messages = {"x": []}


def test_a_sync_team_loads_nothing_if_a_users_own_runner_cannot_take_its_histories_back():
    class Fixed(aimu.agents.Runner):
        @property
        def messages(self):
            return {"own": []}

        def run(self, task, generate_kwargs=None, stream=False, images=None):
            return task

    class Refusing(Fixed):
        @property
        def messages(self):
            return {"own": []}

        @messages.setter
        def messages(self, saved):
            raise ValueError("not these")

    clerk = aimu.agents.Agent(aimu.client(model()), None, "clerk")
    for own, error, words in (
        (Fixed(), InvalidOptionError, "Fixed cannot take its histories back"),
        (Refusing(), ValueError, "not these"),
    ):
        for agents in ([clerk, own], [own, clerk]):
            with pytest.raises(error, match=words):
                aimu.agents.Chain(agents).messages = {"clerk": [ASKED], "own": [ASKED]}
            assert clerk.history == []


async def test_a_workflow_without_runners_has_no_histories():
    _, clerk = alone()
    emptied = aio.Chain([agent(model(), "gone")])
    emptied.agents.clear()
    assert emptied.messages == {}
    emptied.messages = {}
    assert list(aio.Parallel([emptied, clerk]).messages) == ["clerk"]


# --- one agent ---


async def test_the_history_of_an_agent_is_its_own_list():
    _, clerk = alone("Done.")
    assert clerk.history is clerk.model_client.messages
    clerk.history = [ASKED, DONE]
    assert clerk.messages == {"clerk": clerk.history}
    assert clerk.history == [{"role": "system", "content": "Be brief."}, ASKED, DONE]
    clerk.history = [{"role": "system", "content": "Be long."}, ASKED]
    assert clerk.system_message == "Be long."
    with pytest.raises(InvalidOptionError, match=r"assign the dict to runner\.messages"):
        clerk.history = clerk.messages


async def test_loaded_messages_hold_plain_texts():
    _, clerk = alone()
    clerk.history = [{"role": "user", "content": Answer("Hi")}, {"role": "assistant", "content": Answer("Hello")}]
    clerk.messages = {"clerk": [{"role": "user", "content": [{"type": "text", "text": Answer("Hi")}]}]}
    assert type(clerk.history[1]["content"][0]["text"]) is str


# --- resuming ---


@pytest.mark.parametrize("how", ["plain", "bare", "entered"])
@pytest.mark.parametrize(
    ("history", "prompted"),
    [
        ([ASKED], False),
        ([*CALLED, SEEN], False),
        ([*CALLED, {**SEEN, "status": "cancelled", "stop_reason": "interrupted"}], False),
        ([ASKED, CUT], True),
        ([ASKED, {**DONE, "stop_reason": "iteration_limit"}], True),
        ([ASKED, {"role": "assistant", "content": "", "stop_reason": "empty"}], True),
    ],
)
async def test_resuming_sends_the_history_as_it_stands(history, prompted, how):
    provider, clerk = alone("Done.", continuation_prompt="Go on!")
    clerk.history = history
    given = list(clerk.history)
    sent = [*given, {"role": "user", "content": "Go on!"}] if prompted else given
    if how == "plain":
        answer = await clerk.resume(generate_kwargs={"seed": 1})
    else:
        stream = clerk.resume(stream=True, generate_kwargs={"seed": 1}, include=["generating", "done"])
        if how == "entered":
            async with stream:
                chunks = await read(stream)
        else:
            chunks = await read(stream)
        assert [chunk.agent for chunk in chunks] == ["clerk"] * 2
        answer = stream.result
    assert (answer, answer.agent) == ("Done.", "clerk")
    assert provider.requests[0].messages == sent
    assert provider.requests[0].options == {"seed": 1}
    assert clerk.history == [*sent, DONE]
    assert answer.new_messages == clerk.history[len(given) :]
    with pytest.raises(NothingToResumeError, match="the last turn has its final answer; give the agent a task"):
        await clerk.resume()


async def test_a_resumed_run_calls_tools_as_any_other():
    @tool
    def look() -> str:
        """Look."""
        return "seen"

    _, clerk = alone(reply(calls=[("look", {})]), "Done.", tools=[look])
    clerk.history = [ASKED]
    answer = await clerk.resume()
    assert (answer, answer.requests, answer.iterations) == ("Done.", 2, 2)
    check_history(clerk.history)


async def test_an_agent_without_a_turn_has_nothing_to_resume():
    provider, clerk = alone(reset_messages_on_run=True)
    with pytest.raises(NothingToResumeError, match="the history has no messages yet"):
        await clerk.resume()
    stream = clerk.resume(stream=True)
    with pytest.raises(NothingToResumeError):
        await read(stream)
    assert not clerk.model_client.conversation.busy
    assert provider.requests == []


async def test_resuming_does_not_reset_the_history():
    provider, clerk = alone("Done.", reset_messages_on_run=True)
    clerk.history = [ASKED, CUT]
    await clerk.resume()
    assert provider.requests[0].messages[1:3] == [ASKED, CUT]


async def test_a_run_that_was_cut_off_is_resumed():
    started = anyio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        started.set()
        await anyio.sleep_forever()
        raise AssertionError

    provider, clerk = alone(reply("Let me see.", calls=[("wait", {})]), "Never mind.", tools=[wait])
    async with anyio.create_task_group() as group:
        group.start_soon(clerk.run, "Do it.")
        await started.wait()
        group.cancel_scope.cancel()
    await checkpoint()
    assert await clerk.resume() == "Never mind."
    assert provider.requests[1].messages[-1]["status"] == "cancelled"


async def test_an_agent_whose_client_has_a_chat_of_its_own_resumes_beneath_it():
    class Client(aio.AsyncModelClient):
        def chat(self, *args, **kwargs):
            raise AssertionError

    provider = ScriptedProvider("Done.")
    clerk = aio.Agent(Client(provider), name="clerk")
    clerk.history = [ASKED]
    assert await clerk.resume() == "Done."


@pytest.mark.virtual_time
async def test_resuming_ends_at_its_timeout():
    _, clerk = alone(reply("Late.", delay=10))
    clerk.history = [ASKED]
    with pytest.raises(TimeoutError, match="the run of 'clerk' did not end within 1 seconds"):
        await clerk.resume(timeout=1)
    assert clerk.history[1:] == [ASKED]
