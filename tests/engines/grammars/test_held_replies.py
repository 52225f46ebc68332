"""Replies that engines hold to grammars: typed output, forced calls, options; in batches, cancelled, and not at all."""

import json
import logging
import re
import subprocess
import sys
from functools import partial
from typing import Literal

import anyio
import pytest
import torch

from aimu import aio
from aimu.engines import HuggingFaceEngine, LlamaCppEngine
from aimu.engines._grammars import holding
from aimu.errors import EngineError, InvalidOptionError, MissingExtraError, OutputError, TruncatedError
from aimu.providers import OutputSchema
from aimu.testing import tiny_gguf, tiny_model
from aimu.types import StopReason
from tests.engines.asking import TOOLS, ask, streamed
from tests.engines.gguf_kinds import CHATML, byte_level, pieces, random_gguf
from tests.engines.gguf_kinds import KINDS as GGUF_KINDS
from tests.output.kinds import KINDS, Cat, Owner

OWN_CHECK = {"attrs", "recursive attrs"}
BOUNDED = {"bool", "literal", "enum", "int enum", "constrained", "datetime", "date", "time", "timedelta", "uuid"}
"""Kinds whose texts are short; others may go on, such as a list that never closes."""
SEED = 3
"""With it, random weights end 29 of 41 answers; with others, thinking or a list fills up all tokens more often."""
ANY_WEIGHTS = {"temperature": 2.0, "top_k": 0, "top_p": 1.0}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture(scope="module")
def random_hf():
    """An engine of random weights."""
    engine = HuggingFaceEngine(tiny_model(), threads=1, batch=4)
    random = torch.Generator().manual_seed(SEED)
    weights = engine._model.model.state_dict().values()
    engine.worker.run_sync(lambda: [values.normal_(0, 0.3, generator=random) for values in weights])
    yield engine
    engine.close()


@pytest.fixture(scope="module", params=["byte-level", "pieces"])
def random_llama(request, tmp_path_factory):
    vocabulary = {"byte-level": byte_level, "pieces": pieces}[request.param](CHATML.replace("{{ START }}", ""))
    path = random_gguf(tmp_path_factory.mktemp("gguf") / "model.gguf", GGUF_KINDS["Llama"], vocabulary)
    engine = LlamaCppEngine(path, threads=1)
    yield engine
    engine.close()


async def plain(client, kind, options):
    return await client.chat("Say hello.", options, output_type=kind, output_retries=0)


async def streaming(client, kind, options):
    async with client.chat("Say hello.", options, stream=True, output_type=kind, output_retries=0) as stream:
        async for _ in stream:
            pass
        return stream.result


async def outcome(engine, name, way, options):
    """True if the answer came to its end and is valid, False if `max_tokens` ended it."""
    client = aio.client(engine)
    try:
        answer = await way(client, KINDS[name][0], {"max_tokens": 80, **options})
    except TruncatedError:
        assert client.last_usage.output == 80
        return False
    except OutputError as exc:
        if name not in OWN_CHECK:
            raise
        if not all("in range(1, 65536)" in reason for reason in exc.reasons):
            raise
    else:
        assert answer.stop_reason is StopReason.END
    return True


@pytest.mark.parametrize("name", KINDS)
async def test_an_answer_that_ends_is_valid(engine, name):
    likeliest = await outcome(engine, name, plain, {"temperature": 0, "thinking": False})
    by_chance = await outcome(engine, name, streaming, {"seed": 1, **ANY_WEIGHTS})
    assert likeliest or by_chance or name not in BOUNDED


@pytest.mark.parametrize("way", [plain, streaming])
async def test_an_answer_of_random_weights_that_ends_is_valid(random_hf, random_llama, way):
    for engine in (random_hf, random_llama):
        ends = [await outcome(engine, name, way, {"seed": 1}) for name in KINDS]
        assert sum(ends) > len(ends) // 3


def test_the_sync_twins(weights):
    for name in ("enum", "datetime", "uuid"):
        kind = KINDS[name][0]
        for stream in (False, True):
            client = weights.fork(keep_history=False)
            options = {"max_tokens": 200, "thinking": False, "temperature": 0}
            if stream:
                chunks = client.chat("Say hello.", options, stream=True, output_type=kind)
                assert list(chunks)
                answer = chunks.result
            else:
                answer = client.chat("Say hello.", options, output_type=kind)
            assert (answer.requests, isinstance(answer.output, type(next(iter(KINDS[name][1].values()))))) == (1, True)


async def test_the_prompt_shows_the_schema_and_the_grammar_has_the_exact_one(engine):
    client = aio.client(engine)
    kind = tuple[Literal["x"], Literal[7]]
    answer = await client.chat("Go.", {"thinking": False}, output_type=kind)
    assert answer.output == ("x", 7)
    assert client.messages[0]["content"].startswith("Go.\n\nAnswer with JSON alone")
    assert json.loads(str(answer)) == {"response": ["x", 7]}


@pytest.mark.parametrize("mode", ["auto", "grammar"])
async def test_marks_in_an_answer_are_its_text(engine, mode):
    marks = '<think>"</think> <tool_call>{} </tool_call>[TOOL_CALLS]<|im_end|>'
    client = aio.client(engine, tools=[add])
    answer = await client.chat(
        "Go.", {"thinking": False, "tool_choice": "none"}, output_type=Literal[marks], output_mode=mode
    )
    assert answer.output == marks


async def test_tools_are_called_beside_an_output_type(engine):
    seen = set()
    for seed in range(12):
        agent = aio.Agent(aio.client(engine), tools=[add], max_iterations=3)
        options = {"seed": seed, "temperature": 1.5, "thinking": False, "max_tokens": 150}
        try:
            answer = await agent.run("What is 3 + 5?", options, output_type=int)
        except TruncatedError:
            continue
        assert isinstance(answer.output, int)
        seen.add(any(message.get("tool_calls") for message in agent.history))
    assert seen


# Forced calls


@pytest.mark.parametrize("choice", ["required", "add"])
async def test_a_forced_call_is_certain(engine, choice, caplog):
    for seed in range(4):
        options = {"tool_choice": choice, "seed": seed, "temperature": 1.5, "max_tokens": 120}
        request = ask("Say hello.", tools=TOOLS, **options)
        reply = await engine.complete(request)
        if reply.stop_reason is StopReason.MAX_TOKENS:
            continue
        assert reply.calls
        assert not reply.text.strip()
        names = {tool["function"]["name"] for tool in TOOLS}
        assert {call.name for call in reply.calls} <= (names if choice == "required" else {"add"})
        for call in reply.calls:
            assert isinstance(json.loads(call.arguments), dict)
        deltas, again = await streamed(engine, request)
        assert [(call.name, call.arguments) for call in again.calls] == [(c.name, c.arguments) for c in reply.calls]
        assert not [delta for delta in deltas if delta.phase == "generating" and delta.text.strip()]
    assert "tool_choice" not in caplog.text


async def test_one_call_if_several_are_not_wanted(engine):
    options = {"tool_choice": "required", "parallel_tool_calls": False, "thinking": False, "temperature": 0}
    reply = await engine.complete(ask("What is 3 + 5?", tools=TOOLS, **options))
    assert len(reply.calls) == 1


async def test_the_output_tool_is_forced(engine):
    client = aio.client(engine)
    options = {"thinking": False, "max_tokens": 200, "temperature": 0}
    answer = await client.chat("Go.", options, output_type=Literal["left", "right"], output_mode="tool")
    assert answer.output in ("left", "right")
    assert answer.requests == 1


async def test_a_tool_that_is_not_offered_is_not_forced(engine, caplog):
    with caplog.at_level(logging.WARNING, "aimu.engines"):
        reply = await engine.complete(ask("Say hello.", tools=TOOLS, tool_choice="other", max_tokens=5))
    assert reply.usage.output
    assert "names no tool" in caplog.text or engine._warned


# Options


async def test_options_hold_the_answer_behind_the_thinking(engine):
    for field, value, pattern in (
        ("regex", r"[a-c]{3}-\d{2}", r"[a-c]{3}-\d{2}"),
        ("grammar", 'root ::= "yes" | "no"', "yes|no"),
        ("json_schema", {"type": "integer", "minimum": 10, "maximum": 99}, "[1-9][0-9]"),
        ("json_schema", '{"enum": ["one", 2]}', '"one"|2'),
    ):
        for seed in range(3):
            options = {"extra_body": {field: value}, "seed": seed, "temperature": 1.2, "max_tokens": 200}
            reply = await engine.complete(ask("Say hello.", **options))
            assert re.fullmatch(pattern, reply.text) or reply.stop_reason is StopReason.MAX_TOKENS
    options = {"extra_body": {"regex": "[0-9]{2}"}, "thinking": False}
    assert (await engine.complete(ask("Say hello.", **options))).thinking == ""


@pytest.mark.parametrize("field", ["regex", "grammar", "json_schema"])
async def test_an_invalid_option_is_an_error_of_its_request_only(engine, field):
    value = {"type": "odd"} if field == "json_schema" else "root ::= ("
    with pytest.raises(InvalidOptionError, match=f"invalid extra_body\\['{field}'\\]"):
        await engine.complete(ask("Say hello.", extra_body={field: value}))
    assert (await engine.complete(ask("Say hello."))).text


async def test_a_grammar_wins_over_options_that_rule_out_all_that_it_allows(opened):
    engine = opened("hf")
    model = engine.worker.run_stoppable(engine._loaded)
    ruled_out = [token for token in range(900) if "a" in model.decode([token])]
    options = {"extra_body": {"regex": "a", "suppress_tokens": ruled_out}, "thinking": False}
    assert (await engine.complete(ask("Say hello.", **options))).text == "a"


async def test_sampling_options_apply_to_what_is_allowed(engine):
    for options in ({"top_k": 1}, {"top_p": 0.1}, {"repeat_penalty": 1.5}, {"presence_penalty": 1.0, "seed": 4}):
        body = {"min_p": 0.2, "typical_p": 0.5, "regex": "(ab|cd){6}"}
        reply = await engine.complete(ask("Say hello.", thinking=False, extra_body=body, temperature=1.0, **options))
        assert re.fullmatch("(ab|cd){6}", reply.text)


async def test_a_stop_string_ends_a_constrained_text(engine):
    reply = await engine.complete(ask("Go.", thinking=False, stop="d", extra_body={"regex": "abcdef"}))
    assert (reply.text, reply.stop_reason) == ("abc", StopReason.STOP_SEQUENCE)


async def test_a_cut_text_says_so(engine):
    reply = await engine.complete(ask("Go.", thinking=False, max_tokens=2, extra_body={"regex": "[a-z]{30}"}))
    assert reply.stop_reason is StopReason.MAX_TOKENS


async def test_a_text_that_cannot_be_written_fails_only_if_the_user_gave_the_grammar(engine, monkeypatch, caplog):
    monkeypatch.setattr("aimu.engines._grammars.constraint.Constraint.accept", give_up)
    with pytest.raises(EngineError, match="not held to its grammar up to its end: too complex; use a simpler grammar"):
        await engine.complete(ask("Go.", extra_body={"regex": "a"}))
    engine._warned.clear()
    output = OutputSchema(name="n", schema={"type": "integer"}, mode="grammar")
    with caplog.at_level(logging.WARNING, "aimu.engines"):
        for _ in range(2):
            request = ask("Go.", max_tokens=20)
            await engine.complete(type(request)(messages=request.messages, options=request.options, output=output))
    assert caplog.text.count("too complex") == 1


def give_up(constraint, token):
    constraint._fail("too complex\nand more")


# Beside each other, stopped, and again


@pytest.mark.parametrize("kind", ["hf batch", "llamacpp batch"])
async def test_each_request_in_a_batch_has_its_own_grammar(kind, opened):
    found, batch_engine = {}, opened(kind)

    async def answer(number):
        options = {"extra_body": {"regex": f"{number}[a-z]{{{number}}}{number}"}, "thinking": False}
        found[number] = (await batch_engine.complete(ask("Say hello.", seed=number, temperature=2.0, **options))).text

    async with anyio.create_task_group() as group:
        for number in range(1, 9):
            group.start_soon(answer, number)
        group.start_soon(partial(batch_engine.complete, ask("Say hello.")))
    assert all(re.fullmatch(f"{n}[a-z]{{{n}}}{n}", text) for n, text in found.items())
    assert len(found) == 8


@pytest.mark.parametrize("kind", ["hf", "llamacpp"])
async def test_a_batch_writes_the_same_as_the_sequence_alone(kind, opened):
    single, batch_engine = opened(kind), opened(f"{kind} batch")
    requests = [
        ask("Say hello.", temperature=0, max_tokens=60, extra_body={"regex": f"[a-z]{{{n}}} [0-9]+x"})
        for n in range(2, 6)
    ]
    alone = [(await single.complete(request)).text for request in requests]
    together = [""] * len(requests)

    async def one(index):
        together[index] = (await batch_engine.complete(requests[index])).text

    async with anyio.create_task_group() as group:
        for index in range(len(requests)):
            group.start_soon(one, index)
    assert together == alone


async def test_a_cancelled_request_leaves_nothing(engine):
    request = ask("Go.", thinking=False, temperature=0, extra_body={"regex": "[a-z]{9}"})
    whole = (await engine.complete(request)).text
    for count in range(1, 6):
        stream = engine.stream(request)
        for _ in range(count):
            await anext(stream)
        await stream.aclose()
        assert (await engine.complete(request)).text == whole
    assert engine.worker.running == engine.worker.waiting == 0


async def test_a_prompt_that_is_known_is_not_computed_again(engine):
    first = ask("Say hello.", thinking=False, extra_body={"regex": "[a-z]{9}"})
    text = (await engine.complete(first)).text
    messages = [*first.messages, {"role": "assistant", "content": text}, {"role": "user", "content": "Again."}]
    reply = await engine.complete(ask(*messages, thinking=False, extra_body={"regex": "[0-9]{4}"}))
    assert re.fullmatch("[0-9]{4}", reply.text)
    assert reply.usage.cache_read > 0


# Not at all


@pytest.fixture
def without(monkeypatch):
    monkeypatch.setattr(holding, "find_spec", lambda name: None)


@pytest.mark.parametrize("kind", ["hf", "llamacpp"])
async def test_without_the_package_types_are_validated_and_options_refused(kind, without, caplog):
    engine = {"hf": partial(HuggingFaceEngine, tiny_model()), "llamacpp": partial(LlamaCppEngine, tiny_gguf())}[kind]()
    try:
        with pytest.raises(MissingExtraError, match=f"'llguidance' is not installed; it belongs to the extra '{kind}'"):
            await engine.complete(ask("Go.", extra_body={"regex": "a"}))
        with caplog.at_level(logging.WARNING, "aimu.engines"):
            await engine.complete(ask("Go.", tools=TOOLS, tool_choice="required", max_tokens=3))
        assert "llguidance is not installed" in caplog.text
        client = aio.client(engine)
        with pytest.raises(InvalidOptionError, match="no constrained decoding"):
            await client.chat("Go.", output_type=Cat, output_mode="grammar")
        with pytest.raises((OutputError, TruncatedError)):
            await client.chat("Go.", {"max_tokens": 20}, output_type=Owner, output_retries=0)
    finally:
        engine.close()


@pytest.mark.parametrize("model", [f"hf:{tiny_model()}", f"llamacpp:{tiny_gguf()}"], ids=["hf", "llamacpp"])
def test_nothing_is_loaded_until_a_request_has_a_grammar(model):
    code = (
        "import sys, aimu\n"
        f"with aimu.client({model!r}, threads=1) as client:\n"
        "    client.chat('Say hello.', {'tool_choice': 'auto'})\n"
        "    names = [name for name in sys.modules if 'llguidance' in name or name.endswith('_grammars.constraint')]\n"
        "    assert not names, names\n"
        "    client.chat('Say hello.', {'extra_body': {'regex': 'a'}})\n"
        "    assert 'llguidance' in sys.modules and 'llguidance.torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_forks_of_a_conversation(weights):
    client = weights.fork(keep_history=False)
    other = client.fork()
    options = {"thinking": False, "extra_body": {"regex": "[a-z]{3}"}}
    assert re.fullmatch("[a-z]{3}", str(client.chat("Go.", options)))
    assert re.fullmatch("[a-z]{3}", str(other.chat("Go.", options)))
