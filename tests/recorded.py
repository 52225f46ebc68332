"""Recorded traffic for tests: where it lies, which codec reads it, and what a right answer is."""

import json
import os
from pathlib import Path

from aimu._core.reply import Reply, StopReason
from aimu.errors import ProviderError
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers._anthropic import AnthropicCodec
from aimu.providers._body import StreamReader, decode_body
from aimu.providers._failures import from_response
from aimu.providers._ollama import OllamaCodec
from aimu.providers._openai_chat import ChatCodec
from aimu.providers._openai_responses import ResponsesCodec

# Besides the subset that lies here, the environment may name a folder with all of them.
ROOTS = [Path(__file__).parent / "recordings", *map(Path, filter(None, [os.environ.get("AIMU_RECORDINGS")]))]


def load(roots=ROOTS):
    found = {}
    for root in roots:
        for path in sorted(root.rglob("*.json")):
            recording = json.loads(path.read_text("utf8"))
            found[recording["id"]] = recording
    return found


RECORDINGS = load()
OF_CODEC = {
    "openai-chat": ("openai", lambda spec: ChatCodec(spec, TABLE["openai"])),
    "gemini-openai-compat": ("gemini", lambda spec: ChatCodec(spec, TABLE["gemini"])),
    "openai-responses": ("openai", ResponsesCodec),
    "anthropic-messages": ("anthropic", AnthropicCodec),
    "ollama-chat": ("ollama", OllamaCodec),
    "ollama-generate": ("ollama", OllamaCodec),
}
STOPS = {
    "stop": StopReason.END,
    "end_turn": StopReason.END,
    "completed": StopReason.END,
    "length": StopReason.MAX_TOKENS,
    "max_tokens": StopReason.MAX_TOKENS,
    "max_output_tokens": StopReason.MAX_TOKENS,
    "tool_calls": StopReason.TOOL_CALLS,
    "function_call": StopReason.TOOL_CALLS,
    "tool_use": StopReason.TOOL_CALLS,
    "content_filter": StopReason.REFUSED,
    "queued": StopReason.PAUSED,
    "": StopReason.END,
    None: StopReason.END,
}


def codec_of(recording):
    provider, make = OF_CODEC[recording["api"]]
    return make(ModelSpec("any", provider))


def body_of(recording):
    return recording["response"]["body"].encode("utf8", "surrogatepass")


def read(codec, pieces):
    """`(deltas, reply)` of a streamed body in pieces."""
    reader = StreamReader(codec)
    out = [delta for piece in pieces for delta in reader.feed(piece)]
    out += reader.finish()
    assert isinstance(out[-1], Reply)
    return out[:-1], out[-1]


def answer(recording, pieces=None):
    """What the codec makes of a recording: a Reply, or the error it means."""
    codec, response = codec_of(recording), recording["response"]
    body = body_of(recording)
    try:
        if response["status"] != 200:
            return from_response(codec.spec.provider, response["status"], response["headers"], body)
        if not recording["streaming"]:
            return decode_body(codec, body)
        deltas, reply = read(codec, [body] if pieces is None else pieces)
    except ProviderError as error:
        return error
    said = {phase: "".join(d.text for d in deltas if d.phase == phase) for phase in ("thinking", "generating")}
    assert (said["thinking"], said["generating"]) == (reply.thinking, reply.text)
    return reply


def assert_right(recording, got):
    expected = recording["expect"]
    error = expected.get("error")
    if error:
        assert isinstance(got, ProviderError), got
        assert error["message"] in str(got)
        assert got.status == error["status"]
        assert got.partial == expected.get("text", "")
        return
    assert isinstance(got, Reply), got
    assert (got.text, got.thinking) == texts(expected)
    assert len(got.calls) == len(expected["tool_calls"])
    for made, call in zip(got.calls, expected["tool_calls"], strict=True):
        assert (made.name, json.loads(made.arguments)) == (call["name"], call["arguments"])
        assert made.id == call["id"] or (made.id and not call["id"])
    for key, figure in expected["usage"].items():
        assert getattr(got.usage, key, None) == figure, key
    assert got.stop_reason is stop_reason(expected)
    refusal = expected["extra"].get("refusal")
    if refusal:
        assert got.refusal == refusal


def texts(expected):
    """`(text, thinking)`: some recorded servers left the thinking in the text."""
    text, thinking = expected["text"], expected["thinking"]
    if text.startswith("<think>"):
        assert not thinking
        thinking, _, text = (part.strip() for part in text.removeprefix("<think>").partition("</think>"))
    return text, thinking


def stop_reason(expected):
    if expected["extra"].get("refusal"):
        return StopReason.REFUSED
    stop = STOPS[expected["stop_reason"]]
    return StopReason.TOOL_CALLS if stop is StopReason.END and expected["tool_calls"] else stop
