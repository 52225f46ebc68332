"""Every accumulator of every wire format is linear up to a megabyte: no piece is ever added to the text before it.

Adding texts copies what came before, for each piece again; joining them once does not. `benchmarks/streams.py` measures
the same with doubled lengths.
"""

import json
from time import thread_time

import pytest

from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers._anthropic import AnthropicCodec
from aimu.providers._ollama import OllamaCodec
from aimu.providers._openai_chat import ChatCodec
from aimu.providers._openai_responses import ResponsesCodec

PIECE = "x" * 10
PIECES = (1 << 20) // len(PIECE) + 1
FACTOR = 8  # of the time of a quarter of the text: linear work takes four times as long, quadratic work sixteen times


class Piece(str):
    """A piece of text that refuses to be added to what came before."""

    def __add__(self, other):
        raise AssertionError("a piece was added to the text, which copies the text")

    __radd__ = __add__


def pieced(value):
    """A JSON value in which each text that is repeated is a Piece."""
    if isinstance(value, dict):
        return {key: pieced(item) for key, item in value.items()}
    if isinstance(value, list):
        return [pieced(item) for item in value]
    return Piece(value) if value in (PIECE, "{") else value


def chat(delta):
    return {"choices": [{"index": 0, "delta": delta}]}


def call(**function):
    return chat({"tool_calls": [{"index": 0, "function": function}]})


def anthropic(kind, delta):
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": kind, "id": "c", "name": "f"}}
    return start, {"type": "content_block_delta", "index": 0, "delta": delta}


CHAT = ChatCodec(ModelSpec("m", "vllm"), TABLE["vllm"])
ANTHROPIC = AnthropicCodec(ModelSpec("m", "anthropic"))
RESPONSES = ResponsesCodec(ModelSpec("m", "openai"))
OLLAMA = OllamaCodec(ModelSpec("m", "ollama"))
CHAT_END = [{"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}]
CLAUDE_END = [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}]
CLAUDE_START = {"type": "message_start", "message": {"content": []}}
RESPONSES_END = [{"type": "response.completed", "response": {"status": "completed", "output": []}}]
BLOCKS = {
    "anthropic text": anthropic("text", {"type": "text_delta", "text": PIECE}),
    "anthropic thinking": anthropic("thinking", {"type": "thinking_delta", "thinking": PIECE}),
    "anthropic signature": anthropic("thinking", {"type": "signature_delta", "signature": PIECE}),
    "anthropic input": anthropic("tool_use", {"type": "input_json_delta", "partial_json": PIECE}),
    "anthropic citations": anthropic("text", {"type": "citations_delta", "citation": {"x": 1}}),
}
# The codec, what begins a stream, the event that is repeated, what ends it, and where the pieces are in the reply.
STREAMS = {
    "chat text": (CHAT, [], chat({"content": PIECE}), CHAT_END, "text"),
    "chat thinking": (CHAT, [], chat({"reasoning_content": PIECE}), CHAT_END, "thinking"),
    "chat refusal": (CHAT, [], chat({"refusal": PIECE}), CHAT_END, "refusal"),
    "chat arguments": (CHAT, [call(name="f")], call(arguments=PIECE), CHAT_END, "arguments"),
    "chat arguments with a name in each": (CHAT, [], call(name="f", arguments=PIECE), CHAT_END, "arguments"),
    "chat name": (CHAT, [], call(name=PIECE), CHAT_END, None),
    "chat name in pieces": (CHAT, [call(name="y")], call(name=PIECE), CHAT_END, "name"),
    "chat braces with a name in each": (
        CHAT,
        [call(name="f", arguments='"')],
        call(name="f", arguments="{"),
        CHAT_END,
        None,
    ),
    **{
        name: (ANTHROPIC, [CLAUDE_START, start], delta, CLAUDE_END, name.split()[1] if "text" in name else None)
        for name, (start, delta) in BLOCKS.items()
    },
    "responses text": (RESPONSES, [], {"type": "response.output_text.delta", "delta": PIECE}, RESPONSES_END, "text"),
    "responses text after the whole item": (
        RESPONSES,
        [
            {
                "type": "response.output_item.done",
                "item": {"type": "message", "content": [{"type": "output_text", "text": PIECE * PIECES}]},
            }
        ],
        {"type": "response.output_text.delta", "delta": PIECE},
        RESPONSES_END,
        "text",
    ),
    "responses refusal": (RESPONSES, [], {"type": "response.refusal.delta", "delta": PIECE}, RESPONSES_END, "refusal"),
    "responses thinking": (
        RESPONSES,
        [],
        {"type": "response.reasoning_summary_text.delta", "delta": PIECE},
        RESPONSES_END,
        "thinking",
    ),
    "responses arguments": (
        RESPONSES,
        [],
        {"type": "response.function_call_arguments.delta", "delta": PIECE},
        RESPONSES_END,
        "arguments",
    ),
    "ollama text": (OLLAMA, [], {"message": {"content": PIECE}}, [{"message": {}, "done": True}], "text"),
    "ollama thinking": (OLLAMA, [], {"message": {"thinking": PIECE}}, [{"message": {}, "done": True}], "thinking"),
}


def read(name, pieces):
    """The reply, and the seconds that it took."""
    codec, begin, event, end, _ = STREAMS[name]
    event = pieced(event)
    decoder = codec.decoder()
    for first in begin:
        list(decoder.feed(json.loads(json.dumps(first))))
    began = thread_time()
    for _ in range(pieces):
        decoder.feed(event)
    for last in end:
        list(decoder.feed(last))
    return decoder.reply(), thread_time() - began


@pytest.mark.parametrize("name", STREAMS)
def test_pieces_are_joined_once(name, uncollected):
    (_, shorter), (reply, longer) = (read(name, pieces) for pieces in (PIECES // 4, PIECES))
    if longer > FACTOR * shorter:  # perhaps by chance
        shorter, longer = (min(read(name, pieces)[1] for _ in range(2)) for pieces in (PIECES // 4, PIECES))
    assert longer <= FACTOR * shorter
    where = STREAMS[name][-1]
    if where in ("arguments", "name"):
        assert len(getattr(reply.calls[0], where)) >= PIECES * len(PIECE)
    elif where:
        assert len(getattr(reply, where)) == PIECES * len(PIECE)


def test_many_calls_pass():
    """10,000 calls with and without an index, an id and the whole message beside them."""
    for more in ({"index": 0}, {}):
        decoder = CHAT.decoder()
        pieces = [{"id": f"c{n}", "function": {"name": "f", "arguments": "{}"}, **more} for n in range(10_000)]
        for piece in pieces:
            decoder.feed(chat({"tool_calls": [piece]}))
        decoder.feed({"choices": [{"delta": {}, "message": {"tool_calls": pieces}, "finish_reason": "tool_calls"}]})
        assert len(decoder.reply().calls) == 10_000
