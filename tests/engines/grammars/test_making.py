"""How grammars are made: beside the requests that run, once for each request that asks the same, and stopped."""

import itertools
import re
import threading
from functools import partial

import anyio
import pytest

from aimu import aio
from aimu.engines import HuggingFaceEngine, LlamaCppEngine
from aimu.engines._grammars.constraint import Compiler
from aimu.engines._grammars.grammars import Grammars
from aimu.errors import ClosedClientError, EngineError, InvalidOptionError
from aimu.testing import tiny_gguf, tiny_model
from tests.engines.asking import TOOLS, ask
from tests.holding import Hold, join, start, until

NEW = {"hf": partial(HuggingFaceEngine, tiny_model()), "llamacpp": partial(LlamaCppEngine, tiny_gguf())}

NUMBERS = itertools.count()  # for grammars that no other test has made


def holding(grammar, **options):
    return ask("Go.", thinking=False, extra_body={"regex": grammar}, **options)


@pytest.fixture
def held(monkeypatch):
    """Holds the thread that makes the grammar of a certain text."""
    hold, compile_it = Hold(), Compiler._compile

    def compile_later(compiler, grammar):
        if "held" in grammar:
            hold()
        return compile_it(compiler, grammar)

    monkeypatch.setattr(Compiler, "_compile", compile_later)
    with hold:
        yield hold


@pytest.fixture
def made(monkeypatch):
    """Counts the grammars that are made."""
    count, make = [], Grammars._make

    def counted(*args, **kwargs):
        count.append(threading.current_thread().name)
        return make(*args, **kwargs)

    monkeypatch.setattr(Grammars, "_make", counted)
    return count


async def test_requests_go_on_while_a_grammar_is_made(batch_engine, held):
    texts, text = [], f"held {batch_engine.worker.requests}"

    async def answer(request):
        texts.append((await batch_engine.complete(request)).text)

    async with anyio.create_task_group() as group:
        group.start_soon(answer, holding(text))
        await until(held.reached.is_set)
        assert (await batch_engine.complete(ask("Say hello.", max_tokens=5))).usage.output == 5
        assert (await batch_engine.complete(holding("x{3}"))).text == "xxx"
        held.released.set()
    assert texts == [text]


async def test_requests_that_ask_the_same_wait_for_one_grammar(batch_engine, held, made):
    pattern = f"held {batch_engine.worker.requests} [a-z]"
    async with anyio.create_task_group() as group:
        for seed in range(4):
            group.start_soon(batch_engine.complete, holding(pattern, seed=seed))
        await until(lambda: batch_engine.worker.running == 4 and held.reached.is_set())
        held.released.set()
    assert made == ["aimu grammar"]


async def test_a_request_stops_while_its_grammar_is_made(engine, held):
    for stop in ("cancelled", "timed out", "closed"):
        text = f"held {stop} {engine.worker.requests}"
        held.reached.clear()
        if stop == "closed":
            stream = engine.stream(holding(text))
            async with anyio.create_task_group() as group:
                group.start_soon(anext, stream, None)
                await until(held.reached.is_set)
                group.cancel_scope.cancel()
            await stream.aclose()
        else:
            with anyio.move_on_after(0.2 if stop == "timed out" else 60) as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(engine.complete, holding(text))
                    if stop == "cancelled":
                        await until(held.reached.is_set)
                        scope.cancel()
        assert engine.worker.running == engine.worker.waiting == 0
        held.released.set()
        assert (await engine.complete(holding(text))).text == text
        held.released.clear()


@pytest.mark.parametrize("kind", NEW)
async def test_closing_waits_for_the_grammar(kind, held):
    engine = NEW[kind](threads=1)
    errors = []

    async def answer():
        try:
            await engine.complete(holding("held"))
        except ClosedClientError as exc:
            errors.append(exc)

    async with anyio.create_task_group() as group:
        group.start_soon(answer)
        await until(held.reached.is_set)
        closing = start(engine.close)
        await until(lambda: errors)
        assert closing[0].is_alive()
        held.released.set()
    join(closing)
    assert not [thread for thread in threading.enumerate() if thread.name == "aimu grammar"]


async def test_grammars_whose_requests_stopped_leave_nothing_behind(engine, held):
    for number in range(3):
        held.reached.clear()
        async with anyio.create_task_group() as group:
            group.start_soon(engine.complete, holding(f"held left {number} {engine.worker.requests}"))
            await until(held.reached.is_set)
            group.cancel_scope.cancel()
    held.released.set()
    await until(lambda: not any(maker.is_alive() for maker in engine._holding._makers.values()))
    await engine.complete(holding(f"new {engine.worker.requests}"))
    assert engine._holding._makers == {}


@pytest.mark.parametrize("kind", NEW)
async def test_an_engine_closes_after_a_thread_could_not_start(kind, monkeypatch, caplog):
    start_it = threading.Thread.start

    def refuse(thread):
        if thread.name == "aimu grammar":
            raise RuntimeError("can't start new thread")
        start_it(thread)

    engine = NEW[kind](threads=1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(EngineError, match="can't start new thread"):
            await engine.complete(holding("[a-f]{3}"))
    await engine.aclose()
    assert caplog.records == []


async def test_what_is_asked_again_is_not_made_again(engine, made):
    new = engine.worker.requests
    tools = [*TOOLS, {"type": "function", "function": {"name": f"new_{new}", "parameters": {"type": "object"}}}]
    for _ in range(3):
        for request in (
            holding(f"[a-f]{{3}} {new}"),
            ask("Go.", tools=tools, tool_choice="required", thinking=False, max_tokens=3),
            ask("Go.", tools=tools, tool_choice=f"new_{new}", thinking=False, max_tokens=3),
            ask("Go.", extra_body={"json_schema": {"type": "integer", "minimum": new}}, max_tokens=3),
        ):
            await engine.complete(request)
        with pytest.raises(InvalidOptionError, match=f"invalid extra_body\\['regex'\\] '\\(\\?=a\\){new}'"):
            await engine.complete(holding(f"(?=a){new}"))
    assert made == ["aimu grammar"] * 5


async def test_what_a_format_cannot_hold_is_asked_once(engine, made, caplog):
    """Also for types whose values are not JSON, such as what a broken server says of its tools."""
    function = {"name": f"odd_{engine.worker.requests}", "parameters": {"properties": {"a": {"anyOf": 3}}}}
    tools = [{"type": "function", "function": function}]
    for _ in range(2):
        await engine.complete(ask("Go.", tools=tools, tool_choice="required", max_tokens=2))
    assert made == ["aimu grammar"]


def test_the_sync_surface(weights, made):
    client = weights.fork(keep_history=False)
    pattern = f"[0-9]{{4}} {next(NUMBERS)}"
    for _ in range(2):
        assert re.fullmatch(pattern, client.chat("Go.", {"thinking": False, "extra_body": {"regex": pattern}}))
    assert made == ["aimu grammar"]


async def test_a_stream_waits_for_its_grammar(engine, held):
    client = aio.client(engine)
    options = {"thinking": False, "extra_body": {"regex": f"held {engine.worker.requests} [a-z]"}}
    async with client.chat("Go.", options, stream=True) as stream:
        await until(held.reached.is_set)
        held.released.set()
        text = "".join([chunk.content async for chunk in stream if chunk.phase == "generating"])
    assert re.fullmatch("held [0-9]+ [a-z]", text)
