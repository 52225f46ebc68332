"""Runners as tools of a server: what they report, who they are, and how they end."""

import anyio
import pytest

import aimu
from aimu import agents, aio
from aimu.errors import ToolError
from aimu.testing import ScriptedProvider, leak_check, reply, scripted_client
from aimu.tools import current_call, serve_mcp, tool
from aimu.types import StreamChunk, StreamingContentType

TASK = {"task": "Go."}


@tool
def look(where: str) -> str:
    """Look."""
    current_call().progress(1, 2, "nearly")
    return f"seen {where}"


async def heard(runner, answer):
    """Return the messages of the progress of one run over MCP, whose numbers must grow."""
    updates = []
    async with aio.MCPClient(server=serve_mcp(runner)) as mcp:
        assert await mcp.call_tool("run", TASK, on_progress=lambda *update: updates.append(update)) == answer
    numbers = [number for number, _, _ in updates]
    assert numbers == list(range(1, len(updates) + 1))
    return [message for _, _, message in updates]


def looking(answer):
    return ScriptedProvider(reply("Let me see.", calls=[("look", {"where": "there"})]), answer)


async def test_a_run_reports_its_calls_its_text_by_lines_and_the_progress_of_its_tools():
    agent = aio.Agent(aio.client(looking("First line.\nSecond line.")), name="sage", tools=[look])
    assert await heard(agent, "First line.\nSecond line.") == [
        "sage: Let me see.",
        "sage: calls look",
        "1 of 2: nearly",
        "sage: First line.",
        "sage: Second line.",
    ]


async def test_a_long_line_is_reported_in_pieces_that_add_up():
    text = " ".join(f"word{number}" for number in range(100))
    messages = await heard(aio.Agent(scripted_client(text), name="sage"), text)
    assert len(messages) > 4
    assert all(len(message) <= 130 for message in messages)
    assert " ".join(message.removeprefix("sage: ") for message in messages) == text


async def test_the_runners_of_a_workflow_are_told_apart():
    chain = aio.Chain([aio.Agent(scripted_client("one"), name="a"), aio.Agent(scripted_client("two"), name="b")])
    assert await heard(chain, "two") == ["a: one", "b: two"]
    both = aio.Parallel([aio.Agent(scripted_client("one"), name="a"), aio.Agent(scripted_client("two"), name="b")])
    assert sorted(await heard(both, "one\n\n---\n\ntwo")) == ["a: one", "b: two"]


class Own(aio.AsyncRunner):
    messages = {}  # noqa: RUF012 - it has none

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        async def chunks():
            for text in ("He", "llo.\nBye."):
                yield StreamChunk(StreamingContentType.GENERATING, text)

        return chunks() if stream else "Hello.\nBye."


class OwnSync(agents.Runner):
    messages = {}  # noqa: RUF012 - it has none

    def run(self, task, generate_kwargs=None, stream=False, images=None):
        return "Hello.\nBye."


async def test_users_own_runners_are_served_too():
    assert await heard(Own(), "Hello.\nBye.") == ["Hello.", "Bye."]
    assert await heard(OwnSync(), "Hello.\nBye.") == []


async def test_a_sync_agent_is_served_without_blocking_the_server():
    agent = agents.Agent(aimu.client(looking("Done.")), name="sage", tools=[look])
    assert await heard(agent, "Done.") == ["sage: Let me see.", "sage: calls look", "1 of 2: nearly", "sage: Done."]


@pytest.mark.parametrize("protocol", ["legacy", "auto"])
async def test_a_run_is_cancelled_with_its_call_and_leaves_a_valid_history(protocol):
    began, ended = anyio.Event(), []

    @tool
    async def wait() -> str:
        """Wait."""
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("wait")
        return ""

    agent = aio.Agent(scripted_client(reply(calls=[("wait", {})]), "Again."), name="sage", tools=[wait])
    async with leak_check(), aio.MCPClient(server=serve_mcp(agent), protocol=protocol) as mcp:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(mcp.call_tool, "run", TASK)
                await began.wait()
                scope.cancel()
        assert ended == ["wait"]
        assert [message["role"] for message in agent.history] == ["user", "assistant", "tool"]
        assert await mcp.call_tool("run", {"task": "And now?"}) == "Again."


async def test_a_run_that_fails_is_an_error_result_and_bad_tasks_are_refused():
    agent = aio.Agent(scripted_client(ZeroDivisionError("no luck")), name="sage")
    async with aio.MCPClient(server=serve_mcp(agent)) as mcp:
        with pytest.raises(ToolError, match="no luck"):
            await mcp.call_tool("run", TASK)
        with pytest.raises(ToolError, match="blank"):
            await mcp.call_tool("run", {"task": " "})
        with pytest.raises(ToolError, match="task: required, but missing"):
            await mcp.call_tool("run")
