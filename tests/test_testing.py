"""The tests of the tests: they find each planted fault and pass correct code."""

import asyncio
import hashlib
import json
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from random import Random

import anyio
import pytest
from anyio import from_thread, to_thread
from anyio.lowlevel import checkpoint
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

import aimu
from aimu._core.chunks import StreamingContentType
from aimu._core.reply import Delta, Reply, StopReason, ToolCall, Usage
from aimu.errors import InvalidOptionError, OverloadedError
from aimu.providers._base import Provider, Request
from aimu.testing import (
    RealRequestError,
    ScriptedProvider,
    cancel_everywhere,
    leak_check,
    no_real_requests,
    reply,
    scripted_client,
    tiny_gguf,
    tiny_model,
    virtual_time,
)
from aimu.testing._recipe.corpus import conversation
from tests.holding import PATIENCE, Hold, start, until

BACKENDS = ["asyncio", "trio"]
STOPS = [("asyncio", "scope"), ("asyncio", "native"), ("trio", "scope")]


def asking(text="Hello"):
    return Request(messages=[{"role": "user", "content": text}])


async def collect(stream):
    async with aclosing(stream):
        return [item async for item in stream]


# The tiny model


def test_the_tiny_model_is_in_the_package_with_all_that_transformers_needs():
    names = {path.name for path in tiny_model().iterdir()}
    assert {"config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} < names
    assert (tiny_model() / "model.safetensors").stat().st_size > 600_000
    assert tiny_gguf().read_bytes()[:4] == b"GGUF"


def test_the_same_seed_draws_the_same_corpus():
    r = Random(0)
    drawn = json.dumps([conversation(r, length) for length in (1.0, 0.2) for _ in range(200)])
    assert hashlib.sha256(drawn.encode()).hexdigest() == (
        "a116fecc2a61ce83ac0d21b77fdab011f6292c270be337afe8a8218c80ada823"
    )


# The scripted provider


def test_a_scripted_provider_is_a_provider():
    assert isinstance(ScriptedProvider(), Provider)


async def test_a_text_is_answered_as_it_is():
    with ScriptedProvider("Hi.", name="tester") as provider:
        answer = await provider.complete(asking())
    assert answer == Reply(text="Hi.", model="tester")


@given(text=st.text(), thinking=st.text(), pieces=st.none() | st.integers(1, 20))
def test_pieces_joined_are_the_texts_and_thinking_comes_first(text, thinking, pieces):
    deltas = reply(text, thinking=thinking, pieces=pieces).deltas()
    joined = {phase: "".join(delta.text for delta in deltas if delta.phase == phase) for phase in StreamingContentType}
    assert (joined["thinking"], joined["generating"]) == (thinking, text)
    assert all(delta.text for delta in deltas)
    assert sorted(deltas, key=lambda delta: delta.phase != "thinking") == deltas


async def test_a_stream_is_words_and_then_exactly_one_reply():
    step = reply("one two", thinking="hm", usage=Usage(input=1, output=2))
    with ScriptedProvider(step) as provider:
        assert await collect(provider.stream(asking())) == [
            Delta(StreamingContentType.THINKING, "hm"),
            Delta(StreamingContentType.GENERATING, "one "),
            Delta(StreamingContentType.GENERATING, "two"),
            Reply(text="one two", thinking="hm", usage=step.usage, model="scripted"),
        ]


async def test_calls_get_ids_of_their_own_and_a_stop_reason():
    own = ToolCall("mine", "add", "{")
    provider = ScriptedProvider(reply(calls=[("add", {"a": 1}), own]), reply(calls=[("add", {"a": 2})]))
    first, second = await provider.complete(asking()), await provider.complete(asking())
    assert first.calls == (ToolCall("call_0001", "add", '{"a": 1}'), own)
    assert second.calls[0].id == "call_0002"
    assert first.stop_reason == StopReason.TOOL_CALLS


async def test_a_stream_breaks_after_the_pieces_of_its_step():
    provider = ScriptedProvider(reply("half an", error=OverloadedError("gone")))
    seen = ""
    with pytest.raises(OverloadedError):
        async with aclosing(provider.stream(asking())) as stream:
            async for delta in stream:
                seen += delta.text
    assert seen == "half an"


async def test_an_exception_is_raised_and_the_script_goes_on():
    with ScriptedProvider(OverloadedError("busy"), "Now.") as provider:
        with pytest.raises(OverloadedError):
            await provider.complete(asking())
        assert (await provider.complete(asking())).text == "Now."


async def test_a_step_can_be_made_from_the_request():
    provider = ScriptedProvider(lambda request: request.messages[-1]["content"].upper(), repeat=True)
    assert [(await provider.complete(asking(text))).text for text in ("a", "b")] == ["A", "B"]
    provider.assert_used_up()


async def test_requests_are_recorded_as_they_were():
    provider = ScriptedProvider("Hi.")
    request = asking("before")
    await provider.complete(request)
    request.messages[0]["content"] = "after"
    assert provider.requests[0].messages[0]["content"] == "before"


async def test_a_request_beyond_the_script_fails_and_is_remembered():
    provider = ScriptedProvider("Hi.")
    await provider.complete(asking())
    with pytest.raises(AssertionError, match="the script has 1 steps, but here is request 2; add a step for Request"):
        await provider.complete(asking())
    with pytest.raises(AssertionError, match="2 requests were made, but the script has 1 steps"):
        provider.assert_used_up()


def test_a_script_that_is_not_used_up_fails_at_the_end_of_its_block():
    with pytest.raises(AssertionError, match=r"0 requests were made, and 1 of 1 steps are left: 'Hi.'"):
        with ScriptedProvider("Hi."):
            pass


def test_an_error_of_the_block_is_not_masked_by_an_unused_script():
    with pytest.raises(KeyError):
        with ScriptedProvider("Hi."):
            raise KeyError


async def test_open_streams_are_counted_until_they_are_closed():
    provider = ScriptedProvider("one two")
    async with aclosing(provider.stream(asking())) as stream:
        assert provider.open_streams == 0
        await anext(stream)
        assert provider.open_streams == 1
    assert provider.open_streams == 0


async def test_a_scripted_client_chats():
    async with scripted_client("Hi.", system="Be brief.") as client:
        assert await client.chat("Hello") == "Hi."


# Virtual time


@pytest.mark.parametrize("backend", BACKENDS)
def test_virtual_time_jumps_over_sleeps_and_keeps_their_order(backend):
    ends = []

    async def sleeper(seconds):
        await anyio.sleep(seconds)
        ends.append((seconds, anyio.current_time()))

    async def main():
        provider = ScriptedProvider(reply("a b", delay=1000))
        with anyio.move_on_after(2500):
            await collect(provider.stream(asking()))
            ends.append(("stream", anyio.current_time()))
            await anyio.sleep_forever()
        ends.append(("deadline", anyio.current_time()))
        async with anyio.create_task_group() as group:
            for seconds in (7200, 3600):
                group.start_soon(sleeper, seconds)

    anyio.run(main, backend=backend, backend_options=virtual_time(backend))
    assert ends == [("stream", 2000), ("deadline", 2500), (3600, 6100), (7200, 9700)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_virtual_time_waits_for_threads_that_are_quicker_than_idle(backend):
    async def main():
        with anyio.fail_after(1):
            await to_thread.run_sync(threading.Event().wait, 0.01)

    anyio.run(main, backend=backend, backend_options=virtual_time(backend, idle=5))


# The canceller


@define
class Turn:
    """Writes two messages that belong together; `torn` plants an await between them."""

    torn: bool = False
    history: list = field(factory=list)

    async def run(self):
        await checkpoint()
        async with anyio.create_task_group() as group:
            group.start_soon(self.commit)
        await to_thread.run_sync(int)

    async def commit(self):
        await checkpoint()
        self.history.append("call")
        if self.torn:
            await checkpoint()
        self.history.append("result")

    async def check(self, *, completed):
        await checkpoint()
        assert len(self.history) != 1, "a call without its result"
        assert self.history or not completed


class Bare:
    """Does nothing: the base of scenarios with one planted fault."""

    async def run(self):
        await checkpoint()

    async def check(self, *, completed):
        pass


@pytest.mark.parametrize(("backend", "how"), STOPS)
def test_the_canceller_passes_a_turn_that_is_a_transaction(backend, how, capsys):
    points = cancel_everywhere(Turn, backend=backend, how=how, minimum=6)
    assert f"Turn: {points} cancellation points on {backend} ({how})" in capsys.readouterr().out


@pytest.mark.parametrize(("backend", "how"), STOPS)
def test_the_canceller_finds_an_await_between_two_writes_of_a_child_task(backend, how):
    with pytest.raises(AssertionError, match=rf"point \d+ on {backend} \({how}\).*a call without its result"):
        cancel_everywhere(lambda: Turn(torn=True), backend=backend, how=how)


class Tool:
    """The awaiting task stores what the thread has returned: an asyncio task can be cancelled away from a thread."""

    def __init__(self):
        self.began, self.ended = threading.Event(), threading.Event()
        self.returned = False
        self.results = []

    async def run(self):
        self.results.append(await to_thread.run_sync(self.work))

    def work(self):
        self.began.set()
        try:
            from_thread.run_sync(int)  # a step of the loop while the thread is at work
            self.returned = True
        finally:
            self.ended.set()

    async def check(self, *, completed):
        if self.began.is_set():
            await until(self.ended.is_set)
        assert len(self.results) == self.returned, "a finished tool without its result"


@pytest.mark.parametrize(("backend", "how"), STOPS)
def test_a_result_that_only_a_native_cancel_loses_is_found_by_the_native_cancel(backend, how):
    if how == "scope":
        assert cancel_everywhere(Tool, backend=backend, how=how) >= 2
    else:
        with pytest.raises(AssertionError, match="a finished tool without its result"):
            cancel_everywhere(Tool, backend=backend, how=how)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_step_of_the_root_is_a_point(backend):
    class Steps(Bare):
        async def run(self):
            for _ in range(25):
                await checkpoint()

    assert cancel_everywhere(Steps, backend=backend) == 25


@pytest.mark.parametrize("backend", BACKENDS)
def test_waits_for_timers_events_and_threads_are_points(backend):
    class Waits(Bare):
        async def run(self):
            event = anyio.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(event.wait)
                await anyio.sleep(0.001)
                await to_thread.run_sync(int)
                event.set()

    assert cancel_everywhere(Waits, backend=backend) >= 5


def test_too_few_points_fail():
    with pytest.raises(AssertionError, match="fewer than the minimum of 2; the scenario does not reach its code"):
        cancel_everywhere(Bare, minimum=2)


@pytest.mark.parametrize(("backend", "how"), STOPS)
def test_an_error_that_replaces_the_cancellation_is_a_failure(backend, how):
    class Translates(Bare):
        async def run(self):
            try:
                await checkpoint()
            except anyio.get_cancelled_exc_class():
                raise ValueError("cancelled, perhaps") from None

    with pytest.raises(AssertionError, match=r"point 1 .*ValueError: cancelled, perhaps"):
        cancel_everywhere(Translates, backend=backend, how=how)


@pytest.mark.parametrize(("backend", "how"), STOPS)
def test_a_generator_left_open_is_a_failure_unless_allowed(backend, how):
    kept = []

    class Keeps(Bare):
        async def run(self):
            async def forever():
                while True:
                    await checkpoint()
                    yield

            kept.append(forever())
            await anext(kept[-1])

        async def check(self, *, completed):
            if allowed:
                await kept[-1].aclose()

    allowed = False
    with pytest.raises(AssertionError, match=r"left behind: async generator .*forever"):
        cancel_everywhere(Keeps, backend=backend, how=how)
    allowed = True
    assert cancel_everywhere(Keeps, backend=backend, how=how)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of trio, about the planted fault
@pytest.mark.parametrize("backend", BACKENDS)
def test_only_a_cycle_makes_a_dropped_generator_stay(backend):
    class Drops(Bare):
        async def run(self):
            async def forever():
                while True:
                    await checkpoint()
                    yield generators

            generators = []
            generator = forever()
            if cycle:
                generators.append(generator)
            await anext(generator)
            await checkpoint()

    cycle = False
    assert cancel_everywhere(Drops, backend=backend)
    cycle = True
    with pytest.raises(AssertionError, match=r"left behind: async generator .*forever"):
        cancel_everywhere(Drops, backend=backend)


def test_a_task_left_running_is_a_failure():
    class Spawns(Bare):
        async def run(self):
            self.task = asyncio.get_running_loop().create_task(anyio.sleep_forever(), name="stray")
            await checkpoint()

    with pytest.raises(AssertionError, match="left behind: task stray"):
        cancel_everywhere(Spawns)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_scenario_that_hangs_is_a_failure(backend):
    class Hangs(Bare):
        async def check(self, *, completed):
            await anyio.sleep_forever()

    with pytest.raises(AssertionError, match=r"point 1 .*TimeoutError"):
        cancel_everywhere(Hangs, backend=backend, timeout=0.02)


def test_trio_has_no_native_cancel():
    with pytest.raises(InvalidOptionError, match="native"):
        cancel_everywhere(Bare, backend="trio", how="native")


# The leak check


async def test_idle_pool_workers_are_not_a_leak():
    async with leak_check():
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(to_thread.run_sync, int)


async def test_a_busy_pool_worker_is_a_leak():
    async with anyio.create_task_group() as group:
        with Hold() as hold, pytest.raises(AssertionError, match="thread"):
            with leak_check(within=0):
                group.start_soon(to_thread.run_sync, hold)
                await until(hold.reached.is_set)


async def test_a_task_left_running_is_a_leak():
    async with anyio.create_task_group() as group:
        with pytest.raises(AssertionError, match="task stray"):
            async with leak_check(within=0):
                group.start_soon(anyio.sleep_forever, name="stray")
        group.cancel_scope.cancel()


def test_a_thread_left_running_is_a_leak():
    with Hold() as hold, pytest.raises(AssertionError, match="thread stray"):
        with leak_check(within=0):
            threading.Thread(target=hold, name="stray").start()


def test_a_thread_that_ends_in_time_is_not_a_leak():
    with leak_check(within=5):
        threading.Thread(target=threading.Event().wait, args=(0.05,)).start()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_an_open_descriptor_is_a_leak():
    with pytest.raises(AssertionError, match=r"file descriptor \d+: socket"):
        with leak_check(within=0):
            stray = socket.socket()
    stray.close()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_child_process_that_nobody_waited_for_is_a_leak():
    with pytest.raises(AssertionError, match="child process"):
        with leak_check(within=0):
            stray = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stray.communicate(b"\n", timeout=30)


async def test_an_open_generator_is_a_leak():
    provider = ScriptedProvider("one two")
    stream = provider.stream(asking())
    with pytest.raises(AssertionError, match=r"async generator ScriptedProvider\.stream"):
        async with leak_check(within=0):
            stream = provider.stream(asking())
            await anext(stream)
    await stream.aclose()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_whole_event_loop_leaves_nothing(backend):
    with leak_check():
        anyio.run(to_thread.run_sync, int, backend=backend)


def test_the_event_loop_that_the_first_sync_call_of_a_thread_makes_is_not_a_leak():
    def first_call():
        with leak_check(within=0):
            with aimu.client(ScriptedProvider("Hello.")) as client:
                assert client.chat("Say hello.") == "Hello."

    with ThreadPoolExecutor(1) as pool:  # a new thread has no loop yet
        pool.submit(first_call).result(PATIENCE)


def test_an_error_of_the_block_is_not_masked_by_its_leaks():
    with Hold() as hold, pytest.raises(KeyError):
        with leak_check():
            start(hold)
            raise KeyError


# The network


async def test_a_remote_connection_is_refused_by_address():
    with no_real_requests(), pytest.RaisesGroup(RealRequestError, allow_unwrapped=True, flatten_subgroups=True):
        await anyio.connect_tcp("192.0.2.1", 80)


async def test_a_remote_name_is_not_looked_up():
    with no_real_requests(), pytest.raises(RealRequestError, match=r"api\.example\.com"):
        await anyio.connect_tcp("api.example.com", 443)


async def test_loopback_is_reached_and_the_guard_goes_with_its_block():
    original = socket.socket.connect
    with no_real_requests():
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        host, port = listener.extra(anyio.abc.SocketAttribute.local_address)
        async with listener, await anyio.connect_tcp(host, port):
            assert socket.socket.connect is not original
    assert socket.socket.connect is original
