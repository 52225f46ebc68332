"""Providers against servers of other projects, all of which serve the embedded model."""

import random

import anyio
import pytest

import aimu
from aimu import aio
from aimu._core.messages import check_history
from aimu.aio import StreamingContentType
from aimu.errors import ProviderError
from aimu.testing import tiny_model
from aimu.tools import tool

pytestmark = pytest.mark.real_servers

# Under the names that users would reach them with.
SERVERS = {
    "hf-openai": "transformers_serve",
    "vllm": "transformers_serve",
    "openai": "transformers_serve",
    "anthropic": "litellm",
    "llamaserver": "llama_cpp_server",
}
EVERY = pytest.mark.parametrize(("provider", "server"), SERVERS.items())
WITH_CALLS = pytest.mark.parametrize(
    ("provider", "server"), [item for item in SERVERS.items() if item[1] != "llama_cpp_server"]
)
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
STORY, PRIME, HELLO = "Tell me a story.", "Is 7 a prime number?", "Say hello."
SYSTEM = "You are a careful agent."


@pytest.fixture(scope="module")
def answers():
    """`(thinking, text)` of the model in this process, by question."""
    with aimu.client(f"hf:{tiny_model()}", threads=1) as weights:
        client = weights.fork()
        found = {}
        for question in (STORY, PRIME, HELLO):
            text = client.chat(question)
            found[question] = client.last_thinking, text
            client.reset()
    return found


async def ask(runner, question, streamed):
    """The answer, and the phases in their order."""
    asked = runner.run if hasattr(runner, "run") else runner.chat
    if not streamed:
        return await asked(question), []
    phases, text = [], ""
    async with asked(question, stream=True) as stream:
        async for chunk in stream:
            if chunk.phase not in phases[-1:]:
                phases.append(chunk.phase)
            text += chunk.content if chunk.is_text() else ""
    assert text.endswith(stream.result)
    return stream.result, phases


@EVERY
@STREAMED
async def test_an_answer_is_that_of_the_model_in_this_process(client_of, answers, provider, server, streamed):
    async with client_of(provider, server) as client:
        for question in (HELLO, STORY):
            assert (await ask(client, question, streamed))[0] == answers[question][1]
            if (server, streamed) != ("llama_cpp_server", True):  # which does not say
                assert client.last_usage.input > 0
                assert client.last_usage.output > 0
            client.reset()


@EVERY
@STREAMED
async def test_thinking_is_told_from_the_answer(client_of, answers, provider, server, streamed):
    async with client_of(provider, server) as client:
        text, phases = await ask(client, PRIME, streamed)
        # Streaming, the server leaves the blanks between the two in the text, and these providers take it at its word.
        if streamed and provider in ("openai", "anthropic"):
            text = text.removeprefix("\n\n")
        assert (client.last_thinking.strip(), text) == answers[PRIME]
        if streamed:
            assert phases == [
                StreamingContentType.THINKING,
                StreamingContentType.GENERATING,
                StreamingContentType.DONE,
            ]
        # Thoughts of a turn before this one go back, or do not, as the server wants it.
        assert await client.chat(HELLO) == answers[HELLO][1]


@pytest.mark.parametrize("provider", ["hf-openai", "vllm"])
@STREAMED
async def test_thinking_is_switched_off_where_the_template_can(client_of, answers, provider, streamed):
    assert answers[PRIME][0].strip()  # it thinks when nothing is said
    async with client_of(provider, "transformers_serve", generate_kwargs={"thinking": False}) as client:
        await ask(client, PRIME, streamed)
        assert not client.last_thinking.strip()  # streaming, the server sends the blanks of the empty block


@WITH_CALLS
@STREAMED
async def test_an_agent_calls_a_tool_and_answers_with_its_result(client_of, provider, server, streamed):
    calls = []

    @tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        calls.append((a, b))
        return a + b

    async with client_of(provider, server) as client:
        agent = aio.Agent(client, SYSTEM, tools=[add])
        for _ in range(3):  # in one conversation: calls and results of former turns go back too
            a, b = numbers = random.randint(10, 99), random.randint(10, 99)
            answer, _ = await ask(agent, f"What is {a} plus {b}?", streamed)
            assert answer == f"The answer is {a + b}."
            assert calls.pop() == numbers
            assert not calls
        check_history(agent.model_client.messages)


@WITH_CALLS
@STREAMED
async def test_two_calls_of_one_round_run_at_once(client_of, provider, server, streamed):
    begun, both = [], anyio.Event()

    @tool
    async def get_weather(city: str) -> str:
        """Get the weather in a city."""
        begun.append(city)
        if len(begun) == 2:
            both.set()
        with anyio.fail_after(5):
            await both.wait()
        return {"Oslo": "sunny, 21 C", "Lima": "rainy, 4 C"}[city]

    async with client_of(provider, server) as client:
        agent = aio.Agent(client, SYSTEM, tools=[get_weather], concurrent_tool_calls=True)
        answer, _ = await ask(agent, "What is the weather in Oslo and Lima?", streamed)
        assert answer == "Oslo: sunny, 21 C. Lima: rainy, 4 C."
        messages = agent.model_client.messages
        check_history(messages)
        assert [message["role"] for message in messages[1:]] == ["user", "assistant", "tool", "tool", "assistant"]


@EVERY
async def test_a_stream_cancelled_in_the_middle_keeps_its_text_and_the_next_turn_answers(
    client_of, answers, provider, server
):
    async with client_of(provider, server) as client:
        seen = ""
        with anyio.CancelScope() as scope:
            async with client.chat(STORY, stream=True) as stream:
                async for chunk in stream:
                    seen += chunk.content
                    if chunk.is_text():
                        scope.cancel()
        assert scope.cancelled_caught
        check_history(client.messages)
        cut = client.messages[-1]
        assert cut["interrupted"]
        assert cut["content"].startswith(seen)
        assert answers[STORY][1].startswith(cut["content"])
        assert cut["content"] != answers[STORY][1]
        assert await client.chat(HELLO) == answers[HELLO][1]


@WITH_CALLS
async def test_agents_at_once_get_each_its_own_answer(client_of, provider, server):
    @tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    async with client_of(provider, server) as client:
        answers = {}

        async def run(a, b):
            agent = aio.Agent(client.fork(), SYSTEM, tools=[add])
            answers[a, b] = await agent.run(f"What is {a} plus {b}?")

        async with anyio.create_task_group() as group:
            for a in range(20, 28):
                group.start_soon(run, a, random.randint(10, 99))
        assert answers == {(a, b): f"The answer is {a + b}." for a, b in answers}
        assert len(answers) == 8


@EVERY
@STREAMED
async def test_what_a_server_refuses_is_an_error_of_ours(client_of, provider, server, streamed):
    refused = {"extra_body": {"temperature": "hot", "options": "none", "response_format": {"type": "nonsense"}}}
    async with client_of(provider, server, generate_kwargs=refused, max_retries=0) as client:
        with pytest.raises(ProviderError) as caught:
            await ask(client, HELLO, streamed)
        assert caught.value.status >= 400
        assert client.messages == []
