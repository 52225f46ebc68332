"""Many agents at once over HTTP, while requests fail: all of them are right, and nothing is left open.

`AIMU_AGENTS=1000` says how many; `benchmarks/over_http.py` measures what a thousand cost.
"""

import logging
import os

import anyio
import httpx2
import pytest

from aimu import aio
from aimu.models._spec import ModelSpec
from aimu.providers import make_provider
from aimu.testing import leak_check
from aimu.tools import tool
from tests.loopback import loopback_server

AGENTS = int(os.environ.get("AIMU_AGENTS", "200"))


@pytest.fixture(scope="module")
def address():
    with loopback_server() as found:
        yield found


@tool
async def double(number: int) -> str:
    """Twice a number."""
    return str(2 * number)


def client(url, **options):
    provider = make_provider(ModelSpec("20", "openai"), base_url=url, api_key="k", **options)
    return aio.client(provider, max_retries=10, tools=[double])


async def each_answers(shared, ask):
    """`ask` of many agents of one client at once, each with a question of its own."""
    answers = {}

    async def one(number):
        agent = aio.Agent(shared)
        answers[number] = await ask(agent, str(number))
        assert [message["role"] for message in agent.model_client.messages] == [
            "user",
            "assistant",
            "tool",
            "assistant",
        ]

    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            for number in range(AGENTS):
                group.start_soon(one, number)
    return answers


async def plain(agent, question):
    return await agent.run(question)


async def pulled(agent, question):
    stream = agent.run(question, stream=True)
    async for _ in stream:
        pass
    return stream.result


async def entered(agent, question):
    async with agent.run(question, stream=True) as stream:
        async for _ in stream:
            pass
    return stream.result


@pytest.mark.parametrize("ask", [plain, pulled, entered])
async def test_all_agents_are_right_though_one_request_in_twenty_fails(address, ask, caplog):
    caplog.set_level(logging.INFO, "aimu.aio")
    right = [str(2 * number) for number in range(AGENTS)]
    async with client(f"{address}/ok/v1") as first:  # creates what lives as long as the event loop
        assert await first.generate("hello") == "hello"
    async with leak_check():
        async with client(f"{address}/5/v1") as shared:
            answers = await each_answers(shared, ask)
    assert [answers[number] for number in range(AGENTS)] == right
    assert "retry 1 of 10" in caplog.text


async def test_agents_work_through_a_users_http_client_with_hooks_and_a_proxy(address):
    seen = []

    async def note(response):
        seen.append((response.request.headers["x-mine"], response.status_code))

    async with httpx2.AsyncClient(
        proxy=address, event_hooks={"response": [note]}, headers={"x-mine": "1"}, timeout=60
    ) as http:
        async with client("http://elsewhere.invalid/ok/v1", http_client=http) as shared:
            assert await aio.Agent(shared).run("21") == "42"
        assert not http.is_closed
    assert seen == [("1", 200)] * 2
