"""Runs that are stopped at every point, and checks of what must hold after each stop.

A scenario records which tools began and finished, and which text its reader saw; `check` compares the history with the
record.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from functools import partial

import anyio
from anyio.lowlevel import checkpoint

from aimu import aio
from aimu._core.messages import check_history, text_of
from aimu.aio import StreamingContentType
from aimu.errors import NothingToResumeError, StreamClosedError
from aimu.testing import ScriptedProvider, reply
from aimu.tools import tool

TASK, NEXT = "Do three things.", "And now?"
MODES = ["plain", "bare", "held", "entered", "slow", "ticked"]
STREAMED = MODES[1:-1]
SLOW_TEXT = " ".join(f"word{n}" for n in range(24))


THREADED = {2, 4}  # calls of the sync tool


class Break(Exception):
    pass


class Complaints(logging.Handler):
    """Keeps what the library logs about runs that fail after their readers have left."""

    def __init__(self):
        super().__init__()
        self.found = []

    def emit(self, record):
        if "after its reader had left" in record.getMessage():
            self.found.append(record.getMessage())


COMPLAINTS = Complaints()
logging.getLogger("aimu.aio").addHandler(COMPLAINTS)


def answer(text, request):
    """The model: a round of three calls, a round of one, an answer; then an answer to whatever comes next."""
    last = max(i for i, message in enumerate(request.messages) if message["role"] == "user")
    if request.messages[last]["content"] != TASK:
        return reply("Now this.", thinking="next")
    rounds = sum(message["role"] == "assistant" for message in request.messages[last:])
    if rounds == 0:
        calls = [("native", {"n": 1}), ("threaded", {"n": 2}), ("native", {"n": 3})]
        return reply(text, thinking="three calls", calls=calls)
    if rounds == 1:
        return reply("One more.", calls=[("threaded", {"n": 4})])
    return reply("All done here.", thinking="done")


class AgentScenario:
    """An agent with sync and async tools, a turn that is stopped at some point, and a turn after it."""

    def __init__(self, mode="plain", *, concurrent=False, stop_at=None, raising=False, resuming=False):
        self.mode, self.stop_at, self.raising, self.resuming = mode, stop_at, raising, resuming
        self.begun, self.finished, self.seen, self.iteration = set(), {}, "", 0
        self.stopped, self.last = False, None
        COMPLAINTS.found.clear()

        @tool
        async def native(n: int) -> str:
            """An async tool."""
            self.begun.add(n)
            await checkpoint()
            self.finished[n] = f"native {n}"
            return f"native {n}"

        @tool
        def threaded(n: int) -> str:
            """A sync tool."""
            self.begun.add(n)
            time.sleep(0.005 if mode == "ticked" else 0.0005)
            self.finished[n] = f"threaded {n}"
            return f"threaded {n}"

        text = SLOW_TEXT if mode == "slow" else "First things first, then the rest of them."
        self.provider = ScriptedProvider(partial(answer, text), repeat=True)
        client = aio.client(self.provider, system="Be brief.")
        self.agent = aio.Agent(client, name="worker", tools=[native, threaded], concurrent_tool_calls=concurrent)
        self.stream = None

    async def run(self):
        if self.mode == "plain":
            assert await self.agent.run(TASK) == "All done here."
            return
        if self.mode == "ticked":  # adds steps, and so points of cancellation, while a sync tool's thread runs
            async with anyio.create_task_group() as group:
                group.start_soon(self.tick)
                await self.agent.run(TASK)
                group.cancel_scope.cancel()
            return
        stream = self.agent.run(TASK, stream=True)
        if self.mode == "held":
            self.stream = stream
        with suppress(Break):
            if self.mode in ("entered", "slow"):
                async with stream:
                    await self.read(stream)
            else:
                await self.read(stream)
        if not self.stopped:
            assert stream.result == "All done here."

    async def tick(self):
        while True:
            await anyio.sleep(0.001)  # the finest resolution that every selector has

    async def read(self, stream):
        number = 0
        async for chunk in stream:
            number += 1
            self.last = chunk.phase
            if chunk.is_text():
                self.seen = (self.seen if chunk.iteration == self.iteration else "") + chunk.content
                self.iteration = chunk.iteration
            if self.mode == "slow":  # slower than the model, so that the pump waits for room in the channel
                for _ in range(6):
                    await checkpoint()
            if number == self.stop_at:
                self.stopped = True
                if self.raising:
                    raise Break
                break

    async def check(self, *, completed):
        running = {n for n in self.begun if n in THREADED} - self.finished.keys()
        assert not running, f"threads still run after the run has ended: {running}"
        assert not COMPLAINTS.found, COMPLAINTS.found
        if self.mode != "held":
            assert not self.agent.model_client.conversation.busy, "busy after the stop"
            self.check_history()
            self.check_marks()
        await self.check_next_turn()
        if self.stream is not None:
            await self.check_superseded()
        self.stream = None
        for _ in range(10):  # lets the backend close dropped generators
            await checkpoint()
        assert self.provider.open_streams == 0, "a provider's stream is open"

    def check_history(self):
        messages = self.agent.model_client.messages
        check_history(messages)
        if self.seen.strip() and not messages[1:]:
            raise AssertionError(f"text was seen and is lost: {self.seen!r}")
        texts = [text_of(message) for message in messages if message["role"] == "assistant"]
        assert not self.seen.strip() or any(self.seen in text for text in texts), (self.seen, texts)
        results = {}
        arguments = {
            call["id"]: json.loads(call["function"]["arguments"])["n"]
            for message in messages
            for call in message.get("tool_calls", ())
        }
        for message in messages:
            if message["role"] == "tool":
                results[arguments[message["tool_call_id"]]] = message
        for n, result in self.finished.items():
            assert n in results, f"the finished call {n} is lost"
            assert results[n]["content"] == result, (results[n], result)
        for n, message in results.items():
            status = message.get("status")
            assert (status is None) == (n in self.finished), message
            assert status != "not_executed" or n not in self.begun, message
            assert status != "cancelled" or n in self.begun, message

    def check_marks(self):
        """Check that the last message, and no other, says that the turn did not end normally, if it did not."""
        marks = [message.get("stop_reason") for message in self.agent.history]
        done = text_of(self.agent.history[-1]) == "All done here." and "interrupted" not in self.agent.history[-1]
        assert marks[1:] == [None] * len(marks[2:]) + ([None if done else "interrupted"] if marks[1:] else []), marks

    async def check_resumed(self):
        """Check that the agent continues the stopped turn, if it left anything, and keeps what is published."""
        before = json.dumps(self.agent.history)
        seen = self.seen
        try:
            assert await self.agent.resume() in ("All done here.", "Now this.")
        except NothingToResumeError:
            messages = self.agent.history
            assert not messages[1:] or text_of(messages[-1]) == "All done here.", messages
        self.seen = ""  # in the resumed turn the model may say the same again
        self.check_history()
        self.seen = seen
        assert json.dumps(self.agent.history)[: len(before) - 1] == before[:-1], "a published message has changed"

    async def check_next_turn(self):
        if self.resuming:
            await self.check_resumed()
        client = self.agent.model_client
        assert await self.agent.run(NEXT) == "Now this."
        check_history(client.messages)
        assert [text_of(message) for message in client.messages[-2:]] == [NEXT, "Now this."]
        self.check_history()

    async def check_superseded(self):
        """Check that a paused stream raises after the next turn began, instead of ending silently."""
        paused = self.stopped and self.last is not StreamingContentType.DONE
        try:
            async for chunk in self.stream:
                raise AssertionError(f"a superseded stream continued with {chunk}")
        except StreamClosedError:
            assert paused
        else:
            assert not paused, "a superseded stream ended silently"


async def stop_at_every_chunk(make, *, maximum=1000):
    """Stop new scenarios after chunk 1, 2, … until one ends before its stop; return the number of stops."""
    for n in range(1, maximum):
        scenario = make(n)
        with anyio.fail_after(10):
            await scenario.run()
            await scenario.check(completed=True)
        if not scenario.stopped:
            return n - 1
    raise AssertionError("the scenario never ends")
