"""The usual mistakes get errors that name the thing and the remedy."""

import gc

import anyio
import httpx2
import pytest

import aimu
from aimu import agents, aio
from aimu.errors import (
    AuthenticationError,
    InvalidOptionError,
    ModelNotFoundError,
    ProviderConnectionError,
    ProviderError,
    UnknownProviderError,
)
from aimu.models import ModelSpec, OpenAIModel, resolve_model_string
from aimu.testing import ScriptedProvider, reply
from aimu.tools import tool

ROOMS = [(aio, aio), (aimu, agents)]
IDS = ["aio", "sync"]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


# --- which model ---


@pytest.mark.parametrize(
    ("model", "suggestion"),
    [
        ("opnai:gpt-5", "openai:gpt-5"),
        ("OpenAI:gpt-5", "openai:gpt-5"),
        ("antropic:claude", "anthropic:claude"),
        ("opnai:", "openai:model_id"),
        ("claude:claude-sonnet-4-6", "anthropic:claude-sonnet-4-6"),
        ("qwen3.5:9b", "ollama:qwen3.5:9b"),
    ],
)
def test_a_misspelt_provider_is_suggested(model, suggestion):
    with pytest.raises(UnknownProviderError, match=f"did you mean '{suggestion}'\\?") as caught:
        aio.client(model)
    assert f"unknown provider {model.partition(':')[0]!r}" in str(caught.value)
    assert caught.value.suggestion == suggestion
    resolve_model_string(suggestion)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-2024-11-20", "claude-sonnet-4-6"])
def test_a_model_without_a_provider_is_suggested_with_one(model):
    provider = "openai" if model.startswith("gpt") else "anthropic"
    with pytest.raises(UnknownProviderError, match=f"'{model}' has no provider; did you mean '{provider}:{model}'"):
        aimu.client(model)


def test_what_resembles_nothing_gets_the_list_alone():
    with pytest.raises(UnknownProviderError, match="unknown provider 'zzzzzzzz'; a model string is") as caught:
        aio.client("zzzzzzzz:yyyyyyyy")
    assert caught.value.suggestion is None
    assert "llamacpp; for any other OpenAI-compatible server, write 'vllm:model_id'" in str(caught.value)
    with pytest.raises(UnknownProviderError, match="has no provider; .*write 'vllm:model_id' and pass its base_url=$"):
        aio.client("zzzzzzzz", base_url="http://127.0.0.1:9/v1")


# --- options ---


@pytest.mark.parametrize("room", [aio, aimu], ids=IDS)
@pytest.mark.parametrize(
    ("typo", "meant"),
    [("sytem", "system"), ("tool", "tools"), ("max_retry", "max_retries"), ("generation_kwargs", "generate_kwargs")],
)
@pytest.mark.parametrize("model", ["ollama:qwen3:8b", "own"])
def test_a_misspelt_option_of_a_client_is_suggested(room, typo, meant, model):
    with pytest.raises(InvalidOptionError, match=f"has no option '{typo}'; did you mean '{meant}'\\?; the options are"):
        room.client(ScriptedProvider() if model == "own" else model, **{typo: 1})


@pytest.mark.parametrize("room", [aio, aimu], ids=IDS)
@pytest.mark.parametrize(
    ("given", "meant"), [("temperature", "temperature"), ("max_token", "max_tokens"), ("extrabody", "extra_body")]
)
def test_an_option_of_requests_is_sent_to_its_place(room, given, meant):
    for model in ("ollama:qwen3:8b", ScriptedProvider()):
        with pytest.raises(
            InvalidOptionError, match=f"'{given}'; for all its requests, pass generate_kwargs=.'{meant}'"
        ):
            room.client(model, **{given: 1})


def test_an_option_of_another_provider_is_refused_with_those_that_apply():
    with pytest.raises(InvalidOptionError, match=r"ollama:qwen3:8b has no option 'n_ctx'; the options are: base_url"):
        aio.client("ollama:qwen3:8b", n_ctx=100)


@pytest.mark.parametrize(("typo", "meant"), [("max_token", "max_tokens"), ("temprature", "temperature")])
async def test_a_misspelt_key_of_generate_kwargs_is_suggested(typo, meant):
    client = aio.client(ScriptedProvider())
    with pytest.raises(
        InvalidOptionError, match=f"unknown key '{typo}'; did you mean '{meant}'.*extra_body={{\\.\\.\\.}}"
    ):
        await client.chat("Go.", {typo: 1})
    with pytest.raises(InvalidOptionError, match=f"did you mean '{meant}'"):
        aio.client(ScriptedProvider(), generate_kwargs={typo: 1})
    assert client.messages == []


async def test_generate_kwargs_that_are_no_dict_are_refused():
    client = aio.client(ScriptedProvider())
    with pytest.raises(InvalidOptionError, match=r"generate_kwargs must be a dict .* got str 'hot'"):
        await client.chat("Go.", "hot")
    with pytest.raises(InvalidOptionError, match="got int 5"):
        client.generate_kwargs = 5


# --- tools and providers ---


@pytest.mark.parametrize(("room", "runners"), ROOMS, ids=IDS)
def test_one_tool_instead_of_a_list_is_refused(room, runners):
    def plain(a: int) -> int:
        """Return it."""
        return a

    client = room.client(ScriptedProvider(), tools=[add])

    def assign(given):
        client.tools = given

    for given, says in (
        (plain, r"the single function 'plain'; put it in a list, as in tools=\[plain\]"),
        (add, r"'add'; put it in a list, as in tools=\[add\]"),
        (None, r"got None; pass the functions themselves in a list, or \[\] for none"),
        ("add", "got str 'add'; pass the functions themselves"),
        ({"add": add}, "got dict .* pass the functions themselves"),
    ):
        for ask in (
            lambda given=given: room.client(ScriptedProvider(), tools=given),
            lambda given=given: runners.Agent(client, tools=given),
            lambda given=given: assign(given),
        ):
            with pytest.raises(InvalidOptionError, match=says):
                ask()
    assert client.tools == [add]


@pytest.mark.parametrize("room", [aio, aimu], ids=IDS)
@pytest.mark.parametrize("missing", ["spec", "complete", "stream", "aclose"])
def test_an_incomplete_provider_is_told_what_it_lacks(room, missing):
    members = {"spec": ModelSpec("echo-1", "echo"), "complete": add, "stream": add, "aclose": add}
    del members[missing]
    own = type("Echo", (), members)()
    with pytest.raises(InvalidOptionError, match=f"Echo is not a provider, because it has no '{missing}'; .* needs"):
        room.client(own)


@pytest.mark.parametrize("room", [aio, aimu], ids=IDS)
@pytest.mark.parametrize("spec", [None, "echo:echo-1"])
def test_a_provider_without_a_model_spec_is_told_what_its_spec_must_be(room, spec):
    own = type("Echo", (), {"spec": spec, "complete": add, "stream": add, "aclose": add})()
    with pytest.raises(InvalidOptionError, match="the spec of provider Echo must be a ModelSpec, such as"):
        room.client(own)


@pytest.mark.parametrize("room", [aio, aimu], ids=IDS)
def test_a_class_is_not_a_model(room):
    with pytest.raises(InvalidOptionError, match="got ScriptedProvider; pass an instance"):
        room.client(ScriptedProvider)
    with pytest.raises(InvalidOptionError, match="got OpenAIModel; choose one of its members"):
        room.client(OpenAIModel)


# --- waiting ---


def slow():
    return ScriptedProvider(reply("Late.", delay=60), repeat=True)


async def read(stream):
    async for _ in stream:
        pass


async def enter(stream):
    async with stream:
        await read(stream)


@pytest.mark.virtual_time
async def test_an_expired_timeout_says_what_was_waited_for_and_how_long():
    client = aio.client(slow())
    agent = aio.Agent(client, name="clerk")
    chain = aio.Chain([agent], name="office")
    for ask, what in (
        (lambda **more: client.chat("Go.", timeout=5, **more), r"chat\(\) with scripted:scripted"),
        (lambda **more: client.generate("Go.", timeout=5, **more), r"generate\(\) with scripted:scripted"),
        (lambda **more: agent.run("Go.", timeout=5, **more), "the run of 'clerk'"),
        (lambda **more: aio.Agent(client).run("Go.", timeout=5, **more), "the run of 'agent'"),
        (lambda **more: chain.run("Go.", timeout=5, **more), "the run of 'office'"),
    ):
        for start in (ask, lambda ask=ask: read(ask(stream=True)), lambda ask=ask: enter(ask(stream=True))):
            with pytest.raises(TimeoutError, match=f"{what} did not end within 5 seconds; pass a longer timeout="):
                await start()
    with pytest.raises(TimeoutError, match=r"the run of 'clerk' in amap did not end within 0.5 seconds"):
        async with aio.amap(agent, ["Go."], timeout=0.5) as results:
            await read(results)


@pytest.mark.virtual_time
async def test_a_timeout_of_the_caller_or_of_a_tool_keeps_its_own_words():
    @tool(raises=(TimeoutError,))
    async def patient() -> str:
        """Give up."""
        raise TimeoutError("the tool gave up")

    client = aio.client(ScriptedProvider(reply(calls=[("patient", {})])), tools=[patient])
    with pytest.raises(TimeoutError, match="the tool gave up"):
        await client.chat("Go.", timeout=5)
    with pytest.raises(TimeoutError, match=r"^$"), anyio.fail_after(1):
        await aio.client(slow()).chat("Go.", timeout=5)


def test_an_expired_timeout_of_the_sync_surface_says_the_same():
    client = aimu.client(slow())
    agent = agents.Agent(client, name="clerk")
    for ask, what in (
        (lambda: client.chat("Go.", timeout=0.01), r"chat\(\) with scripted:scripted"),
        (lambda: list(client.chat("Go.", stream=True, timeout=0.01)), r"chat\(\) with scripted:scripted"),
        (lambda: agent.run("Go.", timeout=0.01), "the run of 'clerk'"),
        (lambda: list(agent.run("Go.", stream=True, timeout=0.01)), "the run of 'clerk'"),
    ):
        with pytest.raises(TimeoutError, match=f"{what} did not end within 0.01 seconds"):
            ask()


@pytest.mark.parametrize("bad", ["5", -1, True, False, float("nan"), [5]], ids=repr)
@pytest.mark.parametrize(("room", "runners"), ROOMS, ids=IDS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_invalid_timeout_is_refused_at_the_call(room, runners, bad, stream):
    client = room.client(ScriptedProvider())
    agent = runners.Agent(client)
    for ask in (client.chat, client.generate, agent.run, runners.Chain([agent]).run):
        with pytest.raises(InvalidOptionError, match=r"timeout= must be a number of seconds of at least 0, or None"):
            ask("Go.", stream=stream, timeout=bad)
    with pytest.raises(InvalidOptionError, match=r"timeout= must be a number of seconds"):
        runners.amap(agent, ["Go."], timeout=bad)
    assert client.messages == []


def forget(ask):
    with pytest.raises(AttributeError, match="'coroutine' object has no attribute 'upper'"):
        ask().upper()
    gc.collect()


def test_a_forgotten_await_is_reported_under_the_name_of_the_method():
    client = aio.client(ScriptedProvider())
    agent = aio.Agent(client)
    for ask, name in (
        (lambda: client.chat("Go."), "AsyncModelClient.chat"),
        (lambda: client.generate("Go."), "AsyncModelClient.generate"),
        (lambda: agent.run("Go."), "Agent.run"),
        (lambda: aio.Chain([agent]).run("Go."), "Chain.run"),
        (lambda: aio.chat("Go.", model=ScriptedProvider()), "chat"),
    ):
        with pytest.warns(RuntimeWarning, match=f"coroutine '{name}' was never awaited"):
            forget(ask)


# --- the service ---


async def answering(model, status, body, **options):
    """Ask a service that gives this answer, on the plain and the streamed way, and return the two errors."""
    found = []
    transport = httpx2.MockTransport(lambda request: httpx2.Response(status, json=body))
    async with httpx2.AsyncClient(transport=transport) as http:
        client = aio.client(model, http_client=http, max_retries=0, **options)
        for stream in (False, True):
            with pytest.raises(ProviderError) as caught:
                pending = client.chat("Go.", stream=stream)
                await (read(pending) if stream else pending)
            found.append(caught.value)
    return found


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("openai:gpt-4o", "OPENAI_API_KEY"),
        ("anthropic:claude-sonnet-4-6", "ANTHROPIC_API_KEY"),
        ("gemini:gemini-x", "GEMINI_API_KEY"),
        ("ollama:qwen3:8b", "OLLAMA_API_KEY"),
    ],
)
async def test_a_wrong_key_names_the_environment_variable(model, variable):
    for status in (401, 403):
        for error in await answering(model, status, {"error": {"message": "sk-wrong is bad"}}, api_key="sk-wrong"):
            assert isinstance(error, AuthenticationError)
            assert "; check the key in api_key= or the environment variable " in str(error)
            assert variable in str(error)
            assert "sk-wrong" not in str(error)


@pytest.mark.parametrize(
    ("model", "near"),
    [
        ("openai:gpt-4o-mni", "gpt-4o-mini"),
        ("anthropic:claude-sonet-4.6", "claude-sonnet-4-6"),
        ("ollama:qwen3:9b", ""),
    ],
)
async def test_a_model_that_the_service_refuses_gets_near_ids_of_the_catalog(model, near):
    provider = model.partition(":")[0]
    for error in await answering(model, 404, {"error": {"message": "no such model"}}, api_key="k-secret"):
        assert isinstance(error, ModelNotFoundError)
        assert f"; the catalog of {provider!r} has these similar ids: {near}" in str(error)


async def test_a_refused_model_that_resembles_nothing_gets_no_ids():
    for error in await answering("openai:zzzzzzzz", 404, {"error": {"message": "no such model"}}, api_key="k-secret"):
        assert isinstance(error, ModelNotFoundError)
        assert "similar" not in str(error)


@pytest.mark.parametrize(
    ("model", "url", "shown"),
    [
        ("vllm:m", "http://127.0.0.1:9", "VLLM_BASE_URL: 'http://127.0.0.1:9' does not end in '/v1'"),
        ("lmstudio:m", "http://127.0.0.1:9/?q=1", "LMSTUDIO_BASE_URL: 'http://127.0.0.1:9/' does not end in '/v1'"),
        ("openai:m", "https://h/v1/chat/completions", "'https://h/v1/chat/completions' does not end in '/v1'"),
        ("groq:m", "https://api.groq.com", "'https://api.groq.com' does not end in '/openai/v1'"),
        ("ollama:m", "http://127.0.0.1:9/v1", "OLLAMA_HOST: 'http://127.0.0.1:9/v1' has '/v1' at its end"),
        ("ollama:m", "http://127.0.0.1:9/api", "'http://127.0.0.1:9/api' has '/api' at its end"),
        ("anthropic:m", "https://h/v1/messages", "'https://h/v1/messages' has '/v1/messages' at its end"),
    ],
)
async def test_a_base_url_with_an_unusual_path_is_named_where_the_server_has_nothing(model, url, shown):
    provider = model.partition(":")[0]
    for status, body in (
        (404, {"detail": "Not Found"}),
        (405, {"detail": "Method Not Allowed"}),
        (200, "a web page"),
        (200, {"error": "Unexpected endpoint or method. (POST /chat/completions)"}),
    ):
        for error in await answering(model, status, body, base_url=url, api_key="k-secret"):
            assert shown in str(error)
            assert str(error).endswith(f"unlike the usual URL of {provider!r}")


@pytest.mark.parametrize(
    ("model", "url"),
    [
        ("vllm:m", "http://127.0.0.1:9/v1/"),
        ("vllm:m", "http://gateway/team/v1"),
        ("gemini:m", None),
        ("ollama:m", "http://127.0.0.1:9/behind"),
        ("anthropic:m", "https://gateway/anthropic"),
        ("azure:m", "https://example.openai.azure.com"),
    ],
)
async def test_a_base_url_with_the_usual_end_is_not_doubted(model, url):
    for error in await answering(model, 404, {"detail": "Not Found"}, base_url=url, api_key="k-secret"):
        assert "base_url" not in str(error)


async def test_a_base_url_is_doubted_only_where_the_server_has_nothing():
    for status in (400, 422, 500):
        for error in await answering("vllm:m", status, {"detail": "Invalid"}, base_url="http://127.0.0.1:9"):
            assert "base_url" not in str(error)


async def test_a_key_in_the_path_of_a_base_url_is_not_shown():
    url = "https://gateway/k-secret-1234/chat"
    for error in await answering("openai:m", 404, {"detail": "Not Found"}, base_url=url, api_key="k-secret-1234"):
        assert "check base_url=" in str(error)
        assert "k-secret-1234" not in str(error)


@pytest.mark.parametrize(
    ("model", "url", "server"),
    [
        ("vllm:m", "http://127.0.0.1:9/v1", "127.0.0.1:9"),
        ("ollama:qwen3:8b", "127.0.0.1:9", "127.0.0.1:9"),
        ("lmstudio:m", "http://[::1]:9/v1", "[::1]:9"),
    ],
)
async def test_a_server_that_is_down_is_named(model, url, server):
    variable = {"vllm:m": "VLLM_BASE_URL", "lmstudio:m": "LMSTUDIO_BASE_URL"}.get(model, "OLLAMA_HOST")
    async with aio.client(model, base_url=url, max_retries=0, timeout=5) as client:
        for pending in (client.chat("Go."), read(client.chat("Go.", stream=True))):
            with pytest.raises(ProviderConnectionError) as caught:
                await pending
            assert f"the connection to {server} failed (ConnectError" in str(caught.value)
            assert "check that the server runs and that base_url= is right" in str(caught.value)
            assert f"(or {variable} in the environment)" in str(caught.value)
