"""The CPU time of the codecs while a streamed answer grows, in every wire format: for each delta it stays the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers._anthropic import AnthropicCodec
from aimu.providers._body import StreamReader
from aimu.providers._ollama import OllamaCodec
from aimu.providers._openai_chat import ChatCodec
from aimu.providers._openai_responses import ResponsesCodec
from aimu.providers._wire import Codec
from benchmarks.harness import Bench, Clock

SECONDS = (120, 20)
Events = Callable[[int], Iterator[Any]]


def chat(delta: dict[str, Any], first: dict[str, Any] | None = None) -> Events:
    def events(count: int) -> Iterator[Any]:
        for piece in ([first] if first else []) + [delta] * count:
            yield {"choices": [{"index": 0, "delta": piece}]}
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}

    return events


def anthropic(kind: str, delta: dict[str, Any]) -> Events:
    def events(count: int) -> Iterator[Any]:
        yield {"type": "message_start", "message": {"content": []}}
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": kind, "id": "c", "name": "f"}}
        for _ in range(count):
            yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
        yield {"type": "message_stop"}

    return events


def responses(kind: str) -> Events:
    def events(count: int) -> Iterator[Any]:
        for _ in range(count):
            yield {"type": f"response.{kind}.delta", "output_index": 0, "delta": "word "}
        yield {"type": "response.completed", "response": {"status": "completed", "output": []}}

    return events


def ollama(count: int) -> Iterator[Any]:
    for _ in range(count):
        yield {"message": {"content": "word "}, "done": False}
    yield {"message": {"content": ""}, "done": True}


def call(arguments: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "function": {"arguments": arguments, **more}}]}


CHAT = ChatCodec(ModelSpec("m", "vllm"), TABLE["vllm"])
ANTHROPIC = AnthropicCodec(ModelSpec("m", "anthropic"))
RESPONSES = ResponsesCodec(ModelSpec("m", "openai"))
WAYS: dict[str, dict[str, tuple[Codec, Events]]] = {
    "chat completions": {
        "text": (CHAT, chat({"content": "word "})),
        "inside <think>": (CHAT, chat({"content": "word "}, {"content": "<think>"})),
        "blanks": (CHAT, chat({"content": " "})),
        "refusal": (CHAT, chat({"refusal": "word "})),
        "call arguments": (CHAT, chat(call("12345 "), call("", name="f"))),
    },
    "Anthropic": {
        "text": (ANTHROPIC, anthropic("text", {"type": "text_delta", "text": "word "})),
        "thinking": (ANTHROPIC, anthropic("thinking", {"type": "thinking_delta", "thinking": "word "})),
        "input": (ANTHROPIC, anthropic("tool_use", {"type": "input_json_delta", "partial_json": "1234 "})),
    },
    "Responses": {
        "text": (RESPONSES, responses("output_text")),
        "refusal": (RESPONSES, responses("refusal")),
        "call arguments": (RESPONSES, responses("function_call_arguments")),
    },
    "Ollama": {"text": (OllamaCodec(ModelSpec("m", "ollama")), ollama)},
}


def read(clock: Clock, count: int, codec: Codec, events: Events) -> None:
    lines = [json.dumps(event).encode() for event in events(count)]
    bodies = [line + b"\n" if events is ollama else b"data: " + line + b"\n\n" for line in lines]
    reader = StreamReader(codec)
    with clock.over(count):
        for body in bodies:
            for _ in reader.feed(body):
                pass
        for _ in reader.finish():
            pass


def measure(bench: Bench) -> None:
    sizes = bench.pick(full=[8_000, 16_000, 32_000, 64_000, 128_000], quick=[1_000, 2_000, 4_000])
    for wire, kinds in WAYS.items():
        ways = {kind: partial(read, codec=codec, events=events) for kind, (codec, events) in kinds.items()}
        bench.grow(wire, sizes, ways, along="deltas", operation="delta")
