"""`aimu run`, and `aimu chat` with the lines of stdin: what goes where, exit codes, and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aimu._cli import opening
from aimu._cli.main import main
from tests.cli import program
from tests.cli.program import TOOLS
from tests.cli.terminal import PATIENCE
from tests.served import chat_stream, served

ROOT = Path(__file__).parents[2]


@pytest.fixture
def aimu(monkeypatch, capsys):
    """Run the command on the scripted model in this process; exit code, stdout and stderr."""
    monkeypatch.setattr(opening, "open_client", program.open_client)
    monkeypatch.delenv("AIMU_DEBUG", raising=False)

    def run(*arguments, model="vllm:scripted"):
        code = main([*arguments, "-m", model])
        return code, *capsys.readouterr()

    return run


def started(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.cli.program", *arguments, "-m", "vllm:scripted"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
        **options,
    )


def until_said(process, sign):
    """Read stderr until it has `sign`."""
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    said = ""
    while sign not in said:
        char = process.stderr.read(1)
        assert char, f"it ended and had said only {said!r}"
        said += char
    watchdog.cancel()


def test_the_answer_alone_goes_to_stdout(aimu):
    code, out, err = aimu("run", "call lookup sea", TOOLS)
    assert (code, out) == (0, "It says: sea is a word\nwith a second line\n")
    assert 'lookup(word="sea") -> sea is a word (+1 lines)' in err
    assert aimu("run", "Hello", "--quiet") == (0, "You said: Hello\n", "")


def test_what_tools_and_their_modules_print_goes_to_stderr(aimu, tmp_path, monkeypatch):
    (tmp_path / "talks.py").write_text("print('imported')\ndef lookup(word: str):\n    'Look.'\n    print('called')\n")
    monkeypatch.syspath_prepend(tmp_path)
    code, out, err = aimu("run", "call lookup sea", "--tools", "talks:lookup", "--json")
    assert (code, json.loads(out)["stop_reason"]) == (0, "end")
    assert "imported\n" in err
    assert "called\n" in err
    assert "called" not in "".join(aimu("run", "call lookup sea", "--tools", "talks:lookup", "--quiet")[1:])


TALKS = """
import atexit, threading
print("imported")
atexit.register(print, "at exit")

class Value:
    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        print("typed")
        return handler(dict)

def lookup(word: str):
    "Look."
    print("called")
    threading.Timer(0.2, print, ["late"]).start()
    return word
"""


@pytest.mark.parametrize(
    ("options", "task", "answer"),
    [
        ([], "call lookup sea", "It says: sea\n"),
        (["--quiet"], "call lookup sea", "It says: sea\n"),
        (["--json"], "call lookup sea", '"text": "It says: sea"'),
        (["--output-type", "talks:Value"], "number", '"value": 42'),
    ],
)
def test_whatever_prints_at_whatever_time_stdout_has_the_answer_alone(options, task, answer, tmp_path):
    (tmp_path / "talks.py").write_text(TALKS)
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    process = started("run", task, "--tools", "talks:lookup", *options, env={"PYTHONPATH": path})
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert json.dumps(json.loads(out), indent=2) + "\n" == out if answer.startswith('"') else out == answer
    assert answer in out
    assert ("imported\n" in err) == ("--quiet" not in options)
    assert "at exit\n" in err


def test_what_tools_print_in_a_chat_without_a_terminal_goes_to_stderr():
    out, err = started("chat", TOOLS).communicate("call stuck 0\n", timeout=PATIENCE)
    assert out == "It says: awake\n"
    assert "stuck now\n" in err


def test_a_task_comes_from_stdin(aimu, monkeypatch):
    with Path("/dev/null").open() as empty:
        monkeypatch.setattr(sys, "stdin", empty)
        code, out, err = aimu("run", "-")
    assert (code, out) == (2, "")
    assert "the task is empty" in err
    done = started("run", "-", "-q").communicate("Hello\n", timeout=PATIENCE)
    assert done == ("You said: Hello\n\n", "")


def test_json_has_the_facts(aimu):
    code, out, _ = aimu("run", "call lookup sea", TOOLS, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["text"] == "It says: sea is a word\nwith a second line"
    assert (facts["stop_reason"], facts["model"], facts["requests"]) == ("end", "vllm:scripted", 2)
    assert [message["role"] for message in facts["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert {"output", "usage", "cost", "iterations"} <= set(facts)
    assert all(line.isprintable() for line in aimu("run", "hostile", "--json")[1].splitlines())


def test_typed_output_is_json(aimu):
    assert aimu("run", "number", "--output-type", "tests.cli.program:Value")[:2] == (0, '{\n  "value": 42\n}\n')
    code, out, _ = aimu("run", "number", "--output-type", "tests.cli.program:Value", "--json")
    assert json.loads(out)["output"] == {"value": 42}
    code, out, err = aimu("run", "number", "--output-type", "builtins:int")
    assert (code, out) == (3, "")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["fail busy"], 4, "the service is busy; try again later"),
        (["fail refused"], 3, "the model declines"),
        (["fail key"], 1, r"the key is wrong\x1b[2J; check the key"),
        (["fail bug"], 1, "ZeroDivisionError: division by zero (AIMU_DEBUG=1 shows the traceback)"),
        (["cut off"], 3, "not complete: max_tokens"),
        (["wait", "--timeout", "0.2"], 124, "0.2"),
        ([" "], 2, "the task is empty"),
        (["x", "--tools", "nowhere:tool"], 2, "--tools nowhere:tool: ModuleNotFoundError"),
        (["x", "--tools", "tests.cli.program:nothing"], 2, "AttributeError"),
        (["x", "--tools", "tests.cli.program"], 2, "--tools tests.cli.program: write MODULE:NAME, such as mytools:"),
        (["x", "--tools", "mytools.py:one"], 2, "--tools mytools.py:one: write a module, not a file: mytools:one"),
        (["x", "--tools", "./sub/mytools.py:one"], 2, "not a file: sub.mytools:one"),
        (["x", "--tools", "tests.cli.program:LONG"], 2, "is not a function, but str"),
        (["x", "--skills", "nowhere"], 2, "--skills nowhere"),
        (["x", "--mcp", "nowhere.json"], 2, "nowhere.json"),
        (["x", "--image", "nowhere.png"], 2, "nowhere.png"),
        (["x", "-o", "tempratur=1"], 2, "temperature"),
        (["x", "--max-iterations", "0"], 2, "max_iterations"),
        (["x", "--output-type", "x"], 2, "--output-type x: write MODULE:NAME, such as books:Book"),
        (["x", "--output-type", "books.py:Book"], 2, "not a file: books:Book"),
    ],
)
def test_exit_codes_say_what_went_wrong_and_a_line_what_to_do(aimu, arguments, code, words):
    got, _, err = aimu("run", *arguments)
    assert got == code
    assert words in err.splitlines()[-1]
    assert "Traceback" not in err


def test_an_unknown_model_and_a_missing_key_are_one_line(capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for model, words in (("olama:x", "did you mean"), ("openai:gpt-5", "OPENAI_API_KEY")):
        assert main(["run", "x", "-m", model]) == 2
        err = capsys.readouterr().err
        assert words in err.splitlines()[-1]


def test_debug_shows_the_traceback(aimu, monkeypatch):
    assert "Traceback" in aimu("run", "fail bug", "--debug")[2]
    monkeypatch.setenv("AIMU_DEBUG", "1")
    assert "Traceback" in aimu("run", "fail bug")[2]


@pytest.mark.parametrize(
    ("arguments", "sign"),
    [
        (["x"], "opening"),
        (["wait"], "asked"),
        (["think"], "asked"),
        (["slow"], "asked"),
        (["call blocking 600", TOOLS], "blocking now"),
        (["x", "--mcp", "{silent}"], "connecting"),
    ],
)
def test_ctrl_c_ends_a_run_without_a_traceback(arguments, sign, tmp_path):
    silent = tmp_path / "mcp.json"
    command = {"command": sys.executable, "args": ["-c", "import time; time.sleep(600)"]}
    silent.write_text(json.dumps({"mcpServers": {"silent": command}}))
    process = started("run", *(argument.format(silent=silent) for argument in arguments), env={"MARKS": "1"})
    until_said(process, sign)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


def test_ctrl_c_while_the_model_loads(tmp_path):
    process = started("run", "x", env={"SLOW_LOAD": "600"})
    until_said(process, "opening")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


def test_a_reader_that_leaves_early_ends_the_program_quietly():
    process = started("run", "long", "--quiet")
    process.stdout.close()
    assert process.wait(PATIENCE) == 141
    assert process.stderr.read() == ""
    process.stderr.close()
    process.stdin.close()


def test_a_chat_takes_the_lines_of_stdin():
    process = started("chat", TOOLS)
    out, err = process.communicate("Hello\n\ncall lookup sea\nhistory\n", timeout=PATIENCE)
    assert out.splitlines() == [
        "You said: Hello",
        "It says: sea is a word",
        "with a second line",
        "user assistant user assistant tool assistant user",
    ]
    assert "lookup" in err
    assert process.returncode == 0
    process = started("chat")
    out, err = process.communicate("fail busy\nHello\n", timeout=PATIENCE)
    assert (process.returncode, out) == (4, "You said: Hello\n")


def test_ctrl_c_ends_a_chat_that_reads_stdin():
    process = started("chat")
    until_said(process, "opening")
    process.stdin.write("Hello\n")
    process.stdin.flush()
    assert process.stdout.readline() == "You said: Hello\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    assert "Traceback" not in process.communicate()[1]


def test_options_reach_the_model(aimu, monkeypatch):
    made = []

    def open_client(model, in_process):
        made.append(program.open_client(model, in_process))
        return made[-1]

    monkeypatch.setattr(opening, "open_client", open_client)
    arguments = ["-s", "Be brief.", "--thinking", "-o", "temperature=0.5", "-o", "stop=end"]
    assert aimu("run", "Hello", *arguments)[0] == 0
    request = made[0].provider.provider.requests[0]
    assert request.messages[0] == {"role": "system", "content": "Be brief."}
    assert {key: request.options[key] for key in ("thinking", "temperature", "stop")} == {
        "thinking": True,
        "temperature": 0.5,
        "stop": ["end"],
    }


def test_a_service_over_http_and_an_mcp_server(capsys, monkeypatch, tmp_path):
    server = tmp_path / "mcp.json"
    command = {"command": sys.executable, "args": [str(ROOT / "tests/mcp/fastmcp_server.py")], "cwd": str(ROOT)}
    server.write_text(json.dumps({"mcpServers": {"some": command}}))
    function = {"name": "add", "arguments": '{"a": 17, "b": 25}'}
    call = {"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": function}]}
    with served(chat_stream(call, finish="tool_calls"), chat_stream("It is ", "42.")) as (service, url):
        monkeypatch.setenv("VLLM_BASE_URL", f"{url}/v1")
        assert main(["run", "Add.", "-m", "vllm:m", "--mcp", str(server)]) == 0
    out, err = capsys.readouterr()
    assert out == "It is 42.\n"
    assert "add(a=17, b=25) -> 42" in err
    assert service.requests[1]["messages"][-1]["role"] == "tool"


def test_skills_are_offered(aimu, tmp_path):
    folder = tmp_path / "tides"
    folder.mkdir()
    (folder / "SKILL.md").write_text("---\nname: tides\ndescription: Explains tides.\n---\nThe moon does it.\n")
    code, out, _ = aimu("run", "call activate_skill tides", "--skills", str(tmp_path))
    assert code == 0
    assert "The moon does it." in out
