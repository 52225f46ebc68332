"""How each wire format holds a model to a schema, and how the output tool's arguments become text."""

import json

import pytest
from attrs import evolve

from aimu._core.chunks import StreamingContentType
from aimu._core.reply import Delta, Reply, StopReason, ToolCall
from aimu._output._strict import NotStrictError
from aimu._output._type import OutputType
from aimu.aio._border import Border
from aimu.errors import InvalidOptionError
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers._anthropic import AnthropicCodec
from aimu.providers._base import OutputSchema, Request
from aimu.providers._body import StreamReader
from aimu.providers._ollama import OllamaCodec
from aimu.providers._openai_chat import ChatCodec
from aimu.providers._openai_responses import ResponsesCodec
from tests.output.kinds import Invoice, Tree
from tests.output.rules import check_anthropic, check_openai

HELLO = [{"role": "user", "content": "hello"}]
SCHEMA = OutputType.of(Invoice).schema
CHAT = ChatCodec(ModelSpec("gpt-5", "openai"), TABLE["openai"])
RESPONSES = ResponsesCodec(ModelSpec("gpt-5", "openai"))
CLAUDE = AnthropicCodec(ModelSpec("claude-opus-4-8", "anthropic"))
OLLAMA = OllamaCodec(ModelSpec("qwen3.5:9b", "ollama"))
TOOL = OutputSchema(name="final_answer", schema=SCHEMA, mode="tool")
THINKING, GENERATING = StreamingContentType.THINKING, StreamingContentType.GENERATING


def body_of(codec, **options):
    schema = codec.output_schema(SCHEMA)
    output = OutputSchema(name="Invoice", schema=schema, mode="schema")
    return codec.encode(Request(messages=HELLO, output=output, options=options), stream=False)


def test_chat_completions_take_the_strict_schema():
    held = body_of(CHAT)["response_format"]
    assert held["type"] == "json_schema"
    assert (held["json_schema"]["name"], held["json_schema"]["strict"]) == ("Invoice", True)
    check_openai(held["json_schema"]["schema"])


def test_responses_take_the_strict_schema():
    held = body_of(RESPONSES)["text"]["format"]
    assert (held["type"], held["name"], held["strict"]) == ("json_schema", "Invoice", True)
    check_openai(held["schema"])


def test_claude_takes_the_schema_of_its_own_dialect():
    held = body_of(CLAUDE)["output_config"]["format"]
    assert held["type"] == "json_schema"
    check_anthropic(held["schema"])


def test_ollama_takes_any_schema():
    assert body_of(OLLAMA)["format"] == SCHEMA
    assert OLLAMA.output_schema(OutputType.of(Tree).schema) == OutputType.of(Tree).schema


@pytest.mark.parametrize(
    "model", ["claude-3-5-sonnet-20241022", "claude-sonnet-4-20250514", "claude-opus-4-1-20250805"]
)
def test_a_model_without_structured_outputs_says_so(model):
    with pytest.raises(ValueError, match=f"anthropic:{model} has no mode for JSON Schemas"):
        AnthropicCodec(ModelSpec(model, "anthropic")).output_schema(SCHEMA)


def test_a_recursive_type_has_no_schema_for_claude():
    with pytest.raises(NotStrictError, match="'Tree' refers to itself"):
        CLAUDE.output_schema(OutputType.of(Tree).schema)


@pytest.mark.parametrize("codec", [CHAT, RESPONSES, CLAUDE, OLLAMA], ids=["chat", "responses", "claude", "ollama"])
def test_without_an_output_the_body_is_unchanged(codec):
    body = codec.encode(Request(messages=HELLO), stream=False)
    assert not body.keys() & {"response_format", "text", "output_config", "format"}
    body = codec.encode(Request(messages=HELLO, output=TOOL), stream=False)
    assert not body.keys() & {"response_format", "text", "output_config", "format"}


def test_a_response_format_of_the_users_own_is_refused_beside_an_output():
    with pytest.raises(InvalidOptionError, match="response_format.*use output_type="):
        body_of(CHAT, extra_body={"response_format": {"type": "json_object"}})
    own = {"extra_body": {"response_format": {"type": "json_object"}}}
    body = CHAT.encode(Request(messages=HELLO, options=own), stream=False)
    assert body["response_format"] == {"type": "json_object"}


def test_which_services_can_force_a_tool_call():
    assert CHAT.forces_tools({})
    assert RESPONSES.forces_tools({"thinking": True})
    assert CLAUDE.forces_tools({})
    assert not CLAUDE.forces_tools({"thinking": True})
    assert not CLAUDE.forces_tools({"thinking_budget_tokens": 2000})
    assert not evolve(CLAUDE, spec=ModelSpec("claude-opus-5-5", "anthropic")).forces_tools({})
    assert not OLLAMA.forces_tools({})


def sse(*events):
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def chat_events(name):
    def chunk(delta, finish=None):
        return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    def call(**function):
        return {"tool_calls": [{"index": 0, "id": "c1", "function": function}]}

    return sse(
        chunk({"role": "assistant", "content": "Now: "}),
        chunk(call(name=name, arguments="")),
        chunk(call(arguments='{"due": ')),
        chunk(call(arguments='"2026-01-02"}')),
        chunk({}, "tool_calls"),
    )


def claude_events(name):
    return sse(
        {"type": "message_start", "message": {"content": [], "model": "claude"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Now: "}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "c1", "name": name}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"due": '}},
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": '"2026-01-02"}'},
        },
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    )


def responses_events(name):
    call = {"type": "function_call", "id": "i1", "call_id": "c1", "name": name}
    text = {"type": "output_text", "text": "Now: "}
    message = {"type": "message", "id": "m1", "role": "assistant", "content": [text]}
    whole = {**call, "arguments": '{"due": "2026-01-02"}'}
    added = {"type": "response.output_item.added", "output_index": 1, "item": {**call, "arguments": ""}}
    pieces = [
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": piece}
        for piece in ('{"due": ', '"2026-01-02"}')
    ]
    response = {"status": "completed", "output": [message, whole]}
    return sse(
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Now: "},
        added,
        *pieces,
        {"type": "response.completed", "response": response},
    )


STREAMS = {"chat": (CHAT, chat_events), "claude": (CLAUDE, claude_events), "responses": (RESPONSES, responses_events)}


@pytest.mark.parametrize("wire", STREAMS)
def test_the_arguments_of_the_output_tool_are_streamed_as_text(wire):
    codec, events = STREAMS[wire]
    reader, border = (
        StreamReader(codec, shown_call="final_answer"),
        Border(Request(messages=HELLO, output=TOOL), codec.spec),
    )
    deltas = [shown for delta in reader.feed(events("final_answer")) for shown in border.delta(delta)]
    assert deltas == [Delta(THINKING, "Now: "), Delta(GENERATING, '{"due": '), Delta(GENERATING, '"2026-01-02"}')]
    (reply,) = reader.finish()
    missing, reply = border.end(reply)
    assert not missing
    assert (reply.text, reply.thinking, reply.calls, reply.final) == ('{"due": "2026-01-02"}', "Now: ", (), True)
    assert (reply.stop_reason, reply.replay) == (StopReason.END, {})


@pytest.mark.parametrize("wire", STREAMS)
@pytest.mark.parametrize(
    ("before", "thinking"),
    [("\n\n", ""), ("<", "<"), ("<thi", "<thi"), ("<think>Hm", "Hm"), ("<think>Hm</th", "Hm</th"), ("</think>", "")],
)
def test_text_before_the_call_that_may_begin_a_tag_is_not_mixed_with_the_arguments(wire, before, thinking, caplog):
    codec, events = STREAMS[wire]
    reader = StreamReader(codec, shown_call="final_answer")
    border = Border(Request(messages=HELLO, output=TOOL), codec.spec)
    body = events("final_answer").replace(b"Now: ", json.dumps(before)[1:-1].encode())
    *deltas, reply = [*reader.feed(body), *reader.finish()]
    shown = [one for delta in deltas for one in shown_of(border, delta)]
    missing, reply = border.end(reply)
    assert (reply.text, reply.thinking) == ('{"due": "2026-01-02"}', thinking)
    for phase, kept in ((GENERATING, reply.text), (THINKING, reply.thinking)):
        assert "".join(one.text for one in (*shown, *missing) if one.phase is phase) == kept
    assert not caplog.records


@pytest.mark.parametrize("wire", STREAMS)
def test_the_arguments_of_other_tools_are_not(wire):
    codec, events = STREAMS[wire]
    reader = StreamReader(codec, shown_call="final_answer")
    assert [delta.text for delta in reader.feed(events("search"))] == ["Now: "]


def test_other_calls_stay_beside_the_output_and_a_provider_need_not_stream_it():
    border = Border(Request(messages=HELLO, output=TOOL), ModelSpec("model", "own"))
    assert not border.delta(Delta(GENERATING, "Now: "))
    calls = (ToolCall("1", "search", "{}"), ToolCall("2", "final_answer", '{"a": 1}'))
    missing, reply = border.end(
        Reply(text="Now: ", calls=calls, stop_reason=StopReason.TOOL_CALLS, replay={"own": {"x": 1}})
    )
    assert missing == [Delta(THINKING, "Now: "), Delta(GENERATING, '{"a": 1}')]
    assert (reply.text, reply.thinking, reply.final, reply.calls) == ('{"a": 1}', "Now: ", True, calls[:1])
    assert (reply.stop_reason, reply.replay) == (StopReason.TOOL_CALLS, {})


def second_call(wire):
    """Return the events of a second call of the tool in a stream, before its end."""
    pieces = ('{"due": ', '"2026-01-02"}')
    if wire == "chat":
        calls = [{"index": 1, "id": "c2", "function": {"name": "final_answer", "arguments": piece}} for piece in pieces]
        return [{"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]} for call in calls]
    if wire == "claude":
        block = {"type": "tool_use", "id": "c2", "name": "final_answer"}
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        events = [{"type": "content_block_delta", "index": 2, "delta": delta} for delta in deltas]
        return [{"type": "content_block_start", "index": 2, "content_block": block}, *events]
    item = {"type": "function_call", "id": "i2", "call_id": "c2", "name": "final_answer", "arguments": ""}
    kind = "response.function_call_arguments.delta"
    deltas = [{"type": kind, "output_index": 2, "delta": piece} for piece in pieces]
    return [{"type": "response.output_item.added", "output_index": 2, "item": item}, *deltas]


@pytest.mark.parametrize("wire", STREAMS)
def test_only_the_first_call_of_the_output_tool_is_streamed(wire):
    codec, events = STREAMS[wire]
    reader = StreamReader(codec, shown_call="final_answer")
    first = "".join(
        delta.text for delta in reader.feed(events("final_answer").rpartition(b"data: ")[0]) if delta.of_call
    )
    assert first.startswith('{"due": ')
    assert [delta for delta in reader.feed(sse(*second_call(wire))) if delta.of_call] == []


def shown_of(border, delta):
    shown = border.delta(delta)
    return [shown] if isinstance(shown, Delta) else shown


def test_text_around_a_call_is_thinking_wherever_it_comes():
    border = Border(Request(messages=HELLO, output=TOOL), ModelSpec("model", "own"))
    given = [
        Delta(THINKING, "Hm."),
        Delta(GENERATING, "I "),
        Delta(GENERATING, "answer."),
        Delta(GENERATING, '{"a": 1}', of_call=True),
        Delta(GENERATING, " Done."),
    ]
    shown = [one for delta in given for one in shown_of(border, delta)]
    call = ToolCall("1", "final_answer", '{"a": 1}')
    missing, reply = border.end(Reply(text="I answer. Done.", thinking="Hm.", calls=(call,)))
    shown += missing
    assert reply.text == "".join(one.text for one in shown if one.phase is GENERATING) == '{"a": 1}'
    assert reply.thinking == "".join(one.text for one in shown if one.phase is THINKING) == "Hm.\n\nI answer. Done."


@pytest.mark.parametrize("final", ["I cannot say.", "I cannot", ""])
def test_a_text_without_a_call_is_the_answer_and_none_of_it_is_lost(final):
    border = Border(Request(messages=HELLO, output=TOOL), ModelSpec("model", "own"))
    assert not border.delta(Delta(GENERATING, "I cannot"))
    assert not border.delta(Delta(GENERATING, " say."))
    missing, reply = border.end(Reply(text=final))
    assert (missing, reply.text) == ([Delta(GENERATING, "I cannot say.")], "I cannot say.")


@pytest.mark.parametrize("first", ["", "\n", "```json\n"])
def test_a_text_that_may_be_the_answer_is_shown_as_it_arrives(first):
    border = Border(Request(messages=HELLO, output=TOOL), ModelSpec("model", "own"))
    shown = [one for piece in (first, '{"a"', ": 1}") for one in border.delta(Delta(GENERATING, piece))]
    assert shown[-1] == Delta(GENERATING, ": 1}")
    text = first + '{"a": 1}'
    assert "".join(one.text for one in shown) == text
    assert border.end(Reply(text=text)) == ([], Reply(text=text))


@pytest.mark.parametrize("pieces", [["Here", " ", '{"a": 1}'], ["It is {", '"a"}'], ["see ", "`a`"]])
def test_prose_with_json_in_it_is_held_back(pieces):
    border = Border(Request(messages=HELLO, output=TOOL), ModelSpec("model", "own"))
    assert [one for piece in pieces for one in border.delta(Delta(GENERATING, piece))] == []
    assert border.end(Reply(text="".join(pieces)))[0] == [Delta(GENERATING, "".join(pieces))]


@pytest.mark.parametrize("streamed", [True, False])
def test_json_before_the_call_that_was_shown_already_is_thinking(streamed):
    border = Border(Request(messages=HELLO, output=TOOL), ModelSpec("model", "own"))
    shown = list(border.delta(Delta(GENERATING, '{"draft": 1}')))
    shown += border.delta(Delta(GENERATING, '{"a": 1}', of_call=True)) if streamed else ()
    missing, reply = border.end(Reply(text='{"draft": 1}', calls=(ToolCall("1", "final_answer", '{"a": 1}'),)))
    assert "".join(one.text for one in (*shown, *missing)) == '{"draft": 1}{"a": 1}'
    assert (reply.text, reply.thinking) == ('{"a": 1}', '{"draft": 1}')


def test_without_the_tool_mode_a_tool_of_that_name_is_any_tool():
    reply = Reply(calls=(ToolCall("2", "final_answer", "{}"),), stop_reason=StopReason.TOOL_CALLS)
    assert Border(Request(messages=HELLO), ModelSpec("model", "own")).whole(reply) == reply
