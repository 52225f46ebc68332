"""What all engines have in common, on the real tiny model: answers, options, the prefix cache, errors."""

import logging
import random

import pytest

from aimu._core.messages import assistant_message, tool_message
from aimu._core.reply import StopReason
from aimu.errors import (
    ContextLengthError,
    InvalidImageError,
    InvalidOptionError,
)
from aimu.providers._base import Provider
from tests.engines.asking import STORY, TOOLS, ask, streamed, user


async def test_a_stream_and_a_whole_reply_have_the_same_text(engine):
    assert isinstance(engine, Provider)
    deltas, reply = await streamed(engine, ask(*STORY))
    assert reply.text.startswith("Once upon a time a small robot")
    assert len(deltas) > 50
    assert reply.stop_reason is StopReason.END
    assert reply.usage.output > 50
    again = await engine.complete(ask(*STORY))
    assert again.text == reply.text


async def test_a_tool_is_called_and_its_result_answered_with_the_prefix_reused(engine):
    a, b = random.randrange(1000), random.randrange(1000)
    history = [user(f"What is {a} plus {b}?")]
    deltas, reply = await streamed(engine, ask(*history, tools=TOOLS))
    (call,) = reply.calls
    assert (deltas, reply.text, reply.stop_reason) == ([], "", StopReason.TOOL_CALLS)
    assert (call.name, call.arguments) == ("add", f'{{"a": {a}, "b": {b}}}')
    history += [assistant_message(reply), tool_message(call, str(a + b))]
    second = await engine.complete(ask(*history, tools=TOOLS))
    assert second.text == f"The answer is {a + b}."
    assert second.usage.cache_read >= reply.usage.input


async def test_a_reply_can_have_two_calls(engine):
    reply = await engine.complete(ask("What is the weather in Paris and Rome?", tools=TOOLS))
    assert [call.arguments for call in reply.calls] == ['{"city": "Paris"}', '{"city": "Rome"}']


async def test_thinking_is_separated_and_can_be_switched_off(engine):
    question = "Is 7 a prime number?"
    _, reply = await streamed(engine, ask(question))
    assert reply.thinking == "7 has no divisors except 1 and 7."
    assert reply.text == "Yes, 7 is a prime number."
    _, reply = await streamed(engine, ask(question, thinking=False))
    assert (reply.thinking, reply.text) == ("", "Yes, 7 is a prime number.")


async def test_a_json_answer_is_not_taken_for_a_call(engine):
    reply = await engine.complete(ask("Give me a person as JSON.", tools=TOOLS))
    assert (reply.text, reply.calls) == ('{"name": "Ada", "age": 36}', ())


async def test_the_prefix_cache_does_not_change_the_text(engine):
    questions = ["What is 12 plus 30?", "Say hello.", "Is 9 a prime number?", "Tell me a story.", "What is 6 plus 6?"]

    async def talk(reuse):
        history, said = [], []
        for question in questions:
            history.append(user(question))
            while True:
                if not reuse:
                    engine.prefix_cache.clear()
                reply = await engine.complete(ask(*history, tools=TOOLS))
                history.append(assistant_message(reply))
                said.append((reply.text, reply.thinking, [call.arguments for call in reply.calls]))
                history += [tool_message(call, "42") for call in reply.calls]
                if not reply.calls:
                    break
        return said

    without = await talk(False)
    before = engine.prefix_cache.tokens_reused
    assert await talk(True) == without
    assert engine.prefix_cache.tokens_reused > before + 500
    assert 0 < engine.prefix_cache.bytes <= engine.prefix_cache.limit


async def test_conversations_that_branch_do_not_disturb_each_other(engine):
    system = {"role": "system", "content": "You are a helpful assistant."}
    trunk = [system, user("What is 31 plus 8?")]
    reply = await engine.complete(ask(*trunk, tools=TOOLS))
    trunk += [assistant_message(reply), tool_message(reply.calls[0], "39")]
    expected = {}
    for reuse in (False, True, True):
        for question in ("Say hello.", "What is the weather in Rome?", "Who are you?"):
            if not reuse:
                engine.prefix_cache.clear()
            reply = await engine.complete(ask(*trunk, user(question), tools=TOOLS))
            found = (reply.text, [call.arguments for call in reply.calls])
            assert expected.setdefault(question, found) == found


async def test_long_prompts_are_computed_in_slices(engine, forwards, slice_prefill):
    whole = await engine.complete(ask(*STORY, {"role": "user", "content": "Say hello. " * 30}, max_tokens=12))
    slice_prefill(16)
    engine.prefix_cache.clear()
    forwards.calls = 0
    sliced = await engine.complete(ask(*STORY, {"role": "user", "content": "Say hello. " * 30}, max_tokens=12))
    assert sliced.text == whole.text
    apart = int(getattr(engine, "_batch", None) is not None)  # a batch computes the last token of a prompt separately
    assert forwards.calls == -(-(sliced.usage.input - apart) // 16) + apart + sliced.usage.output - 1


async def test_options_have_an_effect(engine):
    reply = await engine.complete(ask(*STORY, max_tokens=5))
    assert (reply.stop_reason, reply.usage.output) == (StopReason.MAX_TOKENS, 5)
    _, reply = await streamed(engine, ask(*STORY, stop=["never", "quiet house"]))
    assert reply.stop_reason is StopReason.STOP_SEQUENCE
    assert reply.text.endswith("lived in a ")
    greedy = (await engine.complete(ask(*STORY))).text
    assert (await engine.complete(ask(*STORY, temperature=0, top_p=0.5, top_k=3))).text == greedy
    hot = {"temperature": 3.0, "top_p": 1.0, "top_k": 0, "extra_body": {"min_p": 0.0}, "max_tokens": 30}
    first, same, other = [(await engine.complete(ask(*STORY, seed=seed, **hot))).text for seed in (1, 1, 2)]
    assert first == same
    assert first != other
    assert first != greedy
    assert (await engine.complete(ask(*STORY, temperature=1.0, top_k=1))).text == greedy
    for name in ("repeat_penalty", "presence_penalty", "frequency_penalty"):
        assert (await engine.complete(ask(*STORY, max_tokens=60, **{name: 50.0}))).text not in greedy, name


@pytest.mark.parametrize(("field", "meant"), [("min_pp", "'min_p'"), ("chat_template_kwarg", "'chat_template_kwargs'")])
async def test_an_unknown_field_of_extra_body_is_told_with_the_nearest_name(engine, field, meant):
    request = ask("Say hello.", extra_body={field: 1})
    wanted = (
        rf"extra_body has the unknown field '{field}'; did you mean {meant}\?; the fields of this engine are: .*min_p"
    )
    with pytest.raises(InvalidOptionError, match=wanted):
        await engine.complete(request)
    with pytest.raises(InvalidOptionError, match=wanted):
        await streamed(engine, request)


async def test_an_unsupported_option_is_logged_once(engine, caplog):
    engine._warned.clear()
    with caplog.at_level(logging.WARNING, "aimu.engines"):
        for _ in range(2):
            await engine.complete(
                ask("Say hello.", thinking_budget_tokens=10, tool_choice="auto", parallel_tool_calls=True)
            )
    assert [record.getMessage() for record in caplog.records] == [
        f"{engine.spec}: this engine does not support the option thinking_budget_tokens=10 and ignores it"
    ]


@pytest.mark.parametrize("option", [{"temperature": -1.0}, {"top_p": 2.0, "temperature": 1.0}, {"max_tokens": 0}])
async def test_an_invalid_option_is_refused(engine, option):
    with pytest.raises(InvalidOptionError):
        await engine.complete(ask("Say hello.", **option))


async def test_the_error_of_a_prompt_longer_than_the_context_says_by_how_much(engine):
    with pytest.raises(
        ContextLengthError, match=r"the prompt has (\d+) tokens, \d+ too many for .* shorten the history"
    ) as caught:
        await engine.complete(ask("hello " * 5000))
    assert "context of 4096" in str(caught.value)


async def test_an_image_is_refused(engine):
    image = {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}
    with pytest.raises(InvalidImageError):
        await engine.complete(ask({"role": "user", "content": [image]}))
