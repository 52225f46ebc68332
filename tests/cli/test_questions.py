"""Questions of MCP servers: asked in the terminal of a chat or a run, and declined where there is none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import PATIENCE, ROOT, Terminal

SERVER = """
import json, sys
FORM = {"type": "object", "required": ["name"], "properties": {
    "name": {"type": "string"}, "age": {"type": "integer"}, "sure": {"type": "boolean"},
    "colour": {"type": "string", "enum": ["red", "green"]}}}
ECHO = {"name": "echo", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}}

def send(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

def result(method, params):
    if method == "initialize":
        server = {"name": "asks", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}
    if method == "tools/list":
        return {"tools": [ECHO]}

for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "tools/call":
        call = message["id"]
        send(id="q", method="elicitation/create", params={"message": "Who\\x1b[2J are you?", "requestedSchema": FORM})
    elif message.get("id") == "q":
        text = json.dumps(message["result"]).replace('"', "")
        send(id=call, result={"content": [{"type": "text", "text": text}]})
    elif "id" in message and (found := result(message["method"], message.get("params"))) is not None:
        send(id=message["id"], result=found)
    elif "id" in message:
        send(id=message["id"], error={"code": -32601, "message": "no such method"})
"""


@pytest.fixture
def asking(tmp_path):
    """The options of the command, and its environment."""
    program, config = tmp_path / "asks.py", tmp_path / "mcp.json"
    program.write_text(SERVER)
    config.write_text(json.dumps({"mcpServers": {"asks": {"command": sys.executable, "args": [str(program)]}}}))
    return ["-m", "vllm:scripted", "--mcp", str(config)], {"XDG_STATE_HOME": str(tmp_path)}


def answer(terminal):
    """Answer the question, with a mistake in between."""
    for prompt, line in (
        ("name [string]:", "Ada"),
        ("age [integer, optional]:", "old"),
        ("'old' is not one of these: integer", "36"),
        ("sure [boolean, optional]:", "yes"),
        ("colour [red, green, optional]:", "green"),
    ):
        terminal.wait(prompt)
        terminal.wait(lambda terminal: terminal.lines_until_cursor()[-1].endswith("]:"), "a prompt")
        terminal.type(line + "\r")
        terminal.wait(f"]: {line}")


def test_a_chat_asks_and_the_turn_goes_on(asking):
    options, environment = asking
    with Terminal("chat", *options, columns=150, **environment) as terminal:
        terminal.wait_for_prompt()
        terminal.type("call echo x\r")
        terminal.wait(r"asks asks: Who\x1b[2J are you?")
        answer(terminal)
        terminal.wait("It says: {action: accept, content: {name: Ada, age: 36, sure: true, colour: green}}")
        terminal.ask("Hello")
        assert "You said: Hello" in terminal.text


@pytest.mark.parametrize("key", ["\x04", "\r"])
def test_a_question_can_be_declined(key, asking):
    options, environment = asking
    with Terminal("chat", *options, **environment) as terminal:
        terminal.wait_for_prompt()
        terminal.type("call echo x\r")
        terminal.wait("name [string]:")
        terminal.type(key)
        terminal.wait("It says: {action: decline}")
        terminal.ask("Hello")


def test_ctrl_c_at_a_question_stops_the_turn(asking):
    options, environment = asking
    with Terminal("chat", *options, **environment) as terminal:
        terminal.wait_for_prompt()
        terminal.type("call echo x\r")
        terminal.wait("name [string]:")
        terminal.type("\x03")
        terminal.wait("stopped")
        terminal.ask("history")
        assert "user assistant tool user" in terminal.text
        assert "Traceback" not in terminal.text


def test_a_turn_that_ends_takes_its_question_along(asking):
    options, environment = asking
    with Terminal("run", "call echo x", *options, "--timeout", "3", **environment) as terminal:
        terminal.wait("name [string]:")
        assert terminal.end() == 124
        assert "Traceback" not in terminal.text


def test_a_run_asks_in_a_terminal(asking):
    options, environment = asking
    with Terminal("run", "call echo x", *options, columns=150, **environment) as terminal:
        answer(terminal)
        assert terminal.end() == 0
        assert "It says: {action: accept" in terminal.text


@pytest.mark.parametrize("command", ["run", "chat"])
def test_where_there_is_no_terminal_a_question_is_declined_and_stderr_says_so(command, asking):
    options, environment = asking
    task = ["call echo x"] if command == "run" else []
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.program", command, *task, *options],
        input="" if command == "run" else "call echo x\n",
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(ROOT)), **environment},
    )
    assert done.stdout == "It says: {action: decline}\n"
    assert r"declined a question of the MCP server asks, since it can be answered in a terminal only: Who\x1b[2J" in (
        done.stderr
    )
