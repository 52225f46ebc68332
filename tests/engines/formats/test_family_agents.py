"""An agent of each family: thinking, two tools one after the other, an answer; streamed and plain, played back."""

import logging

import pytest

from aimu import aio
from aimu.tools import tool
from tests.engines.asking import ask
from tests.engines.formats.families import CHATML, FAMILIES, chat
from tests.engines.formats.played import PlayedEngine

THOUGHTS = "Where is it warm?", "Book it then.", "All done."


def replies(
    family, calls=(("weather", {"city": "Faro", "days": 2}), ("book", {"city": "Faro", "note": 'window, "quiet"'}))
):
    """What the model writes: a call with thinking, another one, an answer."""
    written = [family.calls(call) for call in calls] + [family.say("It is booked.")]
    thoughts = [family.think(text) if family.thinks else "" for text in THOUGHTS]
    return [(thought + text).removeprefix(family.opens) for thought, text in zip(thoughts, written, strict=True)]


def agent_of(engine):
    seen = []

    @tool
    def weather(city: str, days: int) -> str:
        """Tell the weather."""
        seen.append((city, days))
        return "25 C"

    @tool
    async def book(city: str, note: str) -> str:
        """Book a room."""
        seen.append((city, note))
        return "booked"

    return aio.Agent(aio.client(engine), "You travel.", tools=[weather, book]), seen


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
async def test_an_agent_of_each_family_uses_two_tools(family, streamed):
    engine = PlayedEngine(family.template, replies(family))
    agent, seen = agent_of(engine)
    said = {"thinking": "", "generating": ""}
    if streamed:
        async with agent.run("Somewhere warm, please.", stream=True) as stream:
            async for chunk in stream:
                if chunk.phase in said:
                    said[chunk.phase] += chunk.content
        answer = stream.result
    else:
        answer = await agent.run("Somewhere warm, please.")
    assert answer == "It is booked."
    assert seen == [("Faro", 2), ("Faro", 'window, "quiet"')]
    messages = agent.model_client.messages
    assert [message["role"] for message in messages] == ["system", "user", *["assistant", "tool"] * 2, "assistant"]
    kept = [message.get("thinking") for message in messages if message["role"] == "assistant"]
    begun = "Here are my reasoning steps:\n" if family.name == "apriel" else ""
    assert kept == ([begun + thought for thought in THOUGHTS] if family.thinks else [None] * 3)
    if streamed:
        assert said == {"thinking": "".join(filter(None, kept)), "generating": "It is booked."}
    last = engine.played.prompts[-1]
    for shown in ("You travel.", "Somewhere warm", "weather", "25 C", "booked", "window"):
        assert shown in last
    await engine.aclose()


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
async def test_a_malformed_call_goes_back_to_the_model(family):
    broken = family.calls(("weather", {"city": "Faro", "days": "soon"}))
    good = replies(family)
    engine = PlayedEngine(family.template, [broken.removeprefix(family.opens), *good])
    agent, seen = agent_of(engine)
    assert await agent.run("Somewhere warm, please.") == "It is booked."
    assert seen == [("Faro", 2), ("Faro", 'window, "quiet"')]
    assert "days" in agent.model_client.messages[3]["content"]
    await engine.aclose()


async def test_arguments_that_do_not_parse_spoil_no_later_request():
    for family in FAMILIES.values():
        call = family.calls(("weather", {"city": "Faro", "days": 2}))
        cut = call[: call.index("Faro") + 2]
        engine = PlayedEngine(family.template, [cut, replies(family)[-1]])
        agent, seen = agent_of(engine)
        assert await agent.run("Somewhere warm, please.") == "It is booked."
        assert seen == []
        told = agent.model_client.messages[3]["content"]
        assert any(word in told for word in ("days", "JSON", "no tool")), told
        await engine.aclose()


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING, logger="aimu.engines")
    return lambda: [record.getMessage() for record in caplog.records]


TOOLS = [{"type": "function", "function": {"name": "book", "description": "Books.", "parameters": {"type": "object"}}}]


async def test_an_unknown_format_is_told_once_when_tools_are_offered(warnings):
    engine = PlayedEngine("{% for m in messages %}{{ m.content }}{% endfor %}", ["a", "b", 'c\n{"name": "book"}'])
    await engine.complete(ask("Hello."))
    assert warnings() == []
    await engine.complete(ask("Hello.", tools=TOOLS))
    reply = await engine.complete(ask("Hello.", tools=TOOLS))
    assert [call.name for call in reply.calls] == ["book"]
    assert ["format of tool calls is unknown" in text for text in warnings()] == [True, False]
    assert "does not show tools" in warnings()[1]
    await engine.aclose()


async def test_thinking_without_a_switch_is_told_once(warnings):
    engine = PlayedEngine(FAMILIES["hermes"].template, ["a", "b", "c"])
    await engine.complete(ask("Hello.", thinking=False))
    await engine.complete(ask("Hello.", thinking=True))
    assert len(warnings()) == 1
    assert "no switch for thinking=False" in warnings()[0]
    await engine.aclose()


async def test_what_a_template_does_not_show_is_told_once(warnings):
    engine = PlayedEngine(FAMILIES["json"].template, ["a", "b"])
    history = ["Hello.", {"role": "assistant", "content": "Yes.", "thinking": "Hm."}, "And?"]
    for _ in range(2):
        await engine.complete(ask(*history))
    assert len(warnings()) == 1
    assert "does not show thinking" in warnings()[0]
    await engine.aclose()


async def test_tools_use_the_template_that_is_made_for_them():
    templates = {"default": "{{ messages[0].content }}", "tool_use": FAMILIES["hermes"].template}
    engine = PlayedEngine(templates, ["plain", '<tool_call>{"name": "book"}</tool_call>'])
    assert (await engine.complete(ask("Hello."))).text == "plain"
    reply = await engine.complete(ask("Hello.", tools=TOOLS))
    assert [call.name for call in reply.calls] == ["book"]
    assert engine.played.prompts[0] == "Hello."
    assert "Books." in engine.played.prompts[1]
    await engine.aclose()


async def test_a_format_that_is_named_overrides_the_template():
    engine = PlayedEngine(chat(*CHATML, ""), ['[TOOL_CALLS]book[ARGS]{"a": 1}'], tool_format="mistral")
    reply = await engine.complete(ask("Hello.", tools=TOOLS))
    assert [(call.name, call.arguments) for call in reply.calls] == [("book", '{"a": 1}')]
    await engine.aclose()
