"""`aimu` where files are closed, full or of another kind, and where modules end the program."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from aimu._cli import commands
from aimu._cli.opening import load_tools
from aimu._cli.run import facts
from aimu.errors import InvalidOptionError, UsageError
from aimu.types import Answer

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("redirections", "code"),
    [("<&-", 2), ("<&- >&-", 2), (">&- </dev/null", 2), ("<&- >&- 2>&-", 2)],
)
def test_closed_files_are_no_traceback(redirections, code):
    command = f'"{sys.executable}" -m tests.cli.program run - -m vllm:scripted {redirections}'
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_module_that_ends_the_program_is_a_wrong_option(tmp_path, monkeypatch):
    (tmp_path / "ends_itself.py").write_text("raise SystemExit('bye')")
    (tmp_path / "has_tools.py").write_text("def one():\n    'One.'\n\ndef two():\n    'Two.'\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InvalidOptionError, match="SystemExit: bye"):
        load_tools(["ends_itself:f"])
    with pytest.raises(InvalidOptionError, match="--tools has_tools: write"):
        load_tools(["has_tools"])
    assert [tool.name for tool in load_tools(["has_tools:one, two"])] == ["one", "two"]


def test_a_module_that_raises_keyboard_interrupt_ends_the_program_without_a_traceback(tmp_path):
    (tmp_path / "interrupts.py").write_text("raise KeyboardInterrupt")
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.program", "run", "x", "--tools", "interrupts:f", "-m", "vllm:scripted"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_facts_are_valid_json_whatever_the_numbers_are():
    answer = Answer("text", output={"a": [math.nan, 1.5]}, cost=math.inf)
    found = json.loads(json.dumps(facts(answer), allow_nan=False))
    assert (found["output"], found["cost"]) == ({"a": [None, 1.5]}, None)


def conversation(history):
    return SimpleNamespace(agent=SimpleNamespace(history=history))


async def test_saving_keeps_links_modes_and_other_files(tmp_path):
    target, link, other = tmp_path / "chat.json", tmp_path / "link.json", tmp_path / "chat.json.draft"
    other.write_text("mine")
    await commands.run(conversation([]), f"/save {target}")
    assert target.stat().st_mode & 0o777 == 0o600
    target.chmod(0o640)
    link.symlink_to(target)
    await commands.run(conversation([{"role": "user", "content": "x"}]), f"/save {link}")
    assert link.is_symlink()
    assert json.loads(target.read_text()) == [{"role": "user", "content": "x"}]
    assert target.stat().st_mode & 0o777 == 0o640
    assert other.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chat.json", "chat.json.draft", "link.json"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read .*chat.json: No such file or directory; name"),
        (b"{", "is not JSON: .*; name a file that /save wrote"),
        (b"\xff", "is not JSON: .*; name a file that /save wrote"),
        (b"5", "has no list of messages; name a file that /save wrote"),
        (b'{"role": "user"}', "has no list of messages"),
        (b"[5]", "is a int, not a dict"),
    ],
)
async def test_what_cannot_be_loaded_is_said_in_words_and_the_conversation_stays(tmp_path, content, words):
    chat, path = conversation([]), tmp_path / "chat.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        await commands.run(chat, f"/load {path}")
    assert chat.agent.history == []


async def test_what_cannot_be_saved_is_said_in_words(tmp_path):
    (tmp_path / "file").touch()
    for folder, words in (("none", "No such file or directory"), ("file", "Not a directory")):
        with pytest.raises(InvalidOptionError, match=f"cannot write .*{folder}/chat.json: {words}; name another"):
            await commands.run(conversation([]), f"/save {tmp_path}/{folder}/chat.json")


@pytest.mark.parametrize("command", ["/save", "/load"])
async def test_what_is_no_regular_file_is_neither_replaced_nor_read(command, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/null"):
        with pytest.raises(InvalidOptionError, match="is not a regular file"):
            await commands.run(conversation([]), f"{command} {path}")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
