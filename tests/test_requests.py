"""What codecs send: histories, tools, options, images, and what goes back verbatim."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimu._core.messages import assistant_message, check_history
from aimu.models._options import warn_unsupported
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers._anthropic import AnthropicCodec
from aimu.providers._base import Request
from aimu.providers._ollama import OllamaCodec
from aimu.providers._openai_chat import ChatCodec
from aimu.providers._openai_responses import ResponsesCodec

CHAT = ChatCodec(ModelSpec("gpt-4.1", "openai"), TABLE["openai"])


TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
LINK = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
ROUND = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": [{"type": "text", "text": "look"}, PNG]},
    {
        "role": "assistant",
        "content": None,
        "thinking": "hm",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
            {"id": "b.1", "type": "function", "function": {"name": "f", "arguments": "{"}},
        ],
    },
    {"role": "tool", "tool_call_id": "a", "name": "f", "content": [{"type": "text", "text": "one"}, PNG]},
    {"role": "tool", "tool_call_id": "b.1", "name": "f", "content": "two", "status": "cancelled"},
    {"role": "assistant", "content": ""},
    {"role": "user", "content": "so?"},
]


def encode(codec, messages=ROUND, **options):
    return codec.encode(Request(messages=messages, tools=[TOOL], options=options), stream=False)


def test_a_tool_round_in_chat_completions():
    body = encode(CHAT, max_tokens=5, tool_choice="f", extra_body={"user": "u"})
    assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "tool", "tool", "user"]
    assert body["messages"][3] == {"role": "tool", "tool_call_id": "a", "content": "one"}
    assert body["messages"][5]["content"] == [PNG, {"type": "text", "text": "so?"}]
    assert body["max_completion_tokens"] == 5
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["user"] == "u"
    assert not {"thinking", "status", "name"} & {key for message in body["messages"] for key in message}
    vllm = encode(ChatCodec(ModelSpec("m", "vllm"), TABLE["vllm"]), max_tokens=5, repeat_penalty=1.1, thinking=False)
    assert vllm["max_tokens"] == 5
    assert vllm["repetition_penalty"] == 1.1
    assert vllm["chat_template_kwargs"] == {"enable_thinking": False}
    assert "hm" not in str(vllm["messages"])  # which no server of this kind has sent
    assert (
        encode(ChatCodec(ModelSpec("m", "vllm"), TABLE["vllm"]), thinking_budget_tokens=9)["thinking_token_budget"] == 9
    )


def test_a_tool_round_for_anthropic():
    body = encode(AnthropicCodec(ModelSpec("claude-sonnet-4-5", "anthropic")), parallel_tool_calls=False)
    assert body["system"] == "be brief"
    user, assistant, results = body["messages"]
    assert user["content"][1]["source"] == {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    assert [block["input"] for block in assistant["content"]] == [{"x": 1}, {"invalid_json": "{"}]
    assert [block["type"] for block in results["content"]] == ["tool_result", "tool_result", "text"]
    assert [block.get("is_error") for block in results["content"]] == [None, True, None]
    assert results["content"][1]["tool_use_id"] == assistant["content"][1]["id"] == "b_1"
    assert body["tools"] == [{"name": "f", "description": "d", "input_schema": {"type": "object"}}]
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_anthropic_gets_definitions_of_the_tools_in_the_history_when_none_are_offered():
    codec = AnthropicCodec(ModelSpec("claude-sonnet-4-5", "anthropic"))
    body = codec.encode(Request(messages=ROUND), stream=False)
    assert [tool["name"] for tool in body["tools"]] == ["f"]
    assert body["tool_choice"] == {"type": "none"}


def test_thinking_for_anthropic_fits_the_model():
    old, new = (
        AnthropicCodec(ModelSpec(name, "anthropic")) for name in ("claude-sonnet-4-5-20250929", "claude-opus-5")
    )
    body = encode(old, thinking=True, thinking_budget_tokens=2000, max_tokens=1000, temperature=0.5)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert body["max_tokens"] == 3000
    assert "temperature" not in body
    assert encode(new, thinking=True)["thinking"]["type"] == "adaptive"
    assert encode(new, thinking=False)["thinking"] == {"type": "disabled"}
    assert "thinking" not in encode(old, thinking=False)


def test_a_tool_round_in_the_responses_api():
    body = encode(ResponsesCodec(ModelSpec("gpt-5", "openai")), max_tokens=9, temperature=0.1, thinking=True)
    assert body["instructions"] == "be brief"
    assert [item.get("type", item.get("role")) for item in body["input"]] == [
        "user",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
        "user",
    ]
    assert body["input"][3]["output"][1]["image_url"] == "data:image/png;base64,AAAA"
    assert body["tools"][0]["strict"] is False
    assert (body["store"], body["include"]) == (False, ["reasoning.encrypted_content"])
    assert body["max_output_tokens"] == 9
    assert "temperature" not in body


def test_a_tool_round_for_ollama():
    body = encode(OllamaCodec(ModelSpec("m", "ollama"), keep_alive="5m"), max_tokens=7, thinking=True, stop=["x"])
    assert body["messages"][1]["images"] == ["AAAA"]
    assert body["messages"][2]["tool_calls"][0] == {"function": {"name": "f", "arguments": {"x": 1}}}
    assert body["messages"][3]["tool_name"] == "f"
    assert body["options"] == {"num_predict": 7, "stop": ["x"]}
    assert (body["think"], body["keep_alive"]) == (True, "5m")
    assert "tools" not in encode(OllamaCodec(ModelSpec("m", "ollama")), tool_choice="none")
    prompt = [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "p"}, PNG]}]
    request = Request(messages=prompt, kind="generate")
    codec = OllamaCodec(ModelSpec("m", "ollama"))
    assert codec.path(request) == "api/generate"
    sent = codec.encode(request, stream=False)
    assert (sent["prompt"], sent["system"], sent["images"]) == ("p", "s", ["AAAA"])


def test_ollama_takes_no_image_urls():
    with pytest.raises(ValueError, match="bytes"):
        encode(OllamaCodec(ModelSpec("m", "ollama")), [{"role": "user", "content": [LINK]}])
    assert encode(AnthropicCodec(ModelSpec("m", "anthropic")), [{"role": "user", "content": [LINK]}])["messages"][0][
        "content"
    ] == [{"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}]


BLOCKS = [
    {"type": "thinking", "thinking": "hm", "signature": "s"},
    {"type": "redacted_thinking", "data": "x"},
    {"type": "text", "text": "let me see"},
    {"type": "tool_use", "id": "t", "name": "f", "input": {}},
]


def test_signed_thinking_goes_back_verbatim_until_the_user_edits_the_message():
    codec = AnthropicCodec(ModelSpec("claude-sonnet-4-5", "anthropic"))
    reply = codec.decode({"content": BLOCKS, "stop_reason": "tool_use", "usage": {"input_tokens": 1}})
    message = assistant_message(reply)
    result = {"role": "tool", "tool_call_id": "t", "name": "f", "content": "1"}
    history = [{"role": "user", "content": "q"}, message, result]
    assert encode(codec, history)["messages"][1]["content"] == BLOCKS
    edited = [history[0], {**message, "content": "changed"}, result]
    assert encode(codec, edited)["messages"][1]["content"] == [
        *BLOCKS[:2],
        {"type": "text", "text": "changed"},
        BLOCKS[3],
    ]
    assert "anthropic" not in json.dumps(encode(CHAT, history))


def test_encrypted_reasoning_goes_back_verbatim_until_it_cannot():
    items = [
        {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "e"},
        {"type": "function_call", "id": "fc", "call_id": "t", "name": "f", "arguments": "{}"},
    ]
    codec = ResponsesCodec(ModelSpec("gpt-5", "openai"))
    message = assistant_message(codec.decode({"status": "completed", "output": items}))
    history = [{"role": "user", "content": "q"}, message]
    assert encode(codec, history)["input"][1:] == items
    plain = [{"type": "function_call", "call_id": "t", "name": "f", "arguments": "{}"}]
    assert encode(ResponsesCodec(ModelSpec("gpt-4.1", "openai")), history)["input"][1:] == plain
    assert encode(codec, [history[0], {**message, "content": "new"}])["input"][1:] == [
        {"role": "assistant", "content": "new"},
        *plain,
    ]


def test_what_gemini_signs_goes_back_with_its_call():
    codec = ChatCodec(ModelSpec("gemini-3", "gemini"), TABLE["gemini"])
    signed = {"google": {"thought_signature": "s"}}
    called = {"id": "1", "extra_content": signed, "function": {"name": "f", "arguments": "{}"}}
    reply = codec.decode({"choices": [{"message": {"tool_calls": [called]}, "finish_reason": "tool_calls"}]})
    assert encode(codec, [assistant_message(reply)])["messages"][0]["tool_calls"][0]["extra_content"] == signed


def test_only_unknown_options_are_warned_about(caplog):
    warn_unsupported.cache_clear()
    encode(ChatCodec(ModelSpec("m", "lmstudio"), TABLE["lmstudio"]), temperature=0.1, top_k=3, thinking=True, seed=1)
    assert [record.args for record in caplog.records] == [("lmstudio", "thinking")]


@pytest.mark.parametrize("server", ["ollama-openai", "hf-openai"])
def test_a_server_that_ignores_tool_choice_is_offered_no_tools_for_none(server, caplog):
    warn_unsupported.cache_clear()
    codec = ChatCodec(ModelSpec("m", server), TABLE[server])
    assert not {"tools", "tool_choice"} & encode(codec, tool_choice="none").keys()
    assert encode(codec, tool_choice="auto")["tools"] == [TOOL]
    assert not caplog.records
    body = encode(codec, tool_choice="required", parallel_tool_calls=False)
    assert body["tools"] == [TOOL]
    assert not {"tool_choice", "parallel_tool_calls"} & body.keys()
    assert {record.args for record in caplog.records} == {(server, "tool_choice"), (server, "parallel_tool_calls")}


def test_transformers_serve_is_sent_only_keys_that_it_knows():
    codec = ChatCodec(ModelSpec("m", "hf-openai"), TABLE["hf-openai"])
    request = Request(messages=ROUND, options={"thinking": False, "presence_penalty": 1.0, "max_tokens": 3})
    body = codec.encode(request, stream=True)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body.keys() == {"model", "messages", "stream", "max_tokens", "chat_template_kwargs"}


EFFORTS = {
    "openai": {
        "o3": "low",
        "ft:o4-mini:me::x": "low",
        "gpt-5": "minimal",
        "gpt-5-mini": "minimal",
        "gpt-5-codex": "low",
        "gpt-5-pro": "high",
        "gpt-5.1": "none",
        "gpt-5.1-codex": "low",
        "gpt-5.2-pro": "medium",
        "gpt-5.3-codex": "none",
        "gpt-5.5-pro": "medium",
        "gpt-5.6-terra": "none",
        "gpt-6-astra": "low",
        "gpt-6-luna": "none",
        "gpt-6.1-sol": "low",
        "gpt-6.1-terra": "none",
        "gpt-6.2-sol": "low",
    },
    "gemini": {
        "gemini-2.5-flash": "none",
        "gemini-2.5-flash-lite": "none",
        "gemini-2.5-pro": "low",
        "gemini-3.1-pro-preview": "low",
        "gemini-3.8-flash": "low",
    },
}


@pytest.mark.parametrize(
    ("server", "model", "effort"), [(name, *item) for name, models in EFFORTS.items() for item in models.items()]
)
def test_thinking_is_switched_off_by_the_lowest_effort_that_the_model_accepts(server, model, effort):
    body = encode(ChatCodec(ModelSpec(model, server), TABLE[server]), thinking=False)
    assert body["reasoning_effort"] == effort
    if server == "openai":
        assert encode(ResponsesCodec(ModelSpec(model, server)), thinking=False)["reasoning"] == {"effort": effort}


@pytest.mark.parametrize(
    ("model", "rests"),
    [
        ("gpt-5.2", (None, False)),
        ("gpt-5.4-mini", (None, False)),
        ("gpt-5.6-sol", (False,)),
        ("gpt-6-luna", (False,)),
        ("gpt-5.2-pro", ()),
        ("gpt-6.1-sol", ()),
        ("o3", ()),
    ],
)
def test_a_model_that_does_not_reason_takes_sampling_options(model, rests):
    spec = ModelSpec(model, "openai")
    for codec in (ChatCodec(spec, TABLE["openai"]), ResponsesCodec(spec)):
        for thinking in (None, True, False):
            options = {} if thinking is None else {"thinking": thinking}
            body = encode(codec, temperature=0.5, top_p=0.9, **options)
            assert {"temperature", "top_p"} & body.keys() == ({"temperature", "top_p"} if thinking in rests else set())


@pytest.mark.parametrize(("model", "effort"), [("gpt-5.2", "medium"), ("gpt-5.4-mini", "medium"), ("gpt-5", None)])
def test_a_model_that_reasons_only_when_told_to_is_told(model, effort):
    spec = ModelSpec(model, "openai")
    assert encode(ChatCodec(spec, TABLE["openai"]), thinking=True).get("reasoning_effort") == effort
    told = {"summary": "auto"} | ({} if effort is None else {"effort": effort})
    assert encode(ResponsesCodec(spec), thinking=True)["reasoning"] == told


OFF = {
    "claude-sonnet-4-6": {"type": "disabled"},
    "claude-opus-4-8": {"type": "disabled"},
    "claude-opus-5": {"type": "disabled"},
    "claude-haiku-5-5": {"type": "disabled"},
    "claude-sonnet-5-5": {"type": "between_tools"},
    "claude-opus-5-5": None,
    "claude-fable-5": None,
    "claude-fable-5-1": None,
    "claude-haiku-4-5": None,
}


@pytest.mark.parametrize(("model", "switch"), OFF.items())
def test_thinking_is_switched_off_as_the_claude_model_has_it(model, switch):
    assert encode(AnthropicCodec(ModelSpec(model, "anthropic")), thinking=False).get("thinking") == switch


@pytest.mark.parametrize("model", ["claude-opus-4-7", "claude-sonnet-5", "claude-opus-5-5", "claude-fable-5-1"])
def test_claude_models_from_4_7_on_are_sent_no_sampling_options(model):
    codec = AnthropicCodec(ModelSpec(model, "anthropic"))
    for thinking in ({}, {"thinking": True}, {"thinking": False}):
        body = encode(codec, temperature=0.5, top_p=0.99, top_k=5, **thinking)
        assert not {"temperature", "top_p", "top_k"} & body.keys()


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-sonnet-4-6", "claude-haiku-4-5-20251001"])
def test_earlier_claude_models_take_them_unless_they_think(model):
    codec = AnthropicCodec(ModelSpec(model, "anthropic"))
    options = {"temperature": 0.5, "top_p": 0.9, "top_k": 5}
    assert options.items() <= encode(codec, **options).items()
    assert not options.keys() & encode(codec, **options, thinking=True).keys()
    assert encode(codec, top_p=0.97, thinking=True)["top_p"] == 0.97


def test_a_call_is_demanded_only_where_claude_models_can_be_made_to_call():
    def choice(model, **options):
        return encode(AnthropicCodec(ModelSpec(model, "anthropic")), **options).get("tool_choice")

    for model in ("claude-fable-5-1", "claude-opus-5-5", "claude-sonnet-5-5"):
        assert choice(model, tool_choice="required") is None
        assert choice(model, tool_choice="f", parallel_tool_calls=False) == {
            "type": "auto",
            "disable_parallel_tool_use": True,
        }
        assert choice(model, tool_choice="none") == {"type": "none"}
    assert choice("claude-opus-5", tool_choice="required", thinking=True) == {"type": "any"}
    assert choice("claude-haiku-5-5", tool_choice="f") == {"type": "tool", "name": "f"}
    assert choice("claude-sonnet-4-5", tool_choice="f") == {"type": "tool", "name": "f"}
    assert choice("claude-sonnet-4-5", tool_choice="f", thinking=True) is None


BLANKS = st.sampled_from(["", " ", "\n\n", "said"])
IDS = st.sampled_from(["1", "a.b", "a_b", "functions.f:0", "chatcmpl-tool-" + "f" * 32, "x" * 90, "é|"])
NAMES = st.sampled_from(["f", "multi_tool_use.parallel", "", "ein name", "n" * 80])
ARGUMENTS = st.sampled_from(["{}", '{"a": 1}', "", " ", "{", "[1]", "null", '{"a": NaN}', "[" * 100_000])
PARTS = st.lists(st.sampled_from([{"type": "text", "text": " "}, {"type": "text", "text": "x"}, PNG]), max_size=3)
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s"}


@st.composite
def assistants(draw):
    text, ids = draw(BLANKS), draw(st.lists(IDS, unique=True, max_size=3))
    calls = [
        {"id": i, "type": "function", "function": {"name": draw(NAMES), "arguments": draw(ARGUMENTS)}} for i in ids
    ]
    message = {"role": "assistant", "content": text, "mine": 1, "thinking": "hm"}
    if calls:
        message["tool_calls"] = [{**call, "function": {**call["function"], "parsed": {}}} for call in calls]
    if draw(st.booleans()):
        message["anthropic"] = {"content": [THOUGHT, {"type": "text", "text": text}] if text else [THOUGHT]}
    results = [
        {"role": "tool", "tool_call_id": i, "name": "f", "content": draw(BLANKS | PARTS), "status": "cancelled"}
        for i in ids
    ]
    return [message, *results]


USERS = st.builds(lambda content: [{"role": "user", "content": content}], BLANKS | PARTS)
HISTORIES = st.lists(USERS | assistants(), max_size=6).map(lambda turns: [m for turn in turns for m in turn])


@given(HISTORIES)
def test_no_history_makes_a_request_that_anthropic_refuses(history):
    check_history(history)
    messages = AnthropicCodec(ModelSpec("claude-opus-5", "anthropic")).encode(Request(messages=history), stream=False)[
        "messages"
    ]
    assert all(one["role"] != other["role"] for one, other in pairwise(messages))
    seen, waiting = set(), []
    for message in messages:
        blocks = message["content"]
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        assert results == waiting
        assert [block["type"] for block in blocks[: len(results)]] == ["tool_result"] * len(results)
        inner = [part for block in blocks for part in block.get("content") or ()]
        assert all(part["type"] != "text" or part["text"].strip() for part in [*blocks, *inner])
        waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
        assert len({*waiting, *seen}) == len(waiting) + len(seen)
        seen |= {*waiting}
        assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", call_id) for call_id in waiting)
        for block in blocks:
            if block["type"] == "tool_use":
                assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", block["name"])
                assert isinstance(block["input"], dict)
        assert blocks[-1]["type"] != "thinking"
    json.dumps(messages, allow_nan=False)


@given(HISTORIES, st.sampled_from(["openai", "vllm", "responses"]))
def test_no_history_makes_a_request_that_openai_or_a_server_of_its_formats_refuses(history, name):
    if name == "responses":
        sent = encode(ResponsesCodec(ModelSpec("gpt-5", "openai")), history)["input"]
        calls = [(i["call_id"], i["name"], i["arguments"]) for i in sent if i.get("type") == "function_call"]
        answered = [item["call_id"] for item in sent if item.get("type") == "function_call_output"]
        known = {"type", "call_id", "name", "arguments", "output", "role", "content"}
        assert not {key for item in sent for key in item} - known
    else:
        sent = encode(ChatCodec(ModelSpec("m", name), TABLE[name]), history)["messages"]
        made = [call for message in sent for call in message.get("tool_calls", ())]
        calls = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in made]
        assert all(set(call["function"]) == {"name", "arguments"} for call in made)
        answered = [message["tool_call_id"] for message in sent if message["role"] == "tool"]
        known = {"role", "content", "tool_calls", "tool_call_id", "reasoning"}
        assert not {key for message in sent for key in message} - known
        assert all(
            message["content"] or message.get("tool_calls") for message in sent if message["role"] == "assistant"
        )
    assert [call_id for call_id, _, _ in calls] == answered
    for call_id, called, arguments in calls:
        assert len(call_id) <= {"openai": 40, "responses": 64}.get(name, 100)
        assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", called) or (name == "vllm" and called)
        assert isinstance(json.loads(arguments, parse_constant=lambda constant: pytest.fail(constant)), dict)


def test_arguments_that_are_an_object_are_sent_as_the_model_wrote_them():
    written = ' {"b": 1,"a":2}'
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": written}}
    history = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    assert encode(CHAT, history)["messages"][0]["tool_calls"][0]["function"]["arguments"] == written
    assert encode(ResponsesCodec(ModelSpec("m", "openai")), history)["input"][0]["arguments"] == written


def test_a_message_of_thoughts_alone_is_not_sent_to_anthropic():
    codec = AnthropicCodec(ModelSpec("claude-opus-5", "anthropic"))
    message = assistant_message(codec.decode({"content": [THOUGHT], "stop_reason": "end_turn"}))
    history = [{"role": "user", "content": "a"}, message, {"role": "user", "content": "b"}]
    assert [m["role"] for m in encode(codec, history)["messages"]] == ["user"]
