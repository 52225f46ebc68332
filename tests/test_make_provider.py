"""How a provider is made: keys, URLs and options, from arguments and from the environment."""

import re
import sys

import httpx2
import pytest

from aimu.errors import InvalidOptionError, MissingExtraError, MissingKeyError, ProviderError, UnknownProviderError
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers import HTTP_PROVIDERS, make_provider
from aimu.providers._base import Provider, Request
from aimu.providers._vendors import url_of_host

HELLO = [{"role": "user", "content": "hello"}]


def test_a_missing_key_or_package_raises_at_construction(monkeypatch):
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


@pytest.mark.parametrize("name", ["openai", "anthropic", "groq"])
def test_a_missing_key_for_a_server_of_ones_own_says_that_any_will_do(monkeypatch, name):
    at = TABLE[name].connection
    for variable in (*at.key_variables, *at.token_variables, *at.url_variables):
        monkeypatch.delenv(variable, raising=False)
    spec = ModelSpec("m", name)
    hint = "; if the server at your base URL needs no key, pass any, such as api_key='none'"
    for url, own in ((None, False), (at.base_url, False), ("http://127.0.0.1:9/v1", True)):
        with pytest.raises(MissingKeyError) as caught:
            make_provider(spec, base_url=url)
        assert (caught.value.own_url, str(caught.value).endswith(hint)) == (own, own)
    monkeypatch.setenv(at.url_variables[0], "http://127.0.0.1:9/v1")
    with pytest.raises(MissingKeyError, match="needs no key"):
        make_provider(spec)
    assert isinstance(make_provider(spec, api_key="none"), Provider)


def test_a_missing_key_of_a_service_without_a_url_of_its_own_has_no_such_hint(monkeypatch):
    for variable in ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(MissingKeyError) as caught:
        make_provider(ModelSpec("m", "azure"), base_url="https://example.openai.azure.com")
    assert "needs no key" not in str(caught.value)


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


async def test_each_server_of_openai_s_format_is_reached_where_its_environment_says(monkeypatch):
    urls = {}

    def handler(request):
        assert not [name for name in request.headers if name.startswith("x-stainless-")]
        urls[request.url.host] = request.headers.get("authorization"), request.headers.get("openai-organization")
        return httpx2.Response(200, json={"choices": [{"message": {"content": "x"}}]})

    monkeypatch.setenv("OPENAI_ORG_ID", "org")
    names = [row.name for row in TABLE.values() if row.wire == "openai_chat"]
    for name in names:
        at = TABLE[name].connection
        for variable in at.key_variables:
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv(at.url_variables[0], f"http://{name}.test/v1")
        client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
        provider = make_provider(ModelSpec("m", name), http_client=client, api_key="k" if at.key_required else None)
        await provider.complete(Request(messages=HELLO))
    assert urls.pop("openai.test") == ("Bearer k", "org")
    assert urls.pop("azure.test") == (None, None)  # whose key has a header of its own
    keyed = {f"{name}.test" for name in names if TABLE[name].connection.key_required} & urls.keys()
    assert len(keyed) == 12
    assert {urls.pop(host) for host in keyed} == {("Bearer k", None)}
    assert set(urls.values()) == {(None, None)}
    assert len(urls) == len(names) - len(keyed) - 2 >= 6


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        (":8000", "http://127.0.0.1:8000"),
        ("box:1", "http://box:1"),
        ("box", "http://box:11434"),
        ("box/ollama", "http://box:11434/ollama"),
        ("http://box/ollama/", "http://box:80/ollama"),
        ("HTTP://0.0.0.0:1", "http://127.0.0.1:1"),
        ("https://box", "https://box:443"),
        (' "box:1" ', "http://box:1"),
        ("::1", "http://[::1]:11434"),
        ("[::]", "http://[::1]:11434"),
        ("http://:8000", "http://127.0.0.1:8000"),
        ("[::1]:9", "http://[::1]:9"),
    ],
)
def test_the_values_of_ollama_host_are_understood(host, url):
    assert url_of_host(host, 11434) == url


@pytest.mark.parametrize("name", ["ollama", "vllm", "anthropic"])
@pytest.mark.parametrize(
    "url",
    [
        *("localhost:port", "http://box:port/v1", "box:99999", "http://a b/v1", "ftp://box", "http://box/v1#top"),
        *("https://me@box/v1", "https://me:secret@box/v1", "ftp://box/?key=secret"),
    ],
)
def test_an_invalid_base_url_is_an_error_at_construction(name, url):
    with pytest.raises(InvalidOptionError, match="base URL") as caught:
        make_provider(ModelSpec("m", name), base_url=url, api_key="k")
    assert "secret" not in str(caught.value)


BASES = [  # what a user may give: without its path, with a slash or not, with port, IPv6, query
    ("https://host.test", "https://host.test", ""),
    ("https://host.test/", "https://host.test", ""),
    ("https://host.test:8443", "https://host.test:8443", ""),
    ("http://127.0.0.1:8000/", "http://127.0.0.1:8000", ""),
    ("http://[::1]:8000/api/v1", "http://[::1]:8000/api/v1", ""),
    ("https://host.test/api/v1/", "https://host.test/api/v1", ""),
    ("https://host.test/api?api-version=1&x=a%2Fb", "https://host.test/api", "?api-version=1&x=a%2Fb"),
]


@pytest.mark.parametrize("variable", [False, True], ids=["argument", "variable"])
@pytest.mark.parametrize("base", BASES, ids=lambda base: base[0])
@pytest.mark.parametrize("name", HTTP_PROVIDERS)
async def test_requests_go_to_paths_below_the_base_url_of_the_user(name, base, variable, monkeypatch):
    urls, at, (given, below, query) = [], TABLE[name].connection, base
    if at.default_path and below.count("/") == 2:
        below += at.default_path
    if at.default_port is not None and below == "https://host.test":
        below += ":443"
    for taken in at.url_variables:
        monkeypatch.delenv(taken, raising=False)
    if variable:
        monkeypatch.setenv(at.url_variables[0], given)

    def handler(request):
        urls.append(str(request.url))
        return httpx2.Response(400)

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    provider = make_provider(
        ModelSpec("m", name), base_url=None if variable else given, api_key="k" * 20, http_client=client
    )
    with pytest.raises(ProviderError):
        await provider.complete(Request(messages=HELLO))
    (url,) = urls
    assert re.fullmatch(
        re.escape(str(httpx2.URL(below))) + "/?(v1/messages|chat/completions|responses|api/chat)" + re.escape(query),
        url,
    )


def test_an_error_about_a_base_url_shows_no_password():
    with pytest.raises(InvalidOptionError) as caught:
        make_provider(ModelSpec("m", "vllm"), base_url="https://me:secret@box:port/v1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["anthropic", "openai", "ollama"])
async def test_empty_variables_count_as_unset_and_blanks_around_values_are_dropped(name, monkeypatch):
    sent = []

    def handler(request):
        sent.append(request)
        return httpx2.Response(400)

    urls = {"anthropic": "ANTHROPIC_BASE_URL", "openai": "OPENAI_BASE_URL", "ollama": "OLLAMA_HOST"}
    hosts = {"anthropic": "api.anthropic.com", "openai": "api.openai.com", "ollama": "127.0.0.1"}
    monkeypatch.setenv("OPENAI_ORG_ID", "")
    monkeypatch.setenv(f"{name.upper()}_API_KEY", " k\n")
    for value, host in (("", hosts[name]), (" ", hosts[name]), (" http://box/v1/ \n", "box")):
        monkeypatch.setenv(urls[name], value)
        client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
        with pytest.raises(ValueError, match="400"):
            await make_provider(ModelSpec("m", name), http_client=client).complete(Request(messages=HELLO))
        assert sent[-1].url.host == host
        assert "//" not in sent[-1].url.path
        assert sent[-1].headers["authorization"] == "Bearer k"
        assert "openai-organization" not in sent[-1].headers


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "5", True])
def test_an_invalid_timeout_is_refused(timeout):
    with pytest.raises(InvalidOptionError, match="timeout"):
        make_provider(ModelSpec("m", "ollama"), timeout=timeout)
