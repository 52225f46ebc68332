"""The llama.cpp engine; test_local_engines tests what all engines have in common."""

import gc
import os
import subprocess
import sys
import threading
from random import Random

import anyio
import llama_cpp
import psutil
import pytest

import aimu
from aimu._core.messages import assistant_message, check_history
from aimu.engines._gguf_model import GGUFModel, Sampling
from aimu.engines._llamacpp import LlamaCppEngine
from aimu.errors import BadRequestError, ClosedClientError, EngineError, InvalidOptionError, MissingExtraError
from aimu.models import LlamaCppModel
from aimu.testing import tiny_gguf
from aimu.testing._recipe.corpus import conversation
from tests.engines.asking import STORY, TOOLS, ask, user
from tests.engines.evaluations import evaluations
from tests.holding import Hold, until

HELLO = "Hello! How can I help you today?"


def numbered(messages):
    """Give the calls of a conversation of the corpus the ids that a history has."""
    pending, shaped = [], []
    for message in messages:
        message = dict(message)
        if "tool_calls" in message:
            message["tool_calls"] = [
                {**call, "id": f"call{len(shaped)}x{n}", "function": {**call["function"]}}
                for n, call in enumerate(message["tool_calls"])
            ]
            for call in message["tool_calls"]:
                call["function"]["arguments"] = str(call["function"]["arguments"]).replace("'", '"')
            pending = [call["id"] for call in message["tool_calls"]]
        elif message["role"] == "tool":
            message["tool_call_id"] = pending.pop(0)
        shaped.append(message)
    check_history(shaped)
    return shaped


def test_both_engines_give_the_same_greedy_reply_to_random_conversations(opened):
    chance = Random(20)
    seen = {"calls": 0, "parallel": 0, "thinking": 0, "tools": 0}

    async def both():
        for _ in range(100):
            messages, tools = conversation(chance)
            last = max(n for n, message in enumerate(messages) if message["role"] == "assistant")
            cut = chance.choice([n for n in range(1, last + 1) if messages[n]["role"] == "assistant"])
            options = {"temperature": 0, "max_tokens": 60}
            if chance.random() < 0.2:
                options["thinking"] = False
            request = ask(*numbered(messages[:cut]), tools=tools or (), **options)
            replies = [await opened_engine.complete(request) for opened_engine in (hf, llama)]
            facts = [
                (r.text, r.thinking, [(c.name, c.arguments) for c in r.calls], r.stop_reason, r.usage.output)
                for r in replies
            ]
            assert facts[0] == facts[1]
            assert replies[0].usage.input == replies[1].usage.input
            calls = len(replies[0].calls)
            seen["calls"] += calls > 0
            seen["parallel"] += calls > 1
            seen["thinking"] += bool(replies[0].thinking)
            seen["tools"] += bool(tools)

    hf, llama = opened("hf"), opened("llamacpp")
    anyio.run(both)
    assert min(seen.values()) >= 5, seen


async def test_an_abort_stops_a_running_evaluation_and_leaves_the_instance_usable(llama_engine):
    with evaluations(llama_engine) as counts:
        async with anyio.create_task_group() as group:

            async def cancel():
                await until(hold.reached.is_set)
                group.start_soon(let_go)
                scope.cancel()

            async def let_go():
                await anyio.wait_all_tasks_blocked()
                hold.released.set()

            with Hold() as hold:
                counts.before = lambda *args: hold()
                group.start_soon(cancel)
                with anyio.CancelScope() as scope:
                    await llama_engine.complete(ask("word " * 900))
        assert counts.codes == [2]  # aborted, so nothing of the slice was computed
        counts.before = lambda *args: None
        assert (await llama_engine.complete(ask("Say hello."))).text == HELLO


async def test_conversations_that_take_turns_reuse_their_own_prefix(llama_engine):
    """Each takes over the context from the other, whose states are saved as bytes."""
    histories = [[user(f"What is {n} plus {n}?")] for n in (11, 22, 33)]
    reused = []
    for _ in range(3):
        for history in histories:
            reply = await llama_engine.complete(ask(*history))
            reused.append((reply.usage.cache_read, reply.usage.input))
            history += [assistant_message(reply), user("Say hello.")]
    assert all(0 < read < asked for read, asked in reused[3:])
    assert all(asked - read < 30 for read, asked in reused[3:])
    cache = llama_engine.prefix_cache
    assert cache.entries == 3
    assert 0 < cache.bytes <= cache.limit


async def test_the_limit_of_the_prefix_cache_holds_and_changes_no_answer():
    engine = LlamaCppEngine(tiny_gguf(), threads=1, prefix_cache_bytes=60_000)
    try:
        first, second = [user("What is 3 plus 4?")], [user("Tell me a story.")]
        said = [(await engine.complete(ask(*history, tools=TOOLS))).text for history in (first, second) * 3]
        assert said[:2] == said[2:4] == said[4:]
        assert engine.prefix_cache.bytes <= 60_000
    finally:
        engine.close()


def test_the_recommendations_in_the_file_are_the_defaults(llama_engine):
    recommended = llama_engine._model.sampling({})
    assert (recommended.temperature, recommended.top_k) == (
        0,
        40,
    )  # the first is from the file, the second is llama.cpp's default
    assert llama_engine._model.sampling({"temperature": 0.5}).temperature == 0.5
    assert Sampling().temperature == 0.8


async def test_extra_body_constrains_the_candidates(llama_engine):
    grammar = 'root ::= "Ye" "s"'
    reply = await llama_engine.complete(ask("Say hello.", extra_body={"grammar": grammar}))
    assert reply.text == "Yes"
    greedy = await llama_engine.complete(ask(*STORY, max_tokens=20))
    hot = {"temperature": 5.0, "top_k": 0, "top_p": 1.0, "max_tokens": 20}
    assert (await llama_engine.complete(ask(*STORY, extra_body={"min_p": 1.0}, **hot))).text == greedy.text
    assert (await llama_engine.complete(ask(*STORY, extra_body={"min_p": 0.0}, **hot))).text != greedy.text


async def test_an_invalid_grammar_is_refused(llama_engine):
    with pytest.raises(InvalidOptionError, match="GBNF"):
        await llama_engine.complete(ask("Say hello.", extra_body={"grammar": "root ::= ("}))


async def test_a_failing_evaluation_raises_engine_error_and_the_next_request_works(llama_engine, monkeypatch):
    await llama_engine.complete(ask("Say hello."))
    with monkeypatch.context() as patch:
        patch.setattr(llama_cpp, "llama_decode", lambda *args: -3)
        with pytest.raises(EngineError, match="llama_decode returned -3"):
            await llama_engine.complete(ask("Say hello."))
    assert (await llama_engine.complete(ask("Say hello."))).text == HELLO


async def test_a_conversation_that_the_template_refuses_raises_bad_request_error(llama_engine, monkeypatch):
    model = llama_engine._model
    for text, reason in ({"default": "{{ raise_exception('Only cats.') }}"}, r"Only cats\."), ({}, "no chat template"):
        with monkeypatch.context() as patch:
            patch.setattr(model._vocabulary, "templates", text)
            with pytest.raises(BadRequestError, match=reason):
                await llama_engine.complete(ask("Say hello."))


def test_the_context_has_the_size_of_the_model_or_of_n_ctx():
    with pytest.raises(InvalidOptionError, match="n_ctx"):
        LlamaCppEngine(tiny_gguf(), n_ctx=0)
    for asked, context in ((None, 4096), (300, 300)):
        model = GGUFModel(os.fspath(tiny_gguf()), context=asked, layers_on_gpu=0, threads=1)
        assert model.context == context
        model.close()
        model.close()


def test_two_clients_on_one_file_have_two_instances_and_a_fork_shares_one():
    string = f"llamacpp:{tiny_gguf()}"
    with aimu.client(string, threads=1) as one, aimu.client(string, threads=1) as other:
        engines = [client.__aio__.provider.provider for client in (one, one.fork(), other)]
        assert engines[0] is engines[1]
        assert engines[0]._model.slots.pointer is not engines[2]._model.slots.pointer
        assert one.chat("Say hello.") == other.chat("Say hello.") == HELLO


async def test_lazy_weights_are_loaded_at_the_first_request():
    engine = LlamaCppEngine(tiny_gguf(), lazy=True, threads=1)
    assert repr(engine) == f"LlamaCppEngine({os.fspath(tiny_gguf())!r}, loaded=False)"
    assert (await engine.complete(ask("Say hello."))).text == HELLO
    assert engine.loaded
    await engine.aclose()
    await engine.aclose()
    assert (engine.loaded, engine.prefix_cache.entries) == (False, 0)
    with pytest.raises(ClosedClientError):
        await engine.complete(ask("Say hello."))


def test_the_error_for_an_invalid_file_names_its_path_and_the_remedy(tmp_path):
    other = tmp_path / "model.gguf"
    for content, reason in ((b"PK", "is not a GGUF file"), (b"GGUF\3\0\0\0", "cannot load the weights")):
        other.write_bytes(content)
        with pytest.raises(EngineError, match=reason) as caught:
            LlamaCppEngine(other)
        assert os.fspath(other) in str(caught.value)
    for path, reason in ((tmp_path, "is a folder"), (tmp_path / "no.gguf", "does not exist")):
        with pytest.raises(EngineError, match=f"{path}.*{reason}.*model_path"):
            LlamaCppEngine(path)
    assert not [thread for thread in threading.enumerate() if os.fspath(tmp_path) in thread.name]


def test_a_catalog_entry_is_loaded_from_the_downloaded_file():
    with pytest.raises(EngineError, match="model_path"):
        aimu.client(LlamaCppModel.QWEN_3_0_6B)
    with aimu.client(LlamaCppModel.QWEN_3_0_6B, model_path=tiny_gguf(), threads=1) as client:
        assert client.chat("Say hello.") == HELLO


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(MissingExtraError) as caught:
        LlamaCppEngine(tiny_gguf(), lazy=True)
    assert (caught.value.package, caught.value.extra) == ("llama_cpp", "llamacpp")


def test_the_c_library_writes_to_the_log_only():
    code = f"""
import logging, aimu.engines._llamacpp, sys
assert not {{'llama_cpp', 'numpy', 'jinja2'}} & set(sys.modules)
logging.basicConfig(level=logging.INFO)
import aimu
client = aimu.client("llamacpp:{tiny_gguf()}", threads=1)
assert client.chat("Say hello.") == {HELLO!r}
records = []
class Keeping(logging.Handler):
    def emit(self, record): records.append(record)
log = logging.getLogger("aimu.engines")
log.addHandler(Keeping()); log.setLevel(logging.DEBUG); log.propagate = False
aimu.client("llamacpp:{tiny_gguf()}", threads=1).close()
assert len(records) > 100 and {{r.levelno for r in records}} == {{logging.DEBUG}}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_closing_frees_the_memory_and_the_threads():
    process = psutil.Process()

    def rounds(count, *, threads):
        for _ in range(count):
            engine = LlamaCppEngine(tiny_gguf(), threads=threads)
            anyio.run(engine.complete, ask("Say hello."))
            engine.close()
        gc.collect()
        return process.memory_info().rss, process.num_threads()

    rounds(10, threads=2)
    memory, threads = rounds(40, threads=1)  # malloc has its arenas now
    later, threads_later = rounds(100, threads=1)
    assert later < memory + 10_000_000  # leaked weights alone would be 65 MB
    assert threads_later <= threads
    assert rounds(10, threads=2)[1] <= threads + 1  # one thread may be about to end
