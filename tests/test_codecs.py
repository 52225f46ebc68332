"""Pure codecs against recorded traffic and against what the formats say: no loop, no socket."""

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimu._core.messages import assistant_message, check_history
from aimu._core.reply import Reply, StopReason
from aimu.errors import (
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    MalformedResponseError,
    ModelNotFoundError,
    OverloadedError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    RefusedError,
    TruncatedStreamError,
)
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers._anthropic import AnthropicCodec
from aimu.providers._base import Request
from aimu.providers._body import StreamReader, decode_body
from aimu.providers._failures import from_response
from aimu.providers._ollama import OllamaCodec
from aimu.providers._openai_chat import ChatCodec
from aimu.providers._openai_responses import ResponsesCodec
from aimu.providers._sse import JSONLinesDecoder, SSEDecoder
from tests.recorded import RECORDINGS, answer, assert_right, body_of, codec_of, read, texts

STREAMS = [r for r in RECORDINGS.values() if r["streaming"] and r["response"]["status"] == 200]
SHORT = [r for r in RECORDINGS.values() if r["response"]["status"] == 200 and len(r["response"]["body"]) < 6000]
ANTHROPIC = AnthropicCodec(ModelSpec("m", "anthropic"))
RESPONSES = ResponsesCodec(ModelSpec("m", "openai"))


def ids(recordings):
    return [f"{r['provider']}-{r['api']}-{r['id']}" for r in recordings]


def cut(body, seed):
    rnd = random.Random(seed)
    at = sorted({0, len(body), *(rnd.randrange(len(body)) for _ in range(len(body) // 40))})
    return [body[a:b] for a, b in pairwise(at)]


@pytest.mark.parametrize("recording", RECORDINGS.values(), ids=ids(RECORDINGS.values()))
def test_a_recording_is_read_as_expected(recording):
    assert_right(recording, answer(recording))


@pytest.mark.parametrize("recording", STREAMS, ids=ids(STREAMS))
def test_a_stream_is_read_the_same_however_it_is_cut_and_padded(recording):
    body = body_of(recording)
    sse = not body.lstrip().startswith(b"{")
    padded = body.replace(b"\r\n", b"\n").replace(b"\n\n", b"\n\n: keep-alive\n\n:\n\n" if sse else b"\n\n")
    for variant in (body, body.replace(b"\n", b"\r\n"), body.replace(b"\n", b"\r") if sse else body, padded):
        assert_right(recording, answer(recording, cut(variant, recording["id"])))
    assert_right(recording, answer(recording, [body[i : i + 1] for i in range(len(body))]))


@pytest.mark.parametrize("recording", STREAMS, ids=ids(STREAMS))
def test_a_stream_that_ends_early_is_an_error_or_has_lost_nothing(recording):
    """A clean end at any byte: a right text, or a typed error that keeps what had come."""
    body, expected = body_of(recording), recording["expect"]
    if "error" in expected:
        return
    rnd = random.Random(recording["id"])
    for end in sorted({0, len(body) - 1, len(body) - 9, *(rnd.randrange(len(body)) for _ in range(40))}):
        got = answer(recording, [body[:end]])
        if isinstance(got, Reply):
            assert (got.text, got.thinking) == texts(expected)
            assert [call.name for call in got.calls] == [call["name"] for call in expected["tool_calls"]]
        else:
            assert isinstance(got, TruncatedStreamError | MalformedResponseError)
            assert expected["text"].startswith(got.partial)


@pytest.mark.parametrize("recording", RECORDINGS.values(), ids=ids(RECORDINGS.values()))
def test_what_a_recording_says_can_be_sent_back_as_history(recording):
    got = answer(recording)
    if not isinstance(got, Reply) or got.stop_reason is StopReason.PAUSED:
        return
    history = [{"role": "user", "content": "hi"}, assistant_message(got)]
    history += [{"role": "tool", "tool_call_id": c.id, "name": c.name, "content": "done"} for c in got.calls]
    history.append({"role": "user", "content": "go on"})
    history = json.loads(json.dumps(history))
    check_history(history)
    for codec in (
        codec_of(recording),
        AnthropicCodec(ModelSpec("claude", "anthropic")),
        ResponsesCodec(ModelSpec("gpt-5", "openai")),
        ChatCodec(ModelSpec("any", "vllm"), TABLE["vllm"]),
        OllamaCodec(ModelSpec("any", "ollama")),
    ):
        sent = json.dumps(codec.encode(Request(messages=history), stream=True))
        assert "interrupted" not in sent
        marked = [message | {"stop_reason": "iteration_limit"} for message in history]
        check_history(marked)
        assert json.dumps(codec.encode(Request(messages=marked), stream=True)) == sent
        for call in got.calls:
            assert call.name in sent


@given(st.data())
def test_any_bytes_give_text_or_one_of_our_errors(data):
    recording = data.draw(st.sampled_from(STREAMS))
    body = bytearray(body_of(recording))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        kind = data.draw(st.sampled_from(["byte", "drop", "null", "array"]))
        piece = {"byte": bytes([data.draw(st.integers(0, 255))]), "drop": b"", "null": b"null", "array": b"[]"}[kind]
        body[at : at + data.draw(st.integers(0, 12))] = piece
    answer_or_error = StreamReader(codec_of(recording))
    try:
        for piece in cut(bytes(body), 0):
            for delta in answer_or_error.feed(piece):
                assert isinstance(delta.text, str)
        assert isinstance(list(answer_or_error.finish())[-1], Reply)
    except ProviderError:
        pass


ODD = [None, 0, True, 2.5, float("inf"), 10**400, "", "x", [], {}, [None], ["x"], {"x": 1}, [{"type": "text"}]]


def places(value):
    """Each dict or list in a JSON value, with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from places(item)


def altered(event, data):
    """A JSON object in which one value is of another kind, or gone."""
    event = json.loads(event)
    holder, key = data.draw(st.sampled_from(list(places(event))))
    if data.draw(st.booleans()):
        del holder[key]
    else:
        holder[key] = data.draw(st.sampled_from(ODD))
    return json.dumps(event).encode()


@given(st.data())
@settings(max_examples=4 * settings().max_examples)
def test_any_json_gives_text_or_one_of_our_errors(data):
    recording = data.draw(st.sampled_from(SHORT))
    codec, body = codec_of(recording), body_of(recording)
    sse = not body.lstrip().startswith(b"{")
    lines = body.splitlines() if recording["streaming"] else [body]
    events = [line.removeprefix(b"data:").strip() for line in lines if not sse or line[:5] == b"data:"]
    events = [event for event in events if event[:1] == b"{"]
    struck = data.draw(st.integers(0, len(events) - 1))
    events[struck] = altered(events[struck], data)
    reader = StreamReader(codec)
    try:
        if recording["streaming"]:
            pieces = [b"data: %s\n\n" % event if sse else event + b"\n" for event in events]
            deltas = [delta for piece in pieces for delta in reader.feed(piece)]
            *rest, reply = reader.finish()
            assert all(isinstance(delta.text, str) for delta in [*deltas, *rest])
        else:
            reply = decode_body(codec, events[struck])
    except ProviderError:
        return
    assert all(isinstance(text, str) for text in (reply.text, reply.thinking, reply.refusal, reply.model or ""))
    for made in reply.calls:
        assert all(isinstance(text, str) and text for text in (made.id, made.name, made.arguments))
    message = assistant_message(reply)
    check_history([message, *({"role": "tool", "tool_call_id": c.id, "content": ""} for c in reply.calls)])


EVENT = st.tuples(
    st.sampled_from(["", "message", "error"]),
    st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), min_size=1, max_size=3),
)


@given(st.lists(EVENT, max_size=5), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.data())
def test_events_come_out_as_they_went_in(events, end, bom, data):
    text = "\ufeff" if bom else ""
    for name, lines in events:
        if name:
            text += f"event: {name}{end}"
        text += f": comment{end}id: 7{end}retry: 3{end}" + "".join(f"data: {line}{end}" for line in lines) + end
    body = text.encode()
    decoder, found, at = SSEDecoder(), [], 0
    while at < len(body):
        size = data.draw(st.integers(1, 9))
        found += decoder.feed(body[at : at + size])
        at += size
    assert found == ["\n".join(lines).encode() for _, lines in events]
    assert decoder.finish() is None


def test_a_tail_that_nothing_ended_is_reported():
    sse, lines = SSEDecoder(), JSONLinesDecoder()
    assert sse.feed(b"data: a\n\ndata: b\ndata: c") == [b"a"]
    assert sse.finish() == b"b\nc"
    assert lines.feed(b'{"a":1}\r\n\r\n \n{"b"') == [b'{"a":1}']
    assert lines.finish() == b'{"b"'


CHAT = ChatCodec(ModelSpec("gpt-4.1", "openai"), TABLE["openai"])


def chat(*deltas, finish="stop", codec=CHAT):
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return read(codec, [f"data: {json.dumps(event)}\n\n".encode() for event in events])[1]


def call(name=None, arguments=None, **more):
    return {"tool_calls": [{**more, "function": {"name": name, "arguments": arguments}}]}


@pytest.mark.parametrize(
    "deltas",
    [
        [call("f", '{"a"', index=0, id="1"), call(None, ":1}", index=0), call("g", "", index=1, id="2")],
        [call("f", '{"a"', id="1"), call(None, ":1}"), call("g", "{}", id="2")],
        [call("f", '{"a"', index=0, id="1"), call("f", ":1}", index=0, id="1"), call("g", None, index=1, id="2")],
        [call("f", '{"a":1}', index=0, id="1"), call("g", "{}", index=0, id="2")],
        [call("f", '{"a":1}', index=0, id=""), call("g", "{}", index=0, id="")],
        [call("f", '{"a":1}'), call("g", "{}")],
        [call("f", {"a": 1}, index=3, id="1"), call("g", {}, index=4, id="2")],
    ],
    ids=["index", "no index", "name repeated", "one index", "one index, no ids", "nothing", "objects"],
)
def test_two_calls_stay_separate_however_a_server_numbers_them(deltas):
    reply = chat(*deltas)
    assert [(c.name, json.loads(c.arguments)) for c in reply.calls] == [("f", {"a": 1}), ("g", {})]
    assert len({c.id for c in reply.calls}) == 2
    assert all(c.id for c in reply.calls)
    assert reply.stop_reason is StopReason.TOOL_CALLS


def test_thinking_in_the_text_is_split_off_where_servers_write_it_there():
    codec = ChatCodec(ModelSpec("qwen3", "vllm"), TABLE["vllm"])
    reply = chat({"content": "<thi"}, {"content": "nk>why"}, {"content": "</think>\n\nso"}, codec=codec)
    assert (reply.thinking, reply.text) == ("why", "so")
    reply = chat({"content": "<think>a</think>b"})
    assert (reply.thinking, reply.text) == ("a", "b")


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_blanks_between_separated_thinking_and_text_are_dropped(key):
    deltas = [{key: "why\n"}, {"content": "\n"}, {"content": "\nso\n"}, {"content": "\nit <think> is"}]
    codec = ChatCodec(ModelSpec("qwen3", "vllm"), TABLE["vllm"])
    assert chat(*deltas, codec=codec).text == "so\n\nit <think> is"
    assert chat(*deltas).text == "\n\nso\n\nit <think> is"


def test_only_the_first_choice_is_read():
    events = [{"choices": [{"index": i, "delta": {"content": f"{i}"}, "finish_reason": "stop"}]} for i in (1, 0)]
    assert read(CHAT, [f"data: {json.dumps(e)}\n\n".encode() for e in events])[1].text == "0"


def test_a_repeated_end_is_read_once_and_an_end_in_every_event_does_not_cut_the_text():
    events = [{"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]} for text in "abb"]
    assert read(CHAT, [f"data: {json.dumps(event)}\n\n".encode() for event in events])[1].text == "ab"


@pytest.mark.parametrize("wrong", [None, 5, ["x"], {"x": 1}])
def test_a_text_of_another_type_is_malformed_and_keeps_the_text_before_it(wrong):
    for codec, events in (
        (RESPONSES, [{"type": "response.output_text.delta", "delta": text} for text in ("so", wrong)]),
        (
            ANTHROPIC,
            [
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": text}}
                for text in ("so", wrong)
            ],
        ),
    ):
        with pytest.raises(MalformedResponseError) as caught:
            read(codec, [f"data: {json.dumps(event)}\n\n".encode() for event in events])
        assert caught.value.partial == "so"


def test_invalid_token_counts_are_unknown():
    usage = b'{"prompt_tokens": 1e999, "completion_tokens": 3.0, "prompt_tokens_details": 1}'
    reply = decode_body(CHAT, b'{"choices": [{"message": {"content": "hi"}}], "usage": %s}' % usage)
    assert (reply.usage.input, reply.usage.output) == (None, 3)


def test_a_call_without_a_name_or_an_id_gets_one():
    item = {"type": "function_call", "call_id": "", "name": "f", "arguments": "{}"}
    body = json.dumps({"status": "completed", "output": [item]}).encode()
    assert decode_body(RESPONSES, body).calls[0].id.startswith("call_")
    called = {"id": "1", "function": {"arguments": "{}"}}
    body = json.dumps({"choices": [{"message": {"tool_calls": [called]}}]}).encode()
    assert [c.name for c in decode_body(CHAT, body).calls] == ["unknown"]


def test_blocks_with_the_same_index_are_all_kept():
    def block(kind, start, delta):
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": kind, **start}}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}

    events = [
        {"type": "message_start", "message": {"content": []}},
        *block("text", {"text": ""}, {"type": "text_delta", "text": "let me see"}),
        *block("tool_use", {"id": "t", "name": "f"}, {"type": "input_json_delta", "partial_json": '{"a": 1}'}),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    ]
    deltas, reply = read(ANTHROPIC, [f"data: {json.dumps(event)}\n\n".encode() for event in events])
    assert reply.text == "".join(delta.text for delta in deltas) == "let me see"
    assert [(c.name, c.arguments) for c in reply.calls] == [("f", '{"a": 1}')]


def test_a_whole_object_instead_of_a_stream_is_understood():
    body = json.dumps({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}).encode()
    deltas, reply = read(CHAT, [b" \n", body[:9], body[9:]])
    assert reply.text == "".join(delta.text for delta in deltas) == "hi"
    with pytest.raises(OverloadedError, match="boom"):
        read(CHAT, [b'{"error": {"message": "boom", "type": "server_error"}}'])


@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": 3}', b"{"])
def test_a_body_without_an_answer_is_malformed(body):
    for codec in (CHAT, ANTHROPIC, RESPONSES):
        with pytest.raises(MalformedResponseError):
            decode_body(codec, body)
    with pytest.raises(MalformedResponseError):
        read(CHAT, [body])


def test_deltas_before_a_bad_event_come_before_its_error():
    reader = StreamReader(CHAT)
    good = b'data: {"choices": [{"index": 0, "delta": {"content": "hi"}}]}\n\n'
    got = []
    with pytest.raises(MalformedResponseError) as caught:
        got.extend(reader.feed(good + b"data: {oops\n\n"))
    assert caught.value.partial == "hi"
    deltas = iter(StreamReader(CHAT).feed(good + b"data: {oops\n\n"))
    assert next(deltas).text == "hi"


def test_half_a_surrogate_pair_passes():
    body = b'data: {"choices": [{"index": 0, "delta": {"content": "\\ud83d"}, "finish_reason": "stop"}]}\n\n'
    _, reply = read(CHAT, [body])
    assert reply.text == "\ud83d"


def test_an_end_without_anything_before_it_is_malformed():
    with pytest.raises(MalformedResponseError):
        read(CHAT, [b"data: [DONE]\n\n"])
    with pytest.raises(MalformedResponseError):
        read(ANTHROPIC, [b'data: {"type": "message_stop"}\n\n'])


@pytest.mark.parametrize(
    ("status", "body", "kind", "retryable"),
    [
        (401, {"error": {"message": "no"}}, AuthenticationError, False),
        (403, {"error": {"message": "no"}}, AuthenticationError, False),
        (408, {}, ProviderTimeoutError, True),
        (409, {}, BadRequestError, True),
        (429, {"error": {"message": "slow", "code": "rate_limit_exceeded"}}, RateLimitError, True),
        (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, RateLimitError, False),
        (413, {"error": {"message": "tokens per minute", "code": "rate_limit_exceeded"}}, RateLimitError, True),
        (500, {"error": "x"}, OverloadedError, True),
        (529, {"type": "error", "error": {"type": "overloaded_error"}}, OverloadedError, True),
        (404, {"error": "model 'x' not found"}, ModelNotFoundError, False),
        (404, {"detail": "Not Found"}, BadRequestError, False),
        (400, [{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}], BadRequestError, False),
        (400, {"error": {"message": "m", "code": "content_filter"}}, RefusedError, False),
        (400, {"error": {"message": "m", "code": "context_length_exceeded"}}, ContextLengthError, False),
        (400, {"error": {"message": "prompt is too long: 9 tokens > 8 maximum"}}, ContextLengthError, False),
        (400, {"message": "This model's maximum context length is 8 tokens."}, ContextLengthError, False),
        (400, {"error": {"message": "The input token count (9) exceeds the maximum number of tokens allowed (8)."}},
         ContextLengthError, False),
        (400, {"error": {"message": "x", "type": "exceed_context_size_error"}}, ContextLengthError, False),
        (502, b"<html>bad gateway</html>", OverloadedError, True),
        (302, b"", MalformedResponseError, False),
    ],
)  # fmt: skip
def test_a_status_and_its_body_become_one_error(status, body, kind, retryable):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = from_response("p", status, {"x-request-id": "req_1"}, content)
    assert type(error) is kind
    assert (error.status, error.request_id, error.retryable) == (status, "req_1", retryable)


def test_waiting_times_and_advice_are_read():
    def error(**headers):
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return from_response("p", 429, named, b'{"error": {"message": "slow down"}}')

    assert error(retry_after_ms="1500", retry_after="9").retry_after == 1.5
    assert error(retry_after="2").retry_after == 2.0
    assert error(retry_after="Wed, 21 Oct 2015 07:28:00 GMT").retry_after == 0.0
    assert error(retry_after="soon").retry_after is None
    assert error(x_should_retry="false").retryable is False
