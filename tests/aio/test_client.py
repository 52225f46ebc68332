"""A client is one conversation over a shared provider."""

import json
import os
import threading

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aimu import aio
from aimu._core.messages import check_history
from aimu.errors import (
    BusyConversationError,
    ClosedClientError,
    InvalidHistoryError,
    InvalidImageError,
    InvalidOptionError,
    ProviderConnectionError,
    RateLimitError,
    StreamClosedError,
    SystemMessageError,
    UnknownProviderError,
    WeightsLoadedTwiceError,
)
from aimu.models import HuggingFaceModel
from aimu.models._spec import ModelSpec
from aimu.skills import SkillManager
from aimu.testing import ScriptedProvider, reply
from aimu.tools import tool

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def test_a_conversation_continues_from_a_history_loaded_from_json():
    client = aio.client(ScriptedProvider("Hello.", "Again."), system="Be brief.")
    await client.chat("Hi")
    saved = json.dumps(client.messages)
    provider = ScriptedProvider("Still here.")
    other = aio.client(provider)
    other.messages = json.loads(saved)
    assert await other.chat("And?") == "Still here."
    assert [m["content"] for m in provider.requests[0].messages] == ["Be brief.", "Hi", "Hello.", "And?"]


async def test_the_next_request_refuses_an_invalid_loaded_history():
    client = aio.client(ScriptedProvider("Fine."))
    client.messages = [{"role": "user", "content": "Hi"}, {"role": "tool", "tool_call_id": "x", "content": "1"}]
    with pytest.raises(InvalidHistoryError, match=r"messages\[1\]"):
        await client.chat("Go.")
    client.messages = client.messages[:1]
    assert await client.chat("Go.") == "Fine."


@pytest.mark.parametrize("bad", ["text", {"role": "system"}, {"role": "system", "content": ["text"]}])
async def test_the_next_request_of_any_kind_refuses_an_invalid_first_message(bad):
    provider = ScriptedProvider()
    client = aio.client(provider)
    client.messages = [bad]
    for ask in (
        lambda: client.chat("Go."),
        lambda: client.fork(keep_history=True).chat("Go."),
        lambda: aio.Agent(client).run("Go."),
        lambda: aio.SkillAgent(client, skill_manager=SkillManager([])).run("Go."),
    ):
        with pytest.raises(InvalidHistoryError, match=r"messages\[0\]"):
            await ask()
    client.system_message
    assert not provider.requests


async def test_a_busy_conversation_refuses_a_second_task_and_mixes_nothing():
    client = aio.client(ScriptedProvider(reply("One.", delay=0.01), "Two."))
    async with anyio.create_task_group() as group:
        group.start_soon(client.chat, "First")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(BusyConversationError, match="this conversation is busy.*fork"):
            await client.chat("Second")
        with pytest.raises(BusyConversationError):
            client.reset()
        with pytest.raises(BusyConversationError):
            client.messages = []
    assert [m["content"] for m in client.messages] == ["First", "One."]
    assert await client.chat("Second") == "Two."


async def test_a_paused_stream_keeps_the_conversation_busy_until_its_task_ends():
    client = aio.client(ScriptedProvider("One two three.", "Next.", "Last."))
    paused, finish = anyio.Event(), anyio.Event()
    streams = []

    async def reader():
        stream = client.chat("First", stream=True)
        streams.append(stream)
        await anext(stream)
        paused.set()
        await finish.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(reader)
        await paused.wait()
        with pytest.raises(BusyConversationError):
            await client.chat("Second")
        finish.set()
    assert await client.chat("Second") == "Next."
    cut = {"role": "assistant", "content": "One ", "interrupted": True, "stop_reason": "interrupted"}
    assert client.messages[1] == cut


@pytest.mark.parametrize("change", ["reset", "load", "replace_system_message", None])
async def test_a_turn_after_a_paused_stream_gets_its_slot_even_if_the_history_changed_in_between(change):
    provider = ScriptedProvider("One two three.", "Next.")
    client = aio.client(provider, max_concurrency=1)
    stream = client.chat("First", stream=True)
    await anext(stream)
    match change:
        case "reset":
            client.reset()
        case "load":
            client.messages = []
        case "replace_system_message":
            client.conversation.replace_system_message("Be brief.")
    with anyio.fail_after(5):
        assert await client.chat("Second") == "Next."
    assert provider.open_streams == 0
    with pytest.raises(StreamClosedError):
        await anext(stream)


async def test_the_system_message_can_be_set_until_the_first_turn():
    client = aio.client(ScriptedProvider("Hi.", "Ho."), system="One")
    client.system_message = "Two"
    assert client.messages == [{"role": "system", "content": "Two"}]
    await client.chat("Hello")
    with pytest.raises(SystemMessageError, match="reset"):
        client.system_message = "Three"
    client.reset()
    assert client.messages == [{"role": "system", "content": "Two"}]
    client.reset("Three")
    assert client.system_message == "Three"


async def test_forks_share_the_provider_and_nothing_else():
    provider = ScriptedProvider("One.", "Two.", "Three.")
    client = aio.client(provider, system="S", tools=[add])
    await client.chat("First")
    empty, full = client.fork(), client.fork(system="T", keep_history=True)
    assert empty.messages == [{"role": "system", "content": "S"}]
    assert [m["content"] for m in full.messages] == ["T", "First", "One."]
    assert empty.tools == [add]
    empty.tools = []
    await empty.chat("Second")
    await full.chat("Third")
    assert [len(c.messages) for c in (client, empty, full)] == [3, 3, 5]
    assert client.tools == [add]


async def test_a_fork_from_inside_a_tool_sees_a_valid_history():
    seen = []

    @tool
    async def look(n: int) -> str:
        """Look at the history so far."""
        fork = client.fork(keep_history=True)
        check_history(fork.messages)
        seen.append(len(fork.messages))
        return "looked"

    calls = [reply(calls=[("look", {"n": n})]) for n in range(2)]
    client = aio.client(ScriptedProvider(*calls, "Done."), tools=[look])
    await client.chat("Go.")
    assert seen == [0, 3]


async def test_generate_is_stateless_and_may_run_beside_a_turn():
    provider = ScriptedProvider(reply("One.", delay=0.01), "Free.")
    client = aio.client(provider, system="S", tools=[add])
    async with anyio.create_task_group() as group:
        group.start_soon(client.chat, "First")
        await anyio.wait_all_tasks_blocked()
        assert await client.generate("A prompt", {"temperature": 0.5}) == "Free."
    request = provider.requests[1]
    assert (request.kind, list(request.tools), dict(request.options)) == ("generate", [], {"temperature": 0.5})
    assert [m["content"] for m in client.messages] == ["S", "First", "One."]


async def test_generate_kwargs_merge_and_none_unsets():
    provider = ScriptedProvider("1", "2")
    client = aio.client(provider, generate_kwargs={"temperature": 0.1, "max_tokens": 5})
    await client.chat("Go.", {"max_tokens": None, "seed": 7})
    assert provider.requests[0].options == {"temperature": 0.1, "seed": 7}
    with pytest.raises(InvalidOptionError, match="temprature"):
        await client.chat("Go.", {"temprature": 1})
    assert await client.chat("Go.") == "2"


class Picture(os.PathLike):
    """A path that is known only when it is read."""

    def __init__(self, path, until=None):
        self.path, self.until = path, until
        self.asked, self.threads = threading.Event(), set()

    def __fspath__(self):
        self.threads.add(threading.get_ident())
        self.asked.set()
        if self.until is not None:
            self.until.wait(60)
        return os.fspath(self.path)


async def test_images_are_read_in_threads(tmp_path):
    path = tmp_path / "dot.png"
    path.write_bytes(PNG)
    picture = Picture(path)
    client = aio.client(ScriptedProvider("Dots."))
    assert await client.chat("What?", images=[picture] * 3) == "Dots."
    assert picture.threads
    assert threading.get_ident() not in picture.threads
    assert len(client.messages[0]["content"]) == 4


async def test_a_disk_that_does_not_answer_holds_up_no_cancellation(tmp_path):
    picture = Picture(tmp_path / "dot.png", threading.Event())
    client = aio.client(ScriptedProvider("Dots."))
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: client.chat("What?", images=[picture]))
            while not picture.asked.is_set():
                await checkpoint()
            group.cancel_scope.cancel()
    finally:
        picture.until.set()
    assert client.messages == []
    assert await client.chat("Now?") == "Dots."


async def test_images_are_bounded_together(monkeypatch):
    monkeypatch.setattr("aimu.aio._images.MAX_CHARACTERS", 2000)
    client = aio.client(ScriptedProvider("Dots."))
    with pytest.raises(InvalidImageError, match="more than 2,000 characters"):
        await client.chat("What?", images=["data:image/png;base64," + "A" * 500] * 4)
    assert client.messages == []


async def test_thousands_of_tools_do_not_hold_up_the_event_loop():
    def numbered(number):
        def function(city: str, count: int = number): ...

        function.__name__ = f"tool_{number}"
        return function

    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    client = aio.client(ScriptedProvider("Done."), tools=[numbered(number) for number in range(320)])
    async with anyio.create_task_group() as group:
        group.start_soon(others)
        await client.chat("Go.")
        group.cancel_scope.cancel()
    assert turns >= 20


async def test_images_are_content_parts_and_refused_without_vision(tmp_path):
    provider = ScriptedProvider("A dot.")
    client = aio.client(provider)
    path = tmp_path / "dot.png"
    path.write_bytes(PNG)
    await client.chat("What?", images=[path, PNG, "https://example.com/x.png"])
    kinds = [part["type"] for part in client.messages[0]["content"]]
    assert kinds == ["text", "image_url", "image_url", "image_url"]
    with pytest.raises(InvalidImageError, match="4 bytes is not an image"):
        await client.chat("What?", images=[b"text"])
    with pytest.raises(InvalidImageError, match="nothing.png"):
        await client.chat("What?", images=["nothing.png"])
    for one in ("dot.png", path, PNG):
        with pytest.raises(InvalidImageError, match=f"must be a list, got {type(one).__name__}; put a single image"):
            await client.chat("What?", images=one)
    blind = ScriptedProvider()
    blind.spec = ModelSpec("blind", "scripted", vision=False)
    with pytest.raises(InvalidImageError, match="no vision; omit images="):
        await aio.client(blind).chat("What?", images=[PNG])


async def test_the_last_conversation_closes_the_provider():
    provider = ScriptedProvider("Hi.")
    async with aio.client(provider) as client:
        fork = client.fork()
        agent = aio.Agent(client)
        await agent.run("Hello")
        del agent
    assert not provider.closed
    await fork.aclose()
    assert provider.closed
    await fork.aclose()
    with pytest.raises(ClosedClientError):
        await client.chat("Hello")


async def test_a_dropped_fork_does_not_keep_the_provider_open():
    provider = ScriptedProvider()
    async with aio.client(provider) as client:
        client.fork()
    assert provider.closed


@pytest.mark.parametrize("stream", [False, True])
async def test_a_retryable_failure_is_retried_and_no_slot_is_held_during_the_pause(stream):
    limits = aio.Limits(1)
    failing = ScriptedProvider(RateLimitError("slow down", retry_after=0.05), "Now.")
    other = ScriptedProvider("Meanwhile.")
    first, second = aio.client(failing, limits=limits), aio.client(other, limits=limits)
    answers = []

    async def ask(client):
        if stream:
            async with client.chat("Go.", stream=True) as chunks:
                async for _ in chunks:
                    pass
            answers.append(chunks.result)
        else:
            answers.append(await client.chat("Go."))

    async with anyio.create_task_group() as group:
        group.start_soon(ask, first)
        for _ in range(5):
            await checkpoint()
        group.start_soon(ask, second)
    assert answers == ["Meanwhile.", "Now."]
    assert "0 of 1" in repr(limits)


async def test_nothing_is_retried_after_the_first_streamed_delta_or_past_the_deadline():
    broken = reply("One two", error=ProviderConnectionError("reset"))
    provider = ScriptedProvider(broken)
    client = aio.client(provider)
    with pytest.raises(ProviderConnectionError):
        async for _ in client.chat("Go.", stream=True):
            pass
    assert client.messages[-1]["interrupted"]
    provider = ScriptedProvider(RateLimitError("slow down", retry_after=60))
    with pytest.raises(RateLimitError) as caught:
        await aio.client(provider).chat("Go.", timeout=5)
    assert "would pass the deadline" in caught.value.__notes__[0]


async def test_a_client_does_not_wait_if_a_service_asks_it_to_wait_for_a_day():
    with pytest.raises(RateLimitError) as caught:
        await aio.client(ScriptedProvider(RateLimitError("come back tomorrow", retry_after=86400))).chat("Go.")
    assert caught.value.retry_after == 86400
    assert "86400 s" in caught.value.__notes__[0]


async def test_a_cap_holds_across_clients_and_is_first_come_first_served():
    limits = aio.Limits(2)
    running = peak = 0
    order = []

    async def count(provider, number):
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        order.append(number)
        await checkpoint()
        await checkpoint()
        running -= 1

    providers = [ScriptedProvider("x") for _ in range(6)]

    class Slow:
        def __init__(self, inner, number):
            self.inner, self.number, self.spec = inner, number, inner.spec

        async def complete(self, request):
            await count(self.inner, self.number)
            return await self.inner.complete(request)

        def stream(self, request):
            return self.inner.stream(request)

        async def aclose(self):
            pass

    async with anyio.create_task_group() as group:
        for number, provider in enumerate(providers):
            group.start_soon(aio.client(Slow(provider, number), limits=limits).chat, "Go.")
            await checkpoint()
    assert peak == 2
    assert order == sorted(order)


async def test_the_error_for_an_invalid_model_names_the_remedy():
    with pytest.raises(UnknownProviderError, match="anthropic, openai"):
        aio.client("antropic:claude")
    with pytest.raises(WeightsLoadedTwiceError) as caught:
        aio.client(HuggingFaceModel.LLAMA_70B)
    assert "memory twice" in str(caught.value)
    assert "aimu.client(HuggingFaceModel.LLAMA_70B)" in str(caught.value)
    assert "aio.client(sync_client)" in str(caught.value)
    with pytest.raises(ValueError, match="memory twice"):
        aio.AsyncModelClient("hf:./folder")
    with pytest.raises(InvalidOptionError):
        aio.client(42)
    with pytest.raises(InvalidOptionError, match="base_url"):
        aio.client(ScriptedProvider(), base_url="http://localhost")


async def test_the_error_says_that_a_model_cannot_call_tools():
    provider = ScriptedProvider()
    provider.spec = ModelSpec("plain", "scripted", tools=False)
    with pytest.raises(InvalidOptionError, match="cannot call tools; pass use_tools=False"):
        await aio.client(provider, tools=[add]).chat("Go.")


async def test_the_repr_shows_model_and_size():
    client = aio.client(ScriptedProvider("Hi."))
    await client.chat("Hello")
    assert repr(client) == "<AsyncModelClient scripted:scripted, 2 messages>"
