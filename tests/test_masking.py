"""What error texts hide: the key, where it stands and if it is long enough to be one."""

import html
import json
import logging
import time
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import httpx2
import pytest

from aimu._core.secrets import Secrets, hide, in_arguments, in_headers, in_url, in_variables
from aimu.errors import MalformedResponseError, ProviderConnectionError, ProviderError
from aimu.models._spec import ModelSpec
from aimu.providers import make_provider
from aimu.providers._base import Request
from tests.raw_server import response, serving

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


WAYS = {
    "as it is": lambda secret: secret,
    "in a URL": lambda secret: quote(secret, safe=""),
    "in JSON": lambda secret: json.dumps(secret)[1:-1],
    "in JSON with escaped slashes": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "in HTML": html.escape,
    "in Base64": lambda secret: b64encode(secret.encode()).decode(),
    "in Basic": lambda secret: b64encode(f":{secret}".encode()).decode(),
    "in Basic with a name": lambda secret: b64encode(f"me:{secret}:".encode()).decode(),
    "in Base64 of a URL": lambda secret: urlsafe_b64encode(f"Bearer {secret}".encode()).decode(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("secret", [LONG, 'a/b+c=/d<e>"f&/g+==', "/+a//b+c++d///e+f", "k" * 16])
def test_a_secret_is_hidden_however_a_server_writes_it(secret, way):
    shown = Secrets([None, "", secret]).hide(f"the key '{way(secret)}' is bad")
    assert shown.startswith("the key '")
    assert shown.endswith("' is bad")
    assert "***" in shown
    # Of Base64, characters remain that depend also on what stands beside the secret.
    assert len(shown) - len("the key '***' is bad") <= len(way("")) + 4


@pytest.mark.parametrize(
    "arguments",
    [
        [f"--api-key={LONG}"],
        ["--verbose", "--token", LONG],
        ["run", "-e", f"GITHUB_TOKEN={LONG}", "image"],
        ["mcp-remote", "https://host/mcp", "--header", f"Authorization: Bearer {LONG}"],
        ["mcp-remote", "https://host/mcp", f"--header=X-Api-Key:{LONG}"],
        [f"https://host/mcp?api_key={LONG}"],
        [f"postgresql://me:{LONG}@host/db"],
        ["--config", f'{{"a": 1, "apiKey": "{LONG}"}}'],
        ["positional", LONG],
    ],
)
def test_secrets_among_the_arguments_of_a_command_are_found(arguments):
    assert LONG in in_arguments(arguments)
    assert LONG[4:] not in Secrets(in_arguments(arguments)).hide(repr(arguments))


def test_other_arguments_are_shown():
    usual = [
        "-y",
        "@scope/a-server-for-tokens",
        "--max-tokens",
        "100000000",
        "--key-file=/etc/a/key.pem",
        "--port",
        "8080",
    ]
    more = ["--author", "somebody-else", "C:/some/dir", "http://[broken", "skip-this-long-word-1", "--token", "--flag"]
    assert list(in_arguments([*usual, *more])) == []


@pytest.mark.parametrize(
    "long", ["a" * 50_000, "sk-" * 20_000, '"' * 50_000, '"a" ' * 20_000], ids=lambda text: text[:4]
)
def test_a_long_argument_is_looked_through_in_linear_time(long):
    begun = time.process_time()
    assert LONG in in_arguments([long, f"{long} {LONG} https://me:{LONG}@host/"])
    assert time.process_time() - begun < 1


async def test_the_log_of_httpx2_does_not_show_what_is_secret_in_a_url(caplog):
    caplog.set_level(logging.DEBUG)
    async with httpx2.AsyncClient() as http:
        with serving(lambda request: [response(b"{}")]) as served:
            provider = make_provider(
                ModelSpec("m", "vllm"), base_url=f"{served.url}/v1?key={LONG}", api_key="k", http_client=http
            )
            with pytest.raises(ProviderError):
                await provider.complete(Request(messages=HELLO))
    asked = [record.getMessage() for record in caplog.records if record.name == "httpx2"]
    assert any("key=***" in text for text in asked)
    assert LONG not in caplog.text


def test_secrets_are_told_by_the_names_of_headers_and_parameters():
    headers = {"Authorization": "Bearer abc", "X-API-Key": "def", "Cookie": "a=b", "Accept": "all", "X-Org": "us"}
    assert list(in_headers(headers)) == ["abc", "def", "a=b", "b"]
    assert list(in_headers({"Cookie": "session=s; theme=t; "})) == ["session=s", "s", "theme=t", "t"]
    url = "https://me:pass@host/v1?api-version=2024-10-21&code=c&access_token=t&api-key=k&sig=s&design=d"
    assert list(in_url(url)) == ["pass", "t", "k", "s"]
    assert list(in_url("https://me:p%40s+s@host/v1?key=a+b/c%3D&api-key=&n")) == [
        *("p%40s+s", "p@s+s", "p@s s"),
        *("a+b/c%3D", "a+b/c=", "a b/c="),
    ]
    assert list(in_variables({"PATH": "/bin", "GITHUB_TOKEN": "t", "DB_PASSWORD": "p"})) == ["t", "p"]


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


async def test_what_is_secret_in_the_base_url_and_in_the_headers_of_the_users_client_is_hidden_too():
    def handler(request):
        got = [request.headers["x-org-token"], str(request.url), request.headers["authorization"]]
        return httpx2.Response(404, text=f"cannot POST {got}")

    own = httpx2.AsyncClient(transport=httpx2.MockTransport(handler), headers={"X-Org-Token": f"org {LONG}-1"})
    url = f"https://host.example/v1?api-version=2024-10-21&key={LONG}-2"
    provider = make_provider(ModelSpec("m", "vllm"), http_client=own, base_url=url, api_key=f"{LONG}-3")
    error = await error_of(provider)
    assert str(error).count("***") == 3
    assert "2024-10-21" in str(error)
    assert LONG not in f"{error} {error!r}"


async def test_an_escaped_secret_of_the_base_url_is_hidden_as_the_server_reads_it_too():
    def handler(request):
        return httpx2.Response(404, text=f"bad {request.url.params['key']} and {request.url.query.decode()}")

    own = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    url = f"https://host.example/v1?key={LONG}%2f+/=".replace("0", "%30")
    error = await error_of(make_provider(ModelSpec("m", "vllm"), http_client=own, base_url=url, api_key="none"))
    assert "***" in str(error)
    assert "123456789" not in f"{error} {error!r}"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_key_in_the_words_of_an_answer_is_hidden(stream, caplog):
    def handler(request):
        said = {"content": None if stream else "", "refusal": f"I refuse {LONG}"}
        choice = {"index": 0, "delta": said, "message": said, "finish_reason": f"odd {LONG}"}
        body = json.dumps({"id": "1", "model": f"m {LONG}", "choices": [choice]})
        return httpx2.Response(200, text=f"data: {body}\n\ndata: [DONE]\n\n" if stream else body)

    own = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    provider = make_provider(ModelSpec("m", "openai"), http_client=own, api_key=LONG)
    request = Request(messages=HELLO)
    reply = [piece async for piece in provider.stream(request)][-1] if stream else await provider.complete(request)
    assert (reply.finish_reason, reply.model, reply.refusal) == ("odd ***", "m ***", "I refuse ***")
