"""Measures the CPU time of a streamed answer in every wire format while its length doubles: the last column stays at 2.

python benchmarks/streams.py
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers._anthropic import AnthropicCodec
from aimu.providers._body import StreamReader
from aimu.providers._ollama import OllamaCodec
from aimu.providers._openai_chat import ChatCodec
from aimu.providers._openai_responses import ResponsesCodec
from aimu.providers._wire import Codec

LENGTHS = [8_000, 16_000, 32_000, 64_000, 128_000]  # deltas
ROUNDS = 3
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
WAYS: dict[str, tuple[Codec, Events]] = {
    "chat, text": (CHAT, chat({"content": "word "})),
    "chat, inside <think>": (CHAT, chat({"content": "word "}, {"content": "<think>"})),
    "chat, blanks": (CHAT, chat({"content": " "})),
    "chat, refusal": (CHAT, chat({"refusal": "word "})),
    "chat, call arguments": (CHAT, chat(call("12345 "), call("", name="f"))),
    "anthropic, text": (ANTHROPIC, anthropic("text", {"type": "text_delta", "text": "word "})),
    "anthropic, thinking": (ANTHROPIC, anthropic("thinking", {"type": "thinking_delta", "thinking": "word "})),
    "anthropic, input": (ANTHROPIC, anthropic("tool_use", {"type": "input_json_delta", "partial_json": "1234 "})),
    "responses, text": (RESPONSES, responses("output_text")),
    "responses, refusal": (RESPONSES, responses("refusal")),
    "responses, call arguments": (RESPONSES, responses("function_call_arguments")),
    "ollama, text": (OllamaCodec(ModelSpec("m", "ollama")), ollama),
}


def cost(codec: Codec, bodies: list[bytes]) -> float:
    """Return the CPU milliseconds of one stream."""
    reader = StreamReader(codec)
    begin = time.thread_time_ns()
    for body in bodies:
        for _ in reader.feed(body):
            pass
    for _ in reader.finish():
        pass
    return (time.thread_time_ns() - begin) / 1e6


def main() -> None:
    print(f"{'CPU ms by number of deltas':<28}" + "".join(f"{length:>10,}" for length in LENGTHS) + "  last/before")
    for name, (codec, events) in WAYS.items():
        times: list[float] = []
        for length in LENGTHS:
            lines = [json.dumps(event).encode() for event in events(length)]
            ends = name.startswith("ollama")
            bodies = [line + b"\n" if ends else b"data: " + line + b"\n\n" for line in lines]
            times.append(median(cost(codec, bodies) for _ in range(ROUNDS)))
        print(f"{name:<28}" + "".join(f"{ms:>10.1f}" for ms in times) + f"{times[-1] / times[-2]:>13.2f}")


if __name__ == "__main__":
    main()
