"""OrchestratorAgent: workers as tools."""

import json

import anyio
import pytest

from aimu import aio
from aimu._core.messages import check_history
from aimu._core.reply import Usage
from aimu.aio import OrchestratorAgent, Parallel, StreamingContentType
from aimu.errors import InvalidOptionError, ToolNameClashError
from aimu.testing import reply
from aimu.tools import tool
from tests.workflows.models import agent, asked, live, model, read, requests_of, text_by


def boss(*calls, then="All in all: done."):
    """Make an answer that calls all given workers in one iteration, then answers."""

    def answer(request):
        if request.messages[-1]["role"] == "tool":
            return then
        return reply(calls=[(name, {"task": task}) for name, task in calls])

    return answer


def team(provider, *names, **fields):
    return OrchestratorAgent.assemble(
        aio.client(provider), "boss", workers=[agent(provider, name) for name in names], **fields
    )


async def test_each_worker_is_a_tool_with_its_name_and_the_first_line_of_its_system_message():
    provider = model({"boss": boss(("data_mining", "dig"))})
    worker = agent(provider, "Finds things.\nAlways.", "data mining")
    orchestrator = OrchestratorAgent.assemble(aio.client(provider), "boss", workers=[worker])
    assert await orchestrator.run("find it") == "All in all: done."
    (schema,) = requests_of(provider, "boss")[0].tools
    assert schema["function"]["name"] == "data_mining"
    assert schema["function"]["description"] == "Finds things."
    assert schema["function"]["parameters"]["required"] == ["task"]
    assert schema["function"]["parameters"]["properties"]["task"]["description"]
    assert orchestrator.messages["orchestrator"][3]["content"] == "Finds things.\nAlways.(dig)"
    assert orchestrator.messages["data mining"][-1]["content"] == "Finds things.\nAlways.(dig)"


async def test_calls_of_one_iteration_overlap_and_each_has_its_own_conversation():
    both = [anyio.Event(), anyio.Event()]

    @tool
    async def meet(me: int) -> str:
        """Wait for the other call, then return."""
        both[me].set()
        await both[1 - me].wait()
        return "met"

    def worker(request):
        if request.messages[-1]["role"] == "tool":
            return f"done {asked(request)}"
        return reply(calls=[("meet", {"me": int(asked(request))})])

    provider = model({"boss": boss(("w", "0"), ("w", "1")), "w": worker})
    orchestrator = OrchestratorAgent.assemble(
        aio.client(provider), "boss", workers=[agent(provider, "w", tools=[meet])]
    )
    with anyio.fail_after(5):
        await orchestrator.run("both")
    results = [message["content"] for message in orchestrator.messages["orchestrator"] if message["role"] == "tool"]
    assert results == ["done 0", "done 1"]
    assert list(orchestrator.messages) == ["orchestrator", "w", "w#2"]
    assert sorted(history[-1]["content"] for history in list(orchestrator.messages.values())[1:]) == results
    for request in requests_of(provider, "w"):
        assert sum(message["role"] == "user" for message in request.messages) == 1


@pytest.mark.parametrize("concurrent", [True, False])
@pytest.mark.parametrize("way", [read, live])
async def test_the_stream_labels_chunks_of_workers_with_the_keys_of_messages(way, concurrent):
    provider = model({"boss": boss(("w", "one"), ("v", "two"), ("w", "three"))})
    orchestrator = team(provider, "w", "v", concurrent_tool_calls=concurrent)
    chunks = await way(orchestrator.run("go", stream=True))
    assert set(text_by(chunks)) == {"w", "v", "w#2", "orchestrator"} == set(orchestrator.messages)
    for name, text in text_by(chunks).items():
        assert orchestrator.messages[name][-1]["content"] == text
    assert [chunk.phase for chunk in chunks].count(StreamingContentType.DONE) == 1


async def test_a_worker_streams_live_while_another_one_thinks():
    slow = reply("late", delay=1000)
    provider = model({"boss": boss(("slow", "a"), ("fast", "b")), "slow": slow, "fast": "quick words"})
    orchestrator = team(provider, "slow", "fast")
    async with orchestrator.run("go", stream=True) as stream:
        async for chunk in stream:
            if chunk.content == "words":
                break
    for history in orchestrator.messages.values():
        check_history(history)
    assert orchestrator.messages["fast"][-1]["content"] == "quick words"
    results = [message for message in orchestrator.messages["orchestrator"] if message["role"] == "tool"]
    assert results[0]["status"] == "cancelled"


async def test_only_the_calls_of_the_latest_run_are_kept():
    provider = model({"boss": boss(("w", "a"), ("w", "b"))})
    orchestrator = team(provider, "w")
    assert list(orchestrator.messages) == ["orchestrator", "w"]
    for _ in range(3):
        await orchestrator.run("go")
        assert list(orchestrator.messages) == ["orchestrator", "w", "w#2"]
        assert [len(history) for history in orchestrator.messages.values()][1:] == [3, 3]


async def test_workers_with_the_same_name_in_two_orchestrators_are_told_apart():
    provider = model({"boss": boss(("w", "a"), ("w", "b"))})
    both = Parallel([team(provider, "w"), team(provider, "w")])
    chunks = await live(both.run("go", stream=True))
    keys = ["orchestrator", "w", "w#2", "orchestrator_2", "w_2", "w_2#2"]
    assert list(both.messages) == keys
    assert sorted(text_by(chunks)) == sorted(keys)
    for chunk in chunks[:-1]:
        assert both.messages[chunk.agent]


async def test_the_usage_of_a_stream_includes_the_workers():
    usage = Usage(input=10, output=1)
    answer = boss(("w", "a"))
    provider = model({"boss": answer, "w": reply("x", usage=usage)})
    stream = team(provider, "w").run("go", stream=True)
    await live(stream)
    assert stream.usage == usage


async def test_a_failing_worker_is_reported_to_the_orchestrator():
    provider = model({"boss": boss(("w", "a")), "w": ValueError("no luck")})
    orchestrator = team(provider, "w")
    assert await orchestrator.run("go") == "All in all: done."
    assert "no luck" in orchestrator.messages["orchestrator"][3]["content"]


def test_two_workers_with_the_same_name_are_refused_by_the_constructor():
    with pytest.raises(ToolNameClashError, match="worker 'the same', one from worker 'the_same'"):
        team(model(), "the same", "the_same")


async def test_workers_with_invalid_tool_names_become_numbered_tools():
    provider = model({"boss": boss(("worker_1", "a"), ("worker_2", "b"))})
    orchestrator = team(provider, "研究者", "作家")
    assert await orchestrator.run("go") == "All in all: done."
    assert list(orchestrator.messages) == ["orchestrator", "研究者", "作家"]
    assert orchestrator.messages["作家"][-1]["content"] == "作家(b)"


class Newsroom(OrchestratorAgent):
    """An orchestrator written as the reference page says."""

    def __init__(self, client):
        self.reporter = aio.Agent(client, "report", "reporter")

        @tool
        async def ask_reporter(story: str) -> str:
            """Send the reporter out."""
            return await self.reporter.run(story)

        self._init_orchestrator(client, name="editor", system_message="edit", tools=[ask_reporter])


@pytest.mark.parametrize("way", [read, live])
async def test_a_subclass_can_make_its_own_workers_and_tools(way):
    def editor(request):
        if request.messages[-1]["role"] == "tool":
            return "Printed."
        return reply(calls=[("ask_reporter", {"story": "fire"})])

    newsroom = Newsroom(aio.client(model({"edit": editor})))
    assert await newsroom.run("news") == "Printed."
    assert list(newsroom.messages) == ["editor", "reporter"]
    chunks = await way(newsroom.run("more", stream=True))
    assert text_by(chunks) == {"reporter": "report(fire)", "editor": "Printed."}
    assert newsroom.name == "editor"
    assert json.dumps(newsroom.messages)


async def test_chunks_of_workers_of_two_subclasses_carry_the_keys_of_messages():
    def editor(request):
        if request.messages[-1]["role"] == "tool":
            return "Printed."
        return reply(calls=[("ask_reporter", {"story": "fire"})])

    client = aio.client(model({"edit": editor}))
    both = Parallel([Newsroom(client), Newsroom(client)])
    chunks = await live(both.run("news", stream=True))
    assert set(text_by(chunks)) == {"editor", "reporter", "editor_2", "reporter_2"} == set(both.messages)


async def test_the_error_says_that_a_subclass_did_not_call_init():
    class Empty(OrchestratorAgent):
        pass

    with pytest.raises(InvalidOptionError, match=r"Empty.__init__ must call self._init_orchestrator"):
        await Empty().run("x")
