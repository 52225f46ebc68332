"""`extra_body`: its tools join the conversation's, and it replaces nothing that the request itself sets."""

import json

import httpx2
import pytest

from aimu.errors import InvalidOptionError
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers import make_provider
from aimu.providers._anthropic import AnthropicCodec
from aimu.providers._base import Request
from aimu.providers._ollama import OllamaCodec
from aimu.providers._openai_chat import ChatCodec
from aimu.providers._openai_responses import ResponsesCodec

TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
SEARCH = {"type": "web_search"}
CODECS = {
    "chat": ChatCodec(ModelSpec("gpt-4.1", "openai"), TABLE["openai"]),
    "vllm": ChatCodec(ModelSpec("m", "vllm"), TABLE["vllm"]),
    "responses": ResponsesCodec(ModelSpec("gpt-5.5", "openai")),
    "anthropic": AnthropicCodec(ModelSpec("claude-sonnet-5", "anthropic")),
    "ollama": OllamaCodec(ModelSpec("m", "ollama")),
}
HISTORY = [{"role": "system", "content": "brief"}, {"role": "user", "content": "hello"}]
every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


def encode(codec, extra, tools=(TOOL,), kind="chat", **options):
    request = Request(messages=HISTORY, tools=tools, options={"extra_body": extra, **options}, kind=kind)
    return codec.encode(request, stream=False)


@every_codec
def test_the_tools_of_extra_body_join_those_of_the_conversation(codec):
    own = encode(codec, {})["tools"]
    assert encode(codec, {"tools": [SEARCH]})["tools"] == [*own, SEARCH]
    assert encode(codec, {"tools": [SEARCH]}, tools=())["tools"] == [SEARCH]
    assert encode(codec, {"tools": []})["tools"] == own


@every_codec
@pytest.mark.parametrize("tools", [None, {}, "search", [1], [None]])
def test_tools_of_another_form_are_refused(codec, tools):
    with pytest.raises(InvalidOptionError, match=r"extra_body\['tools'\] must be a list of tool definitions"):
        encode(codec, {"tools": tools})


@every_codec
@pytest.mark.parametrize("tool", [TOOL, {"name": "f"}, {"type": "function", "name": "f"}])
def test_a_second_tool_of_the_same_name_is_refused(codec, tool):
    with pytest.raises(InvalidOptionError, match="has a tool 'f', and so has the conversation; rename"):
        encode(codec, {"tools": [tool]})


@every_codec
@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("model", "other", "make a client"),
        ("messages", [], "assign `messages`"),
        ("stream", True, "stream=True"),
        ("stream", False, "stream=True"),
        ("tool_choice", "none", "generate_kwargs"),
    ],
)
def test_a_key_that_every_request_sets_is_refused_with_the_remedy(codec, key, value, remedy):
    with pytest.raises(InvalidOptionError, match=f"'{key}'.*{remedy}"):
        encode(codec, {key: value})


@pytest.mark.parametrize(
    ("codec", "key", "kind"),
    [
        ("responses", "input", "chat"),
        ("responses", "instructions", "chat"),
        ("anthropic", "system", "chat"),
        ("ollama", "prompt", "generate"),
        ("ollama", "system", "generate"),
    ],
)
def test_a_key_under_which_the_conversation_is_sent_is_refused(codec, key, kind):
    with pytest.raises(InvalidOptionError, match=f"'{key}', which the request itself sets; "):
        encode(CODECS[codec], {key: "x"}, tools=(), kind=kind)


@every_codec
def test_other_keys_are_sent_as_they_are(codec):
    body = encode(codec, {"user": "u", "metadata": {"a": 1}, "max_tokens": 7}, max_tokens=5)
    assert (body["user"], body["metadata"], body["max_tokens"]) == ("u", {"a": 1}, 7)


def test_what_a_response_shall_include_is_added():
    included = encode(CODECS["responses"], {"include": ["message.output_text.logprobs"]})["include"]
    assert included == ["reasoning.encrypted_content", "message.output_text.logprobs"]


@pytest.mark.parametrize("name", ["openai", "anthropic", "ollama", "vllm", "gemini"])
async def test_nothing_is_sent_with_a_key_that_is_refused(name):
    sent = []
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda request: sent.append(json.loads(request.read()))))
    provider = make_provider(ModelSpec("m", name), http_client=client, api_key="k" * 20)
    request = Request(messages=HISTORY, options={"extra_body": {"messages": []}})
    with pytest.raises(InvalidOptionError, match="'messages'"):
        await provider.complete(request)
    with pytest.raises(InvalidOptionError, match="'messages'"):
        await anext(provider.stream(request))
    assert sent == []
