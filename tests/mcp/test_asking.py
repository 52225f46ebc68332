"""What a server says and asks of its own accord: questions to the user, roots, log records."""

import json
import logging
import threading
from contextlib import suppress

import anyio
import pytest
from fastmcp import Context, FastMCP

from aimu import aio
from aimu.errors import ClosedClientError, InvalidOptionError, MCPError, MCPTimeoutError
from aimu.tools import MCPClient, ask_in_terminal
from aimu.types import Elicitation
from tests.mcp.conftest import tiny, wild


async def asked(opened, behaviour, **options):
    """Return what the server is answered."""
    async with opened(config=wild(behaviour), **options) as client:
        return json.loads(await client.call_tool("ask"))


async def test_a_question_is_answered_by_a_function(opened):
    seen = []

    def elicit(question):
        seen.append((question.server, question.message, question.schema["required"], question.url))
        assert threading.current_thread() is not threading.main_thread()
        return {"name": "Ada"}

    assert await asked(opened, "asks", elicit=elicit) == {"action": "accept", "content": {"name": "Ada"}}
    assert seen == [("wild", "Who are you?", ["name"], None)]


async def test_an_async_function_may_decline(opened):
    async def elicit(question):
        await anyio.lowlevel.checkpoint()

    assert await asked(opened, "asks", elicit=elicit) == {"action": "decline"}


async def test_a_page_to_visit_is_shown(opened):
    seen = []

    def elicit(question):
        seen.append((question.url, question.schema))
        return {}

    assert await asked(opened, "asks-url", elicit=elicit) == {"action": "accept"}
    assert seen == [("https://x.org/login", None)]


async def test_closing_does_not_wait_for_the_user(opened):
    never = threading.Event()
    try:
        with anyio.fail_after(5):
            async with opened(config=wild("asks"), elicit=lambda _: never.wait(30)) as client:
                with pytest.raises(MCPTimeoutError):
                    await client.call_tool("ask", timeout=0.3)
    finally:
        never.set()


@pytest.mark.parametrize("method", ["aclose", "__aexit__"])
@pytest.mark.parametrize("kind", ["async", "shielded", "sync"])
async def test_an_answer_that_closes_the_client_does_not_wait_for_itself(opened, kind, method):
    async def close():
        with anyio.CancelScope(shield=kind == "shielded"):
            await getattr(client, method)(*[None] * (3 if method == "__aexit__" else 0))
        ended.append(True)

    async def elicit(question):
        await close()

    ended = []
    with anyio.fail_after(7):  # less than the longest wait for the end of the connections
        asks = wild("asks")
        answer = (lambda question: anyio.from_thread.run(close)) if kind == "sync" else elicit
        async with opened(config=asks, elicit=answer) as client:
            with suppress(ClosedClientError, MCPError):  # the answer may still arrive
                await client.call_tool("ask")
    assert ended


@pytest.mark.parametrize("form", ["sync", "async"])
@pytest.mark.parametrize("error", [LookupError, SystemExit])
async def test_a_function_that_fails_cancels_the_question(opened, caplog, form, error):
    def elicit(_):
        raise error("no terminal")

    async def elicit_async(_):
        elicit(_)

    answer = elicit if form == "sync" else elicit_async
    assert await asked(opened, "asks", elicit=answer) == {"action": "cancel"}
    assert "'wild': elicit= failed" in caplog.text
    assert f"{error.__name__}: no terminal" in caplog.text


@pytest.mark.parametrize("behaviour", ["asks", "asks-url", "asks-roots", "asks-model"])
async def test_without_an_answer_of_ours_a_server_is_told_that_it_is_not_supported(opened, behaviour):
    error = await asked(opened, behaviour)
    assert "code" in error
    assert "ot supported" in error["message"]


async def test_roots_are_told(opened, tmp_path):
    roots = (await asked(opened, "asks-roots", roots=[str(tmp_path), "~"]))["roots"]
    assert roots[0] == {"uri": tmp_path.as_uri(), "name": tmp_path.name}
    assert roots[1]["uri"].startswith("file:///")


async def test_a_server_object_asks_too(opened):
    server = FastMCP("curious")

    @server.tool
    async def ask(ctx: Context) -> str:
        answer = await ctx.elicit("Who?", response_type=str)
        return f"{answer.action} {answer.data}"

    async with opened(server=server, elicit=lambda question: {"value": question.message}) as client:
        assert await client.call_tool("ask") == "accept Who?"


async def test_log_records_of_a_server_are_logged(opened, caplog):
    caplog.set_level(logging.INFO, "aimu.aio.mcp")
    async with opened(config=wild("logs")) as client:
        await client.call_tool("echo", {"text": "full"})
    found = [(record.levelname, record.message) for record in caplog.records if record.name == "aimu.aio.mcp"]
    assert found == [
        ("INFO", "MCP server 'wild' (disk): notice full"),
        ("CRITICAL", "MCP server 'wild' (disk): emergency full"),
    ]


def test_a_sync_client_is_asked_while_it_waits():
    with MCPClient(config=wild("asks"), elicit=lambda _: {"name": "Ada"}) as client:
        assert json.loads(client.call_tool("ask"))["content"] == {"name": "Ada"}


FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Your name"},
        "age": {"type": "integer", "description": "in years"},
        "colour": {"type": "string", "enum": ["red", "blue"], "default": "red"},
        "tags": {"type": "array"},
        "sure": {"type": "boolean"},
    },
    "required": ["name", "sure"],
}


def test_a_question_is_asked_in_the_terminal(monkeypatch, capsys):
    lines = iter(["Ada", "old", "36", "green", "", "a, b", "maybe", "yes"])
    prompts = []
    monkeypatch.setattr("builtins.input", lambda prompt: prompts.append(prompt) or next(lines))
    question = Elicitation(server="s", message="Who are you?", schema=FORM)
    answers = {"name": "Ada", "age": 36, "colour": "red", "tags": ["a", "b"], "sure": True}
    assert ask_in_terminal(question) == answers
    assert prompts[:2] == ["Your name [string]: ", "age (in years) [integer, optional]: "]
    assert "s asks: Who are you?" in (out := capsys.readouterr().out)
    assert "'old' is not one of these: integer" in out


EVIL = "\x1b]0;owned\x07\x9b2J\u202e"


@pytest.mark.parametrize(
    "question",
    [
        Elicitation(server=EVIL, message=f"{EVIL}\n?", url=f"https://x.org/{EVIL}"),
        Elicitation(
            server="s",
            message="?",
            schema={"properties": {EVIL: {"title": EVIL, "description": EVIL, "enum": [EVIL], "default": EVIL}}},
        ),
        Elicitation(server="s", message="?", schema={"properties": {EVIL: {"type": EVIL}}}),
    ],
)
def test_a_question_does_not_control_the_terminal(monkeypatch, capsys, question):
    lines = iter(["x", "", ""])
    monkeypatch.setattr("builtins.input", lambda prompt: print(prompt) or next(lines))
    ask_in_terminal(question)
    out = capsys.readouterr().out
    assert r"\x1b]0;owned\x07\x9b2J\u202e" in out
    assert out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("question", "lines", "answer"),
    [
        (Elicitation(server="s", message="?", schema=FORM), [""], None),
        (Elicitation(server="s", message="?", schema=FORM), [], None),
        (Elicitation(server="s", message="?", schema={"type": "object"}), ["y"], {}),
        (Elicitation(server="s", message="?", schema={"type": "object"}), ["no"], None),
        (Elicitation(server="s", message="?", url="https://x.org"), ["y"], {}),
        (Elicitation(server="s", message="?", url="https://x.org"), [""], None),
    ],
)
def test_a_question_can_be_declined_in_the_terminal(monkeypatch, question, lines, answer):
    def line(_):
        if not lines:
            raise EOFError
        return lines.pop(0)

    lines = list(lines)
    monkeypatch.setattr("builtins.input", line)
    assert ask_in_terminal(question) == answer


BOUNDS = {
    "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 5},
    "x": {"type": "number"},
    "s": {"type": "string", "minLength": 2, "pattern": "(a+)+$"},
    "one": {"type": "string", "oneOf": [{"const": "r", "title": "Red"}, {"const": "g", "title": "Green"}]},
    "old": {"type": "string", "enum": ["r", "g"], "enumNames": ["Red", "Green"]},
    "some": {"type": "array", "items": {"anyOf": [{"const": "r", "title": "Red"}, {"const": "g"}]}, "maxItems": 1},
    "odd": True,
    "off": {"$schema": 5},
}


def test_an_answer_in_the_terminal_must_fit_its_field(monkeypatch, capsys):
    lines = ["9", "3", "1e999", "0.5", "a", "aa", "blue", "Green", "Red", "b", "r, g", "Red", "x", "y"]
    asked = []
    monkeypatch.setattr("builtins.input", lambda prompt: asked.append(prompt) or lines.pop(0))
    answers = {"n": 3, "x": 0.5, "s": "aa", "one": "g", "old": "r", "some": ["r"], "odd": "x", "off": "y"}
    schema = {"type": "object", "properties": BOUNDS, "required": None}
    assert ask_in_terminal(Elicitation(server="s", message="?", schema=schema)) == answers
    assert "one [r (Red), g (Green), optional]: " in asked
    assert capsys.readouterr().out.splitlines()[2:] == [
        "that does not fit: 9 is greater than the maximum of 5",
        "'1e999' is not one of these: number",
        "that does not fit: 'a' is too short",
        "'blue' is not one of these: r (Red), g (Green)",
        "'b' is not one of these: r (Red), g",
        "that does not fit: ['r', 'g'] is too long",
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Ada", "must return a dict of answers or None, got str"),
        (True, "must return a dict of answers or None, got bool"),
        ([("name", "Ada")], "must return a dict of answers or None, got list"),
        ({"name": 5}, "does not fit the question: 5 is not of type 'string'"),
        ({"name": None}, "does not fit the question: 'name' is a required property"),
        ({}, "does not fit the question: 'name' is a required property"),
        ({"name": "Ada", "more": {"a": 1}}, "must return simple values and lists of texts, got {'a': 1} for 'more'"),
        (
            {"name": "Ada", "more": {1}},
            "the answer of elicit= must be a dict of JSON data: JSON cannot express this set",
        ),
        ({1: "Ada"}, "a dict has keys that are not texts"),
    ],
)
async def test_an_answer_that_does_not_fit_is_not_sent(opened, caplog, answer, reason):
    assert await asked(opened, "asks", elicit=lambda _: answer) == {"action": "cancel"}
    assert "MCP server 'wild': elicit= failed" in caplog.text
    assert reason in caplog.text


async def test_an_answer_leaves_out_nulls_and_replaces_half_surrogates(opened):
    answer = {"name": "Ada\ud800", "nick": None, "tags": ["a"], "age": 3}
    content = {"name": "Ada\ufffd", "tags": ["a"], "age": 3}
    assert await asked(opened, "asks", elicit=lambda _: answer) == {"action": "accept", "content": content}


@pytest.mark.parametrize("form", ["sync", "async"])
async def test_a_cancelled_call_does_not_wait_for_the_answer_to_its_question(opened, form):
    never, entered = threading.Event(), threading.Event()

    def ask(_):
        entered.set()
        never.wait(30)

    async def ask_async(_):
        entered.set()
        await anyio.sleep_forever()

    try:
        with anyio.fail_after(10):
            async with opened(config=wild("asks"), elicit=ask if form == "sync" else ask_async) as client:
                async with anyio.create_task_group() as group:
                    group.start_soon(client.call_tool, "ask")
                    await anyio.to_thread.run_sync(entered.wait, 10)
                    group.cancel_scope.cancel()
    finally:
        never.set()


def test_invalid_options_are_refused():
    with pytest.raises(InvalidOptionError, match="elicit must be a function, got str"):
        aio.MCPClient(config=tiny(), elicit="yes")
    with pytest.raises(InvalidOptionError, match="roots must be a list of paths, got 'a'"):
        aio.MCPClient(config=tiny(), roots="a")
