"""The services in the table, the reasoning that goes back to them, and the order of roles that they accept."""

import copy
import json
import re
from itertools import pairwise

import pytest

import aimu
from aimu import aio
from aimu.errors import InvalidOptionError, MissingKeyError
from aimu.models._options import warn_unsupported
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers import HTTP_PROVIDERS, make_provider
from aimu.providers._alternation import alternated
from aimu.providers._anthropic import AnthropicCodec
from aimu.providers._base import Request
from aimu.providers._openai_chat import ChatCodec
from aimu.tools import tool
from tests.raw_server import head, response, serving

SERVICES = {
    "azure": ("AZURE_OPENAI_API_KEY", "https://res.openai.azure.com/openai/v1/chat/completions"),
    "cerebras": ("CEREBRAS_API_KEY", "https://api.cerebras.ai/v1/chat/completions"),
    "dashscope": ("DASHSCOPE_API_KEY", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions"),
    "deepseek": ("DEEPSEEK_API_KEY", "https://api.deepseek.com/chat/completions"),
    "fireworks": ("FIREWORKS_API_KEY", "https://api.fireworks.ai/inference/v1/chat/completions"),
    "github-models": ("GITHUB_TOKEN", "https://models.github.ai/inference/chat/completions"),
    "groq": ("GROQ_API_KEY", "https://api.groq.com/openai/v1/chat/completions"),
    "mistral": ("MISTRAL_API_KEY", "https://api.mistral.ai/v1/chat/completions"),
    "moonshot": ("MOONSHOT_API_KEY", "https://api.moonshot.ai/v1/chat/completions"),
    "openrouter": ("OPENROUTER_API_KEY", "https://openrouter.ai/api/v1/chat/completions"),
    "together": ("TOGETHER_API_KEY", "https://api.together.ai/v1/chat/completions"),
    "xai": ("XAI_API_KEY", "https://api.x.ai/v1/chat/completions"),
}
HELLO = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CHAT = [name for name in HTTP_PROVIDERS if TABLE[name].wire == "openai_chat"]
PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(("name", "at"), SERVICES.items(), ids=SERVICES)
async def test_a_service_is_reached_at_its_address_with_its_key(name, at, monkeypatch):
    import httpx2

    sent = []

    def handler(request):
        sent.append(request)
        return httpx2.Response(200, json={"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]})

    variable, url = at
    for other in (*TABLE[name].connection.key_variables, *TABLE[name].connection.token_variables):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://res.openai.azure.com/")
    with pytest.raises(MissingKeyError, match=variable):
        make_provider(ModelSpec("m", name))
    monkeypatch.setenv(variable, "the-key-of-it")
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(handler)) as http:
        async with aio.client(f"{name}:m", http_client=http) as client:
            assert await client.chat("hello") == "hi"
    (request,) = sent
    assert str(request.url) == url
    if name == "azure":
        assert (request.headers["api-key"], request.headers.get("authorization")) == ("the-key-of-it", None)
    else:
        assert request.headers["authorization"] == "Bearer the-key-of-it"


async def test_azure_takes_a_token_instead_of_a_key_and_needs_an_endpoint(monkeypatch):
    monkeypatch.delenv("AZURE_OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "the-token-of-it")
    monkeypatch.delenv("AZURE_OPENAI_ENDPOINT", raising=False)
    with pytest.raises(InvalidOptionError, match="AZURE_OPENAI_BASE_URL"):
        make_provider(ModelSpec("m", "azure"))
    answer = response(b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}')
    with serving(lambda request: [answer]) as served:
        provider = make_provider(ModelSpec("my-deployment", "azure"), base_url=served.url)
        assert (await provider.complete(Request(messages=HELLO))).text == "hi"
        await provider.aclose()
    (request,) = served.requests
    assert request.startswith(b"POST /openai/v1/chat/completions ")
    assert b"authorization: bearer the-token-of-it\r\n" in request.lower()
    assert b"api-key" not in request.lower()


@pytest.mark.parametrize("name", CHAT)
def test_every_option_has_a_name_or_a_warning_in_every_row(name, caplog):
    row = TABLE[name]
    options = {"max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "stop": ["x"], "seed": 1, "top_k": 3}
    codec = ChatCodec(ModelSpec("any-model", name), row)
    body = codec.encode(Request(messages=HELLO, tools=[TOOL], options=options), stream=True)
    assert {"max_tokens", "max_completion_tokens"} & body.keys()
    assert all(body[row.chat.names[key]] == value for key, value in options.items() if key in row.chat.names)
    assert ("stream_options" in body) == row.chat.stream_usage
    for thinking, switch in ((True, row.chat.thinking_on), (False, row.chat.thinking_off)):
        asked = codec.encode(Request(messages=HELLO, options={"thinking": thinking}), stream=False)
        if row.chat.efforts is None:
            assert {key: asked.get(key) for key in switch or {}} == (switch or {})


def answer(request, *, key):
    """Calls `add` until its result is there; `key` is that of the reasoning."""
    asked = json.loads(request.partition(b"\r\n\r\n")[2])
    done = any(message["role"] == "tool" for message in asked["messages"])
    call = {"index": 0, "id": "call00001", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    message = {"content": "done"} if done else {"content": "", "tool_calls": [call]}
    message[key] = [{"type": "reasoning.text", "text": "hm"}] if key == "reasoning_details" else "hm"
    finish = "stop" if done else "tool_calls"
    if not asked.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
        return [response(json.dumps({"choices": [choice]}).encode())]
    event = json.dumps({"choices": [{"index": 0, "delta": message, "finish_reason": finish}]})
    return [head(kind="text/event-stream") + f"data: {event}\n\ndata: [DONE]\n\n".encode()]


def bodies(served):
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in served.requests]


@tool
def add() -> str:
    """Add."""
    return "3"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "reasoning_details"])
@pytest.mark.parametrize("name", ["openai", "vllm", "lmstudio", "deepseek"])
async def test_reasoning_with_a_call_goes_back_under_its_name_to_its_host_only(name, key, stream):
    def one(request):
        return answer(request, key=key)

    with serving(one) as first, serving(one) as second:
        async with aio.client(f"{name}:m", base_url=first.url, api_key="k", tools=[add]) as client:
            text = client.chat("go", stream=stream)
            if stream:
                async with text as chunks:
                    async for _ in chunks:
                        pass
            else:
                assert await text == "done"
            await client.chat("and now?")
            saved = json.loads(json.dumps(client.messages))
        async with aio.client(f"{name}:m", base_url=second.url, api_key="k", tools=[add]) as other:
            other.messages = saved
            await other.chat("and here?")
    _, result, later = bodies(first)
    sent = [message for message in later["messages"] if message["role"] == "assistant"]
    assert result["messages"][1][key] == sent[0][key]
    assert sent[0][key] == ([{"type": "reasoning.text", "text": "hm"}] if key == "reasoning_details" else "hm")
    assert sent[1][key] == sent[0][key]  # the answer of the same turn
    (elsewhere,) = bodies(second)
    assert "hm" not in json.dumps(elsewhere)
    kept = saved[1][name]
    assert kept["host"] == first.url.removeprefix("http://")
    assert kept["model"] == "m"


def test_the_sync_surface_sends_reasoning_back_too():
    with serving(lambda request: answer(request, key="reasoning_content")) as served:
        with aimu.client("openai:m", base_url=served.url, api_key="k", tools=[add]) as client:
            assert client.chat("go") == "done"
    assert bodies(served)[1]["messages"][1]["reasoning_content"] == "hm"


async def test_the_reasoning_of_a_turn_without_calls_stays_here():
    def talk(request):
        message = {"content": "hi", "reasoning_content": "hm"}
        return [response(json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode())]

    with serving(talk) as served:
        async with aio.client("deepseek:m", base_url=served.url, api_key="k") as client:
            await client.chat("one")
            client.messages[-1]["thinking"] = "edited"
            await client.chat("two")
    assert bodies(served)[1]["messages"][1] == {"role": "assistant", "content": "hi"}


@pytest.mark.parametrize(
    ("name", "model", "refused", "taken"),
    [
        ("deepseek", "deepseek-v4-pro", {"tool_choice": "required"}, {"stop": ["x"]}),
        ("deepseek", "deepseek-chat", {}, {"tool_choice": "required"}),
        ("deepseek", "deepseek-v4-pro", {}, {"tool_choice": "required", "thinking": False}),
        ("moonshot", "kimi-k2.6", {"tool_choice": "f", "temperature": 1.0}, {"max_tokens": 5}),
        ("moonshot", "moonshot-v1-8k", {}, {"tool_choice": "f", "temperature": 1.0}),
        ("dashscope", "qwen3-max", {"tool_choice": "f", "frequency_penalty": 1.0}, {"top_k": 3}),
        ("dashscope", "qwen3-max", {}, {"tool_choice": "f", "thinking": False}),
        ("xai", "grok-4.6", {"stop": ["x"], "presence_penalty": 1.0}, {"seed": 1, "tool_choice": "required"}),
        ("xai", "grok-3-mini", {"stop": ["x"], "frequency_penalty": 1.0}, {"temperature": 1.0}),
        ("xai", "grok-4-fast-non-reasoning", {"presence_penalty": 1.0}, {"stop": ["x"]}),
        ("cerebras", "zai-glm-4.7", {"top_k": 3}, {"presence_penalty": 1.0, "frequency_penalty": 1.0}),
        ("fireworks", "m", {}, {"parallel_tool_calls": False, "thinking": True}),
        ("together", "m", {"parallel_tool_calls": False}, {"thinking": True, "top_k": 3}),
        ("groq", "m", {"thinking": True, "presence_penalty": 1.0}, {"parallel_tool_calls": False, "seed": 1}),
        ("github-models", "m", {"tool_choice": "f", "parallel_tool_calls": True}, {"tool_choice": "required"}),
    ],
)
def test_a_service_is_sent_what_its_model_takes_and_the_rest_is_told(name, model, refused, taken, caplog):
    def encoded(options):
        warn_unsupported.cache_clear()
        caplog.clear()
        request = Request(messages=HELLO, tools=[TOOL], options=options)
        body = ChatCodec(ModelSpec(model, name), TABLE[name]).encode(request, stream=False)
        return body, {record.args[1] for record in caplog.records if record.name == "aimu.models"}

    plain, _ = encoded({})
    body, told = encoded(refused)
    assert body == plain
    assert told == refused.keys()
    body, told = encoded(taken)
    assert not told
    assert len(body) == len(plain) + len(taken)


def test_fireworks_takes_a_budget_as_its_effort():
    codec = ChatCodec(ModelSpec("m", "fireworks"), TABLE["fireworks"])
    for options, effort in (
        ({"thinking": True}, "medium"),
        ({"thinking": False}, "none"),
        ({"thinking": True, "thinking_budget_tokens": 900}, 900),
    ):
        assert codec.encode(Request(messages=HELLO, options=options), stream=False)["reasoning_effort"] == effort


@pytest.mark.parametrize("name", ["deepseek", "moonshot", "openai", "cerebras"])
def test_a_turn_with_calls_brings_back_a_reasoning_where_none_may_be_missing(name):
    history = [*HELLO, {"role": "assistant", "content": "hi"}, *called(), {"role": "assistant", "content": "done"}]
    body = ChatCodec(ModelSpec("m", name), TABLE[name]).encode(Request(messages=history, tools=[TOOL]), stream=False)
    sent = [message.get("reasoning_content") for message in body["messages"] if message["role"] == "assistant"]
    assert sent == ([None, "", ""] if name in ("deepseek", "moonshot") else [None, None, None])


def called(content="3"):
    call = {"id": "call00001", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call00001", "name": "f", "content": content},
    ]


PICTURE = [{"type": "text", "text": "see"}, PNG]
HISTORIES = {
    "after an empty answer": [*HELLO, {"role": "assistant", "content": ""}, {"role": "user", "content": "go on"}],
    "two user messages": [*HELLO, {"role": "user", "content": [{"type": "text", "text": "look"}, PNG]}],
    "a picture from a tool": called(PICTURE),
    "a picture and a new turn": [*called(PICTURE), {"role": "user", "content": "what is it?"}],
    "a turn after a failure": [*called(), {"role": "user", "content": "again"}],
    "two answers": [*HELLO, {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}, *HELLO],
}
STRICT = [("mistral", "mistral-large-latest"), ("vllm", "mistralai/Devstral-Small-2507"), ("openai", "ministral-8b")]


def codecs():
    yield AnthropicCodec(ModelSpec("claude-sonnet-4-5", "anthropic")), False
    for name in CHAT:
        yield ChatCodec(ModelSpec("m", name), TABLE[name]), name == "mistral"
    for name, model in STRICT:
        yield ChatCodec(ModelSpec(model, name), TABLE[name]), True


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_no_two_messages_of_one_role_are_sent_and_nothing_is_lost(history):
    for codec, strict in codecs():
        before = copy.deepcopy(history)
        body = codec.encode(Request(messages=history, tools=[TOOL]), stream=False)
        assert history == before
        roles = [message["role"] for message in body["messages"]]
        pairs = set(pairwise(roles))
        assert not {("user", "user"), ("assistant", "assistant")} & pairs, (codec, roles)
        if strict:
            assert ("tool", "user") not in pairs
        sent = json.dumps(body["messages"])
        for text in re.findall(r'"(?:text|content)": "([^"]+)"', json.dumps(history)):
            assert text in sent
        assert json.dumps(history).count("AAAA") == sent.count("AAAA")


def test_texts_are_merged_to_a_text_and_others_to_parts_in_order():
    def user(content):
        return {"role": "user", "content": content}

    assert alternated([user("a"), user("b")], bridge=False) == [user("a\n\nb")]
    assert alternated([user("a"), user([PNG]), user("b")], bridge=True) == [
        user([{"type": "text", "text": "a"}, PNG, {"type": "text", "text": "b"}])
    ]
    assert alternated([user(""), user("b")], bridge=True) == [user("b")]


async def test_an_agent_that_asks_again_after_an_empty_answer_sends_one_user_message():
    texts = iter(["", "done"])

    def say(request):
        message = {"content": next(texts)}
        return [response(json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode())]

    with serving(say) as served:
        async with aio.client("vllm:google/gemma-3-4b-it", base_url=served.url) as client:
            agent = aio.Agent(client)
            assert await agent.run("go") == "done"
            assert [message["role"] for message in agent.model_client.messages][:1] == ["user"]
    assert [message["role"] for message in bodies(served)[1]["messages"]] == ["user"]
