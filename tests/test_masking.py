"""What error texts hide: the key, where it stands and if it is long enough to be one."""

import json

import httpx2
import pytest

from aimu._core.secrets import hide
from aimu.errors import MalformedResponseError, ProviderConnectionError, ProviderError
from aimu.models._spec import ModelSpec
from aimu.providers import make_provider
from aimu.providers._base import Request

LONG = "sk-0123456789abcdef"
HELLO = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("ollama", "ollama-openai: run `ollama pull`", "ollama-openai: run `ollama pull`"),
        ("none", "none of it", "none of it"),
        ("", "all", "all"),
        ("EMPTY", "EMPTY", "EMPTY"),
        ("1234567", "1234567", "1234567"),
        ("testtest", "key testtest, testtests or atesttest", "key ***, testtests or atesttest"),
        ("test.key", "testakey 'test.key'", "testakey '***'"),
        (LONG, f"bad key {LONG}: api_key%3D{LONG}%26", "bad key ***: api_key%3D***%26"),
    ],
)
def test_a_secret_is_hidden_where_it_stands_if_it_is_long_enough(secret, text, shown):
    assert hide(secret, text) == shown


def providers(handler, key):
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    for name in ("openai", "anthropic", "ollama-openai", "ollama", "vllm"):
        yield make_provider(ModelSpec("m", name), http_client=client, api_key=key)


async def error_of(provider, kind=ProviderError):
    with pytest.raises(kind) as caught:
        async for _ in provider.stream(Request(messages=HELLO)):
            pass
    return caught.value


@pytest.mark.parametrize("key", ["ollama", "vllm", "none", "model"])
async def test_a_short_key_leaves_the_texts_of_errors_alone(key):
    def handler(request):
        return httpx2.Response(
            404, json={"error": {"message": f"model 'm' not found: {key} pull"}}, headers={"x-request-id": key}
        )

    for provider in providers(handler, key):
        error = await error_of(provider)
        assert f"model 'm' not found: {key} pull" in str(error)
        assert str(error).startswith(f"{provider.spec.provider}: ")
        assert error.request_id == key
        assert "***" not in str(error)


async def test_a_long_key_is_hidden_in_message_request_id_and_causes():
    def refuse(request):
        return httpx2.Response(401, json={"error": {"message": f"bad key {LONG}"}}, headers={"x-request-id": LONG})

    def fail(request):
        raise httpx2.ConnectError(f"GET /?key={LONG} failed")

    for handler, kind in ((refuse, ProviderError), (fail, ProviderConnectionError)):
        for provider in providers(handler, LONG):
            error = await error_of(provider, kind)
            assert "***" in str(error)
            assert LONG not in f"{error} {error!r} {error.request_id} {error.__cause__} {error.__cause__!r}"


async def test_a_long_key_is_hidden_in_the_partial_text():
    event = {"choices": [{"index": 0, "delta": {"content": f"It is {LONG}."}}]}

    def handler(request):
        return httpx2.Response(200, text=f"data: {json.dumps(event)}\n\ndata: {{\n\n")

    for provider in providers(handler, LONG):
        if provider.spec.provider == "vllm":
            error = await error_of(provider, MalformedResponseError)
            assert error.partial == "It is ***."
