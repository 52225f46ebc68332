"""The llama.cpp engine with `batch=`: its slots, which sequences share; test_batching tests what all engines do."""

from contextlib import aclosing

import anyio
import llama_cpp
import pytest

import aimu
from aimu._core.messages import assistant_message
from aimu._core.reply import StopReason
from aimu.engines._llamacpp import LlamaCppEngine
from aimu.errors import ContextLengthError, EngineError, InvalidOptionError
from aimu.testing import tiny_gguf
from tests.engines.asking import STORY, ask, user
from tests.engines.evaluations import Passes, evaluations
from tests.engines.fresh import Fresh
from tests.engines.gguf_kinds import CHATML, KINDS, byte_level, random_gguf
from tests.engines.test_batching import at_once, one_by_one, said
from tests.holding import Hold, join, start, until, wait_in_thread

HELLO = "Hello! How can I help you today?"


@pytest.fixture(scope="module")
def eight():
    """An engine that runs eight requests at once, each with a small context."""
    engine = LlamaCppEngine(tiny_gguf(), n_ctx=300, threads=1, batch=8)
    yield engine
    engine.close()


@pytest.fixture
def four(opened):
    return opened("llamacpp batch")


def slots_of(batch):
    return [batch.seq_id[row][0] for row in range(batch.n_tokens)]


async def test_every_pass_computes_slots_that_follow_each_other(eight, llama_engine):
    """llama.cpp computes others in several passes: two slots with a gap cost twice as much."""
    eight.prefix_cache.clear()
    lengths = [30, 5, 60, 12, 45, 3, 20, 50, 9, 33, 2, 25]
    requests = [ask(f"Tell me story {n}.", max_tokens=length, temperature=0) for n, length in enumerate(lengths)]
    steps = []

    def note(context, batch):
        wait_in_thread(lambda: bool(steps) or eight.worker.running + eight.worker.waiting == len(requests))
        if batch.logits and any(batch.logits[: batch.n_tokens]):
            steps.append(slots_of(batch))

    with evaluations(eight) as counts:
        counts.before = note
        replies = await at_once(eight, requests)
    assert replies == await one_by_one(llama_engine, requests)
    assert max(map(len, steps)) == 8
    assert len(steps) < sum(reply[-1] for reply in replies) / 3
    assert all(slots == list(range(slots[0], slots[0] + len(slots))) for slots in steps)


async def test_only_the_last_token_of_a_prompt_has_its_logits_computed(four):
    asked = []
    with evaluations(four) as counts:
        counts.before = lambda context, batch: asked.append(sum(batch.logits[: batch.n_tokens]))
        reply = await four.complete(ask("Say hello."))
    assert asked == [0] + [1] * reply.usage.output


async def test_an_abort_stops_a_prompt_within_a_slice_and_no_other_request(four, llama_engine):
    expected = (await one_by_one(llama_engine, [ask(*STORY, max_tokens=60)]))[0]
    long, found = ask(" robot" * 900), []
    robot = four._model.encode(" robot")[0]

    async def story():
        found.append(said(await four.complete(ask(*STORY, max_tokens=60))))

    async def cancel(scope, hold):
        await until(hold.reached.is_set)
        group.start_soon(let_go, hold)
        scope.cancel()

    async def let_go(hold):
        await anyio.wait_all_tasks_blocked()
        hold.released.set()

    seen = Passes(four)
    with seen.recorded() as counts:
        async with anyio.create_task_group() as group:
            with Hold() as hold:
                seen.gather = 2
                seen.before = lambda rows, ids: hold() if rows == 0 and ids.count(robot) > 100 else None
                group.start_soon(story)
                with anyio.CancelScope() as scope:
                    group.start_soon(cancel, scope, hold)
                    await four.complete(long)
        assert counts.codes.count(2) == 1
    assert found == [expected]


@pytest.mark.parametrize("code", [1, -1, -3])
async def test_a_code_of_llama_decode_fails_the_requests_of_that_pass_only(four, llama_engine, monkeypatch, code):
    request = ask(*STORY, max_tokens=20)
    compute, failed = llama_cpp.llama_decode, []

    def decode(context, batch):
        if context is four._model.slots.pointer and batch.n_tokens == 2 and not failed:
            failed.append(1)
            return code
        return compute(context, batch)

    async def one():
        with pytest.raises(EngineError, match=f"llama_decode returned {code}"):
            await four.complete(request)

    with monkeypatch.context() as patch:
        patch.setattr(llama_cpp, "llama_decode", decode)
        with (seen := Passes(four)).recorded():
            seen.gather = 2
            async with anyio.create_task_group() as group:
                group.start_soon(one)
                group.start_soon(one)
    assert await at_once(four, [request] * 3) == await one_by_one(llama_engine, [request] * 3)


async def test_a_pick_that_raises_fails_its_request_only(four, llama_engine, monkeypatch):
    requests = [ask(*STORY, max_tokens=tokens) for tokens in (30, 40)]
    chains, sample = [], llama_cpp.llama_sampler_sample

    def pick(chain, context, number):
        if context is four._model.slots.pointer:
            chains.extend([chain] if chain not in chains else [])
            if len(chains) == 3 and chain is chains[1]:
                raise ArithmeticError("no such luck")
        return sample(chain, context, number)

    async def failing():
        with pytest.raises(EngineError, match="ArithmeticError: no such luck"):
            await four.complete(ask("Say hello."))

    monkeypatch.setattr(llama_cpp, "llama_sampler_sample", pick)
    found = {}

    async def story(n):
        found[n] = said(await four.complete(requests[n]))

    seen = Passes(four)
    with seen.recorded():
        seen.gather = 3
        async with anyio.create_task_group() as group:
            group.start_soon(story, 0)
            await until(lambda: four.worker.running == 1)
            group.start_soon(failing)
            await until(lambda: four.worker.running + four.worker.waiting == 2)
            group.start_soon(story, 1)
    monkeypatch.undo()
    assert [found[0], found[1]] == await one_by_one(llama_engine, requests)


async def test_each_request_has_the_whole_context(eight):
    endless = ask(*STORY, temperature=5.0, top_k=0, top_p=1.0, extra_body={"min_p": 0.0})
    ends, eight._model.ends = eight._model.ends, frozenset()
    try:
        replies = await at_once(eight, [endless] * 8)
    finally:
        eight._model.ends = ends
    assert {reply[3] for reply in replies} == {StopReason.MAX_TOKENS}
    assert {reply[-2] + reply[-1] for reply in replies} == {300}
    with pytest.raises(ContextLengthError, match="context of 300 tokens"):
        await eight.complete(ask("hello " * 600))


def test_more_sequences_than_llama_cpp_allows_are_refused():
    most = llama_cpp.llama_max_parallel_sequences()
    with pytest.raises(InvalidOptionError, match=f"at most {most} .*batch={most + 1}"):
        LlamaCppEngine(tiny_gguf(), n_ctx=8, threads=1, batch=most + 1)


async def test_more_conversations_than_slots_reuse_their_own_prefix(four, llama_engine):
    four.prefix_cache.clear()

    async def conversation(n):
        history, texts = [user(f"What is {n} plus {n}?")], []
        for turn in range(3):
            reply = await four.complete(ask(*history, max_tokens=30, temperature=0))
            texts.append(reply.text)
            assert turn == 0 or reply.usage.input - reply.usage.cache_read < 30
            history += [assistant_message(reply), user("Say hello.")]
        return history, texts

    found = {}

    async def one(n):
        found[n] = await conversation(n)

    async with anyio.create_task_group() as group:
        for n in range(9):
            group.start_soon(one, n)
    assert 0 < four.prefix_cache.bytes <= four.prefix_cache.limit
    for history, texts in found.values():
        again = [await llama_engine.complete(ask(*history[: 2 * turn + 1], max_tokens=30)) for turn in range(3)]
        assert [reply.text for reply in again] == texts


async def test_conversations_in_turn_keep_their_slots(four):
    """As many as there are slots need not be saved, and a fifth one takes the slot that was not used for longest."""
    four.prefix_cache.clear()

    async def say(n):
        await four.complete(ask(f"Say hello {n}.", max_tokens=4))
        return four.prefix_cache._entries[-1].states

    states = [await say(n) for n in range(4)]
    assert [one.saved for one in states] == [None] * 4
    assert await say(0) is states[0]
    fifth = await say(4)
    assert [one.saved is None for one in states] == [True, False, True, True]
    assert fifth.saved is None


async def test_the_limit_of_the_prefix_cache_holds_and_changes_no_answer(llama_engine):
    engine = LlamaCppEngine(tiny_gguf(), threads=1, prefix_cache_bytes=60_000, batch=2)
    requests = [ask(f"What is {n} plus 4?", max_tokens=20) for n in range(4)] * 2
    try:
        assert await at_once(engine, requests) == await one_by_one(llama_engine, requests)
        assert engine.prefix_cache.bytes <= 60_000
    finally:
        await engine.aclose()


async def test_a_stopped_prompt_is_counted_in_the_memory_of_the_cache(four, slice_prefill):
    four.prefix_cache.clear()
    slice_prefill(16)
    with evaluations(four) as counts:
        counts.before = lambda *args: counts.calls == 4 and hold()
        async with anyio.create_task_group() as group:
            with Hold() as hold:
                group.start_soon(four.complete, ask("word " * 300))
                await until(hold.reached.is_set)
                group.cancel_scope.cancel()
    await until(lambda: four.worker.running == 0)
    entry = four.prefix_cache._entries[-1]
    assert len(entry.states) >= 48
    assert four.prefix_cache.bytes == entry.states.nbytes > 10_000


@pytest.mark.parametrize("kind", ["Gemma 3", "LFM 2", "Mamba"])
async def test_sequences_that_cannot_be_cut_join_leave_and_stop_among_others(tmp_path, kind):
    path = random_gguf(tmp_path / "model.gguf", KINDS[kind], byte_level(CHATML.replace("{{ START }}", "")))
    engine, fresh = LlamaCppEngine(path, threads=1, batch=3), Fresh(path)

    async def dropped():
        async with aclosing(engine.stream(ask(*STORY, temperature=0))) as pieces:
            await anext(pieces)

    async def one(n):
        await engine.complete(ask(f"Say hello {n}. " * (n + 1), max_tokens=5 + 7 * (n % 3), temperature=0))

    try:
        async with anyio.create_task_group() as group:
            for n in range(6):
                group.start_soon(one, n)
                group.start_soon(dropped)
        entries = [entry for entry in engine.prefix_cache._entries if "Say hello" in entry.text]
        assert len(entries) == 6
        for entry in entries:
            assert not fresh.differs(entry.ids, entry.marks[-2][1])
    finally:
        await engine.aclose()
        fresh.close()


def test_threads_with_sync_clients_share_forward_passes(model_string):
    questions = ["Tell me a story.", "Say hello.", "Is 9 a prime number?", "Who are you?"]
    with aimu.client(model_string, threads=1) as alone:
        expected = {question: alone.fork(keep_history=False).chat(question) for question in questions}
    found = {}

    def chat(question):
        with client.fork(keep_history=False) as own, own.chat(question, stream=True) as chunks:
            text = "".join(chunk.content for chunk in chunks if chunk.phase == "generating")
            found[question] = text, chunks.result

    with aimu.client(model_string, threads=1, batch=4) as client:
        seen = Passes(client.__aio__.provider.provider)
        seen.gather = 4
        with seen.recorded():
            join(start(*[lambda question=question: chat(question) for question in questions]))
    assert found == {question: (text, text) for question, text in expected.items()}
    assert max(seen.rows) == 4
