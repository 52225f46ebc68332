"""SIGHUP of a terminal that is closed, and SIGTERM: the program ends in good order, with the status 128 + n."""

import asyncio
import errno
import json
import os
import shlex
import signal
import subprocess
import sys

import anyio
import pytest

from aimu._cli import interrupts
from tests.cli.program import TOOLS
from tests.cli.terminal import ROOT, Terminal
from tests.holding import wait_in_thread

MOMENTS = {
    "waiting": ("wait", "vllm:scripted 0"),
    "thinking": ("think", "thinking"),
    "answering": ("slow", "word word"),
    "calling": ("call blocking 600", "blocking(seconds=600.0)"),
}


@pytest.fixture
def told(tmp_path):
    """The file of the program's stderr, which outlives its terminal."""
    with (tmp_path / "stderr").open("w+") as file:
        yield file


@pytest.fixture
def server(tmp_path):
    """The configuration of an MCP server, and the file that it writes its process id to."""
    config, pid = tmp_path / "mcp.json", tmp_path / "pid"
    start = f"echo $$ > {shlex.quote(str(pid))}; exec {sys.executable} tests/mcp/tiny_server.py"
    config.write_text(json.dumps({"mcpServers": {"tiny": {"command": "sh", "args": ["-c", start], "cwd": str(ROOT)}}}))
    return config, pid


def started(tmp_path, *arguments, **options):
    return Terminal(*arguments, "-m", "vllm:scripted", TOOLS, XDG_STATE_HOME=str(tmp_path), **options)


def said(file):
    file.seek(0)
    return file.read()


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_chat_whose_terminal_is_closed_during_a_turn_ends_at_once(moment, tmp_path, told):
    message, sign = MOMENTS[moment]
    with started(tmp_path, "chat", stderr=told) as terminal:
        terminal.wait_for_prompt()
        terminal.type(message + "\r")
        terminal.wait(sign)
        terminal.hang_up()
        assert terminal.end() == 128 + signal.SIGHUP
    assert "Traceback" not in said(told)
    assert f"+{message}\n" in (tmp_path / "aimu/history").read_text()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_whose_terminal_is_closed_ends_at_once(moment, tmp_path):
    message, sign = MOMENTS[moment]
    with started(tmp_path, "run", message) as terminal:
        terminal.wait(sign)
        terminal.hang_up()
        assert terminal.end() == 128 + signal.SIGHUP


@pytest.mark.parametrize("load", ["0", "600"])
def test_a_terminal_may_be_closed_at_the_prompt_and_while_the_model_loads(load, tmp_path, told):
    with started(tmp_path, "chat", stderr=told, SLOW_LOAD=load) as terminal:
        if load == "0":
            terminal.wait_for_prompt()
        else:
            wait_in_thread(lambda: "opening" in said(told))
        terminal.hang_up()
        assert terminal.end() == 128 + signal.SIGHUP
    assert "Traceback" not in said(told)


@pytest.mark.parametrize("gone", [False, True])
def test_what_could_not_be_drawn_on_a_closed_terminal_is_not_told(gone, caplog, monkeypatch):
    def fail(number):
        raise OSError(number, os.strerror(number))

    async def program(interrupts):
        for number in (errno.EIO, errno.ENOSPC):
            asyncio.get_running_loop().call_soon(fail, number)
        await anyio.sleep(0.01)
        return 0

    monkeypatch.setattr(interrupts.Interrupts, "hung_up", lambda self: gone)
    interrupts.run(program)
    assert [record.exc_info[1].errno for record in caplog.records] == [errno.EIO] * (not gone) + [errno.ENOSPC]


def test_a_terminal_that_is_gone_ends_a_program_that_ignores_the_signal(tmp_path, told):
    with started(tmp_path, "chat", stderr=told, NOHUP="1") as terminal:
        terminal.wait_for_prompt()
        terminal.type("slow\r")
        terminal.wait("word word")
        terminal.hang_up()
        assert terminal.end() == 128 + signal.SIGHUP
    assert "Traceback" not in said(told)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
@pytest.mark.parametrize("command", ["chat", "run"])
def test_a_signal_during_a_turn_ends_the_turn_the_servers_and_the_program(command, number, tmp_path, server):
    config, pid = server
    task = ["slow"] if command == "run" else []
    with started(tmp_path, command, *task, "--mcp", str(config)) as terminal:
        if command == "chat":
            terminal.wait_for_prompt()
            terminal.type("slow\r")
        terminal.wait("word word")
        assert is_alive(int(pid.read_text()))
        terminal.process.send_signal(number)
        assert terminal.end() == 128 + number
        assert not is_alive(int(pid.read_text()))
        assert "Traceback" not in terminal.text


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_ends_a_run_in_a_pipe(number):
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.program", "run", "wait", "-m", "vllm:scripted"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MARKS": "1", "NOHUP": ""},
    )
    while process.stderr.readline() != "asked\n":
        assert process.poll() is None
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, out) == (128 + number, "")
    assert "Traceback" not in err


def test_a_program_whose_event_loop_is_blocked_ends_after_its_grace(tmp_path):
    with started(tmp_path, "chat", GRACE="0.1") as terminal:
        terminal.wait_for_prompt()
        terminal.type("call stuck 600\r")
        terminal.wait("stuck now")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 128 + signal.SIGTERM
