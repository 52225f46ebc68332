"""What a server says and asks of its own accord: questions to the user, roots, log records."""

import json
import logging
import threading

import anyio
import pytest
from fastmcp import Context, FastMCP

from aimu import aio
from aimu.errors import InvalidOptionError, MCPTimeoutError
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


async def test_a_function_that_fails_cancels_the_question(opened, caplog):
    assert await asked(opened, "asks", elicit=lambda _: 1 / 0) == {"action": "cancel"}
    assert "'wild': elicit= failed" in caplog.text


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


def test_invalid_options_are_refused():
    with pytest.raises(InvalidOptionError, match="elicit must be a function, got str"):
        aio.MCPClient(config=tiny(), elicit="yes")
    with pytest.raises(InvalidOptionError, match="roots must be a list of paths, got 'a'"):
        aio.MCPClient(config=tiny(), roots="a")
