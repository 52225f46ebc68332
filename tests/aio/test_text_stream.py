"""The text of a stream by itself: `Stream.text_stream`."""

from contextlib import aclosing

import pytest

from aimu import aio
from aimu.errors import StreamClosedError
from aimu.testing import ScriptedProvider, reply
from aimu.tools import Tool


def speaking(*, fails=False):
    """Make an agent that speaks in two iterations, with thinking and a tool call between them."""
    steps = [reply("Let me see. ", thinking="hm", calls=[("look", {})]), reply("It is here.", thinking="so")]
    if fails:
        steps[1] = reply("It is", error=ValueError("broken"))
    client = aio.client(ScriptedProvider(*steps))
    return aio.Agent(client, name="clerk", tools=[Tool(name="look", function=lambda: "seen")])


@pytest.mark.parametrize("entered", [False, True])
async def test_the_text_stream_has_the_text_of_all_iterations_and_nothing_else(entered):
    stream = speaking().run("Look.", stream=True)
    if entered:
        async with stream:
            texts = [text async for text in stream.text_stream]
    else:
        texts = [text async for text in stream.text_stream]
    assert texts == ["Let ", "me ", "see. ", "It ", "is ", "here."]
    assert {type(text) for text in texts} == {str}
    assert stream.result == "It is here."
    assert [text async for text in stream.text_stream] == []


async def test_the_text_stream_and_the_chunks_are_one_stream():
    stream = speaking().run("Look.", stream=True)
    first = await anext(stream.text_stream)
    async for text in stream.text_stream:
        first += text
        break
    rest = [chunk.content async for chunk in stream if chunk.is_text()]
    assert (first, rest) == ("Let me ", ["see. ", "It ", "is ", "here."])


@pytest.mark.parametrize("entered", [False, True])
async def test_the_text_stream_ends_as_its_stream_does(entered):
    agent = speaking(fails=True)
    stream, texts = agent.run("Look.", stream=True), []
    with pytest.raises(ValueError, match="broken"):
        async with stream if entered else aclosing(stream):
            async for text in stream.text_stream:
                texts.append(text)
    assert texts[-2:] == ["It ", "is"]
    assert agent.history[-1]["content"] == "It is"
    with pytest.raises(StreamClosedError):
        stream.result
    left = speaking().run("Look.", stream=True)
    async for _ in left.text_stream:
        break
    await left.aclose()
    assert [text async for text in left.text_stream] == []
