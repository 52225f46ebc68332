"""The table of providers: every row is complete, nothing else names a provider, and a new server is one row."""

import ast
import json
import re
from importlib import import_module
from pathlib import Path

import httpx2
import pytest
from attrs import evolve

import aimu
import aimu.models
import aimu.models._table
from aimu import aio
from aimu.engines import open_engine
from aimu.errors import InvalidOptionError, UnknownProviderError
from aimu.models._options import warn_unsupported
from aimu.models._resolve import CATALOGS, IN_PROCESS, PROVIDERS
from aimu.models._row import OPENAI_NAMES, TOOL_CHOICES, ChatQuirks, Connection, ProviderRow
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers import HTTP_PROVIDERS, make_provider
from aimu.providers._base import Request
from aimu.providers._openai_chat import ChatCodec

HELLO = [{"role": "user", "content": "hello"}]
WORDS = {"deepseek", "mistral", "moonshot", "groq", "together"}  # also families of models, hosts of links, a word
FORMATS = {"engines/_formats/rows.py": {"mistral"}}  # the names of chat formats, which are of families of models
EXAMPLES = {("errors.py", "vllm"), ("_cli/arguments.py", "vllm")}  # where users read how to use a server of their own
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_a_row_is_of_a_service_or_of_an_engine_and_its_names_exist(row):
    assert re.fullmatch(r"[a-z][a-z0-9-]*", row.name)
    assert row.link.startswith("https://")
    assert (row.engine is None) != (row.connection is None)
    assert (row.engine is None) != (row.wire is None)
    if row.engine is not None:
        module, _, name = row.engine.partition(":")
        assert hasattr(import_module(module), name)
    for stem, home in ((row.stem, aimu.models), (f"Async{row.stem}", aio)):
        client = getattr(home, f"{stem}Client")
        assert client.provider_name == row.name
        assert f"{stem}Client" in home.__all__
        assert row.title in client.__doc__
    if row.catalog is not None:
        assert getattr(import_module(row.catalog), row.catalog_class) is getattr(aimu.models, row.catalog_class)


@pytest.mark.parametrize("name", HTTP_PROVIDERS)
def test_a_connection_says_where_keys_and_urls_come_from(name):
    at = TABLE[name].connection
    assert at.base_url is not None or at.url_variables
    assert all(re.fullmatch("[A-Z][A-Z0-9_]*", v) for v in (*at.url_variables, *at.key_variables, *at.token_variables))
    assert at.key_variables or not at.key_required
    quirks = TABLE[name].chat
    assert quirks.names.keys() <= {*aimu.models._options.VOCABULARY}
    assert quirks.tool_choices.keys() <= TOOL_CHOICES.keys()


def test_all_lists_of_providers_come_from_the_table():
    assert tuple(TABLE) == PROVIDERS
    assert {*HTTP_PROVIDERS, *IN_PROCESS} == {*PROVIDERS}
    assert not {*HTTP_PROVIDERS} & IN_PROCESS
    assert {*CATALOGS} <= {*PROVIDERS}
    assert {len({getattr(row, key) for row in TABLE.values()}) for key in ("name", "stem", "title")} == {len(TABLE)}


def test_no_other_code_names_a_server():
    """A server stands in its row, in its catalog, and in generated code; `WORDS` may stand inside other texts too."""
    root = Path(aimu.__file__).parent
    rows = [row for row in TABLE.values() if row.wire == "openai_chat"]
    rows = [row for row in rows if row.name not in ("openai", "gemini")]  # whose models have rules of their own
    for path in root.rglob("*.py"):
        where, text = path.relative_to(root).as_posix(), path.read_text("utf8")
        if where in ("models/_table.py", "models/__init__.py", "aio/__init__.py") or text.startswith('"""Generated'):
            continue
        literals = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
        literals -= FORMATS.get(where, set())
        for row in rows:
            catalog = (row.catalog or "").removeprefix("aimu.").replace(".", "/")
            if where == f"{catalog}.py" or (where, row.name) in EXAMPLES:
                continue
            named = rf"{row.stem}(Client|Model)" + ("" if row.name in WORDS else rf"|\b{row.name}\b")
            assert not re.search(named, text), f"{where} names {row.name}"
            assert row.name not in literals, f"{where} names {row.name}"


NEW = ProviderRow(
    name="new",
    title="New",
    stem="New",
    link="https://new.test",
    connection=Connection(
        base_url=None, url_variables=("NEW_URL",), key_variables=("NEW_KEY", "OLD_KEY"), default_path="/inference/v1"
    ),
    chat=ChatQuirks(
        names={**OPENAI_NAMES, "seed": "random_seed", "repeat_penalty": "repetition_penalty"},
        thinking_on={"thinking": {"type": "enabled"}},
        thinking_off={"thinking": {"type": "disabled"}},
        budget=("thinking", "budget"),
        refused={"new-3": ("stop", "presence_penalty")},
        unforced="new-4",
        tool_choices={"auto": "auto", "none": "none", "required": "any"},
        parallel_tool_calls=False,
        stream_usage=False,
        longest_id=9,
        id_pattern="[a-zA-Z0-9]{9}",
        plain_names=True,
    ),
    missing_model="look at https://new.test/{model}",
)


@pytest.fixture
def new(monkeypatch):
    """A server that the library does not know, added as a row and nothing else."""
    table = {**TABLE, "new": NEW}
    for module in ("aimu.models._table", "aimu.models._resolve", "aimu.providers"):
        monkeypatch.setattr(import_module(module), "TABLE", table)
    return NEW


async def test_a_new_server_is_one_row(new, monkeypatch):
    sent = []

    def handler(request):
        sent.append(request)
        if b"missing" in request.content:
            return httpx2.Response(404, json={"error": {"code": "model_not_found", "message": "no such model"}})
        return httpx2.Response(200, json={"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]})

    monkeypatch.setenv("NEW_URL", "https://box.test")
    monkeypatch.setenv("OLD_KEY", "key-of-new")
    for model, text in (("new:m", "hi"), ("new:missing", None)):
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
        async with aio.client(model, http_client=http) as client, http:
            if text is not None:
                assert await client.chat("hello") == text
                continue
            with pytest.raises(LookupError, match=r"no such model; look at https://new\.test/missing"):
                await client.chat("hello")
    assert str(sent[0].url) == "https://box.test/inference/v1/chat/completions"
    assert sent[0].headers["authorization"] == "Bearer key-of-new"
    with pytest.raises(UnknownProviderError, match="hf"):
        open_engine(ModelSpec("m", "new"))


@pytest.mark.parametrize(
    ("url", "full"),
    [
        ("https://box.test/", "https://box.test/inference/v1/chat/completions"),
        ("https://box.test/v2", "https://box.test/v2/chat/completions"),
        ("https://box.test:8443", "https://box.test:8443/inference/v1/chat/completions"),
    ],
)
async def test_a_default_path_completes_a_url_that_has_none(new, url, full):
    sent = []

    def handler(request):
        sent.append(str(request.url))
        return httpx2.Response(200, json={"choices": [{"message": {"content": "hi"}}]})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(handler)) as http:
        await make_provider(ModelSpec("m", "new"), base_url=url, http_client=http).complete(Request(messages=HELLO))
    assert sent == [full]


def test_a_server_without_a_usual_address_must_be_given_one(new, monkeypatch):
    monkeypatch.delenv("NEW_URL", raising=False)
    with pytest.raises(InvalidOptionError, match=r"pass base_url= or set the environment variable NEW_URL"):
        make_provider(ModelSpec("m", "new"))


def encode(row, model="m", messages=HELLO, **options):
    codec = ChatCodec(ModelSpec(model, row.name), row)
    return codec.encode(Request(messages=messages, tools=[TOOL], options=options), stream=True)


def test_the_quirks_of_a_row_shape_the_request(caplog):
    warn_unsupported.cache_clear()
    body = encode(NEW, seed=1, repeat_penalty=1.1, thinking=True, thinking_budget_tokens=9, tool_choice="required")
    assert (body["random_seed"], body["repetition_penalty"], body["tool_choice"]) == (1, 1.1, "any")
    assert body["thinking"] == {"type": "enabled", "budget": 9}
    assert "stream_options" not in body
    assert not caplog.records
    assert encode(NEW, thinking=False)["thinking"] == {"type": "disabled"}
    assert encode(NEW, tool_choice="none")["tool_choice"] == "none"
    body = encode(NEW, tool_choice="f", parallel_tool_calls=True)
    assert not {"tool_choice", "parallel_tool_calls"} & body.keys()
    assert {record.args[1] for record in caplog.records} == {"tool_choice", "parallel_tool_calls"}


def test_options_that_a_model_refuses_are_left_out_for_that_model_only(caplog):
    warn_unsupported.cache_clear()
    assert not {"stop", "presence_penalty"} & encode(NEW, "new-3-mini", stop=["x"], presence_penalty=1.0).keys()
    assert {record.args for record in caplog.records} == {
        ("new:new-3-mini", "stop"),
        ("new:new-3-mini", "presence_penalty"),
    }
    assert encode(NEW, "new-2", stop=["x"])["stop"] == ["x"]


@pytest.mark.parametrize("choice", ["required", "f"])
def test_a_model_that_cannot_be_forced_chooses_itself_unless_thinking_is_off(choice, caplog):
    warn_unsupported.cache_clear()
    able = evolve(NEW, chat=evolve(NEW.chat, tool_choices=TOOL_CHOICES))
    for thinking in (None, True):
        options = {} if thinking is None else {"thinking": thinking}
        body = encode(able, "new-4", tool_choice=choice, **options)
        assert "tool_choice" not in body
        assert body["tools"] == [TOOL]
        assert not ChatCodec(ModelSpec("new-4", "new"), able).forces_tools(options)
    assert {record.args for record in caplog.records} == {("new:new-4, unless thinking=False,", "tool_choice")}
    assert "tool_choice" in encode(able, "new-4", tool_choice=choice, thinking=False)
    assert ChatCodec(ModelSpec("new-4", "new"), able).forces_tools({"thinking": False})
    assert "tool_choice" in encode(able, "new-2", tool_choice=choice)
    assert [encode(able, "new-4", tool_choice=word)["tool_choice"] for word in ("auto", "none")] == ["auto", "none"]


@pytest.mark.parametrize("call_id", ["call_0", "123456789", "x" * 100, "ä23456789", ""])
def test_the_ids_of_calls_fit_what_a_server_accepts(call_id):
    history = [
        *HELLO,
        {
            "role": "assistant",
            "content": None,
            "thinking": "hm",
            "new": {"reasoning_key": "reasoning_content"},
            "tool_calls": [{"id": call_id, "type": "function", "function": {"name": "f g", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": call_id, "name": "f g", "content": "done"},
    ]
    _, asked, answered = encode(NEW, messages=history)["messages"]
    sent = asked["tool_calls"][0]
    assert sent["id"] == answered["tool_call_id"]
    assert re.fullmatch("[a-zA-Z0-9]{9}", sent["id"])
    assert (sent["id"] == call_id) == (call_id == "123456789")
    assert sent["function"]["name"] == "f_g"
    assert asked["reasoning_content"] == "hm"
    plain = evolve(NEW, chat=ChatQuirks())
    assert encode(plain, messages=history)["messages"][1]["tool_calls"][0]["id"] == call_id
    assert json.dumps(asked)
