"""How a provider is made: keys, URLs and options, from arguments and from the environment."""

import sys

import httpx2
import pytest

from aimu.errors import InvalidOptionError, MissingExtraError, MissingKeyError, UnknownProviderError
from aimu.models.spec import ModelSpec
from aimu.providers import make_provider
from aimu.providers.base import Provider, Request
from aimu.providers.openai_compatible import SERVERS
from aimu.providers.vendors import ollama_url

HELLO = [{"role": "user", "content": "hello"}]


def test_what_is_missing_is_said_at_construction(monkeypatch):
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    for name, variable in (("openai", "OPENAI"), ("anthropic", "ANTHROPIC"), ("gemini", "GOOGLE")):
        with pytest.raises(MissingKeyError, match=f"{variable}_API_KEY"):
            make_provider(ModelSpec("m", name))
    for name in ("ollama", "ollama-openai", "lmstudio", "vllm", "sglang", "llamaserver", "hf-openai"):
        assert isinstance(make_provider(ModelSpec("m", name)), Provider)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match="openai"):
        make_provider(ModelSpec("m", "vllm"))
    with pytest.raises(UnknownProviderError):
        make_provider(ModelSpec("m", "hf"))
    with pytest.raises(InvalidOptionError):
        make_provider(ModelSpec("m", "anthropic"), api="chat")
    with pytest.raises(InvalidOptionError, match="httpx2"):
        make_provider(ModelSpec("m", "ollama"), http_client=object())


@pytest.mark.parametrize(
    ("model", "api", "path"),
    [
        ("gpt-5-mini", None, "responses"),
        ("o3", None, "responses"),
        ("gpt-4.1", None, "chat/completions"),
        ("gpt-5-chat-latest", None, "chat/completions"),
        ("o3", "chat", "chat/completions"),
        ("gpt-4.1", "responses", "responses"),
    ],
)
def test_reasoning_models_of_openai_get_the_responses_api(model, api, path):
    provider = make_provider(ModelSpec(model, "openai"), api_key="k", api=api)
    assert provider.codec.path(Request(messages=HELLO)) == path


async def test_each_row_is_reached_where_its_environment_says(monkeypatch):
    urls = {}

    def handler(request):
        assert not [name for name in request.headers if name.startswith("x-stainless-")]
        urls[request.url.host] = request.headers.get("authorization"), request.headers.get("openai-organization")
        return httpx2.Response(200, json={"choices": [{"message": {"content": "x"}}]})

    monkeypatch.setenv("OPENAI_ORG_ID", "org")
    for name, row in SERVERS.items():
        for variable in row.key_variables:
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv(row.url_variables[0], f"http://{name}.test/v1")
        client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
        provider = make_provider(ModelSpec("m", name), http_client=client, api_key="k" if row.key_required else None)
        await provider.complete(Request(messages=HELLO))
    assert urls.pop("openai.test") == ("Bearer k", "org")
    assert urls.pop("gemini.test") == ("Bearer k", None)
    assert set(urls.values()) == {(None, None)}
    assert len(urls) == 6


@pytest.mark.parametrize(
    ("host", "url"),
    [
        (None, "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        (":8000", "http://127.0.0.1:8000"),
        ("box:1", "http://box:1"),
        ("http://box/ollama/", "http://box:11434/ollama"),
        ("https://box", "https://box:443"),
        ("[::1]:9", "http://[::1]:9"),
    ],
)
def test_the_values_of_ollama_host_are_understood(host, url):
    assert ollama_url(host) == url
