"""The parts of the command: text that is safe to show, live lines, interrupts, choices, and help."""

import io
import re
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import anyio
import pyte
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aimu import errors
from aimu._cli import exits
from aimu._cli.arguments import parse
from aimu._cli.choice import DEFAULTS, choose
from aimu._cli.commands import COMMANDS
from aimu._cli.display import TerminalDisplay, call_text, result_text
from aimu._cli.interrupts import SOON, Interrupts, run
from aimu._cli.main import main
from aimu._cli.models import print_table
from aimu._cli.region import Region
from aimu._cli.safe import cut, line_of, shown
from aimu.models._table import TABLE
from aimu.types import StreamChunk, StreamingContentType

KEYS = [name for row in TABLE.values() if (at := row.connection) for name in (*at.key_variables, *at.token_variables)]


class Screen(io.StringIO):
    """A file that is a terminal."""

    def __init__(self, columns=40, rows=12):
        super().__init__()
        self.screen = pyte.HistoryScreen(columns, rows, history=10000)
        self.stream = pyte.Stream(self.screen)

    def isatty(self):
        return True

    def write(self, text):
        self.stream.feed(re.sub("(?<!\r)\n", "\r\n", text))  # as terminals do
        return super().write(text)

    def lines(self):
        gone = ["".join(row[column].data for column in range(self.screen.columns)) for row in self.screen.history.top]
        lines = [line.rstrip() for line in [*gone, *self.screen.display]]
        while lines and not lines[-1]:
            lines.pop()
        return lines


@given(st.text())
@example("\x1b]0;title\x07")
@example("\x9b31m")
@example("\u202egnp.exe")
@example("\ud800")
def test_shown_text_has_no_character_that_controls_a_terminal(text):
    for char in shown(text):
        assert char in "\n\t" or not (ord(char) < 32 or 127 <= ord(char) < 160 or 0xD800 <= ord(char) < 0xE000)
    assert not re.search("[\u2028-\u202e\u2066-\u2069]", shown(text))
    assert len(line_of(text).splitlines()) <= 1


@pytest.mark.parametrize("text", ["Grüße", "中文\u3000字", "10\u00a0€", "👩‍💻", "می‌خواهم", "a\nb\tc"])
def test_text_of_all_languages_is_shown_as_it_is(text):
    assert shown(text) == text


@given(st.text(st.characters(exclude_categories=("C", "M", "Z"))), st.integers(0, 30))
def test_a_cut_line_fits(text, cells):
    from rich.cells import cell_len

    assert cell_len(cut(text, cells)) <= cells
    if cell_len(text) < cells / 2:
        assert cut(text, cells) == text


LINES = st.lists(st.text("abc中 ", max_size=20).map(str.rstrip), max_size=5)


@given(st.lists(st.tuples(LINES, LINES), max_size=8))
def test_live_lines_are_replaced_and_those_above_stay(updates):
    screen = Screen(columns=44, rows=8)
    region = Region(screen, lambda: 44)
    printed = []
    for live, above in updates:
        region.update(live, above)
        printed += above
        wanted = [*printed, *live]
        while wanted and not wanted[-1]:
            wanted.pop()
        assert screen.lines() == wanted
    region.close()
    assert screen.getvalue().endswith("\033[?25h") == bool(screen.getvalue())


def test_an_update_that_changes_nothing_writes_nothing():
    screen = Screen()
    region = Region(screen, lambda: 40)
    region.update(["a", "b"])
    before = screen.getvalue()
    region.update(["a", "b"])
    assert screen.getvalue() == before
    region.update(["a", "c"])
    assert "a" not in screen.getvalue()[len(before) :]


def show(display, *chunks):
    for phase, content in chunks:
        display.show(StreamChunk(StreamingContentType(phase), content))
        display.paint()


def test_a_turn_in_a_terminal():
    now = [0.0]
    screen = Screen()
    display = TerminalDisplay(screen, "the model", clock=lambda: now[0])
    display.paint()
    assert screen.lines()[-1].endswith("the model")
    now[0] = 3.0
    display.paint()
    assert screen.lines()[-1].endswith("the model 3.0 s")
    show(display, ("thinking", "Let me see.\nI think so."))
    assert "Let me see. I think so." in screen.lines()[-1]
    now[0] = 5.5
    call = {"id": "1", "name": "add", "arguments": {"a": 1}}
    show(display, ("tool_calling", call))
    assert screen.lines()[:1] == ["∴ thought for 2.5 s"]
    now[0] = 6.5
    show(display, ("tool_calling", {**call, "response": "2"}), ("generating", "It is **2"))
    assert screen.lines()[1:] == ["✓ add(a=1) 1.0 s → 2", "", "It is **2"]
    show(display, ("generating", "**."))
    display.note("a note")
    display.finish()
    assert screen.lines()[1:] == ["✓ add(a=1) 1.0 s → 2", "a note", "", "It is 2."]


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (4, 2), (10, 3), (300, 100)])
def test_a_turn_fits_into_any_terminal(columns, rows, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(rows))
    screen = Screen(columns, rows)
    display = TerminalDisplay(screen, "the model", verbose=True)
    call = {"id": "1", "name": "lookup", "arguments": {"word": "a long word"}}
    chunks = [
        ("thinking", "thought 中文 " * 20),
        ("tool_calling", call),
        ("tool_calling", {**call, "response": "x " * 99}),
    ]
    show(display, *chunks, *[("generating", "word 中文 ")] * 30)
    display.finish()
    assert screen.lines()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ({"name": "f", "arguments": {}}, "f()"),
        ({"name": "f", "arguments": {"a": 1, "b": [True, None]}}, "f(a=1, b=[true, null])"),
        ({"name": "f\x1b[2J", "arguments": "not json\n"}, r"f\x1b[2J(not json )"),
        ({"name": "f", "arguments": {"a\x1b": "\x07"}}, r'f(a\x1b="\u0007")'),
        ({"name": "f", "arguments": None}, "f()"),
    ],
)
def test_a_call_is_one_safe_line(call, text):
    assert call_text(call) == text


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ("", "nothing"),
        ("one", "one"),
        ("one\ntwo\n\nthree", "one (+3 lines)"),
        ("\x1b[2Jx", r"\x1b[2Jx"),
        ([{"type": "text", "text": "x"}], '[{"type": "text", "text": "x"}]'),
    ],
)
def test_a_result_is_one_safe_line(response, text):
    assert result_text(response) == text


async def test_ctrl_c_stops_the_innermost_scope_and_another_one_later_the_program():
    interrupts = Interrupts()
    with interrupts.stops() as program:
        with interrupts.stops() as turn:
            interrupts.hit()
            interrupts.hit()
            assert (turn.cancel_called, program.cancel_called, interrupts.signum) == (True, False, 0)
            interrupts._cancelled -= SOON
            interrupts.hit()
        assert program.cancel_called
        assert interrupts.signum == signal.SIGINT


async def test_ctrl_c_after_a_turn_stops_the_next_one():
    interrupts = Interrupts()
    with interrupts.stops() as program:
        for _ in range(2):
            with interrupts.stops() as turn:
                interrupts.hit()
                await anyio.sleep_forever()
            assert turn.cancelled_caught
        assert not program.cancel_called
        with interrupts.stops() as turn:
            interrupts.hit(signal.SIGTERM)
        assert program.cancel_called
        assert interrupts.signum == signal.SIGTERM


def test_where_no_signals_are_received_the_program_runs_all_the_same(monkeypatch):
    @contextmanager
    def unknown(*signals):
        raise NotImplementedError
        yield

    async def program(interrupts):
        return 7

    monkeypatch.setattr(anyio, "open_signal_receiver", unknown)
    assert run(program) == 7


@pytest.fixture
def no_keys(monkeypatch):
    for name in (*KEYS, "AIMU_MODEL"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_model_is_the_named_one_then_that_of_the_variable_then_that_of_a_key(no_keys):
    no_keys.setenv("GEMINI_API_KEY", "key")
    assert choose(None).model == str(DEFAULTS["gemini"])
    assert "GEMINI_API_KEY is set" in choose(None).note
    assert "AIMU_MODEL" in choose(None).note
    no_keys.setenv("OPENAI_API_KEY", "key")
    assert choose(None).model == str(DEFAULTS["openai"])
    no_keys.setenv("ANTHROPIC_AUTH_TOKEN", "token")
    assert choose(None).model == str(DEFAULTS["anthropic"])
    no_keys.setenv("AIMU_MODEL", "ollama:x")
    assert (choose(None).model, choose(None).note) == ("ollama:x", "")
    assert choose("vllm:y").model == "vllm:y"


def test_the_default_models_call_tools():
    assert all(model.spec.tools for model in DEFAULTS.values())


def test_without_a_key_it_is_the_embedded_model(no_keys, monkeypatch):
    found = {"torch", "transformers", "llama_cpp"}
    monkeypatch.setattr("aimu._cli.choice.find_spec", lambda name: name in found)
    assert choose(None).model.startswith("hf:")
    for words in ("embedded", "add and get_weather", "-m ollama:"):
        assert words in choose(None).note
    no_keys.setenv("GROQ_API_KEY", "key")
    assert "GROQ_API_KEY" in choose(None).note
    assert "-m groq:" in choose(None).note
    found -= {"torch"}
    assert choose(None).model.startswith("llamacpp:")
    found.clear()
    with pytest.raises(errors.InvalidOptionError, match="there is no model"):
        choose(None)


def test_every_error_has_a_code_and_one_line():
    group = ExceptionGroup("several", [errors.OverloadedError("busy"), ValueError("bad")])
    assert exits.code_of(group) == exits.TRY_AGAIN
    assert exits.words_of(group) == "busy; try again later; ValueError: bad (AIMU_DEBUG=1 shows the traceback)"
    assert exits.code_of(TimeoutError()) == exits.TIMED_OUT
    assert exits.code_of(errors.ProviderTimeoutError("late")) == exits.TRY_AGAIN
    assert exits.code_of(errors.RunnerError("none")) == exits.NO_ANSWER


def test_a_table_is_aligned_in_a_terminal_and_has_tabs_elsewhere(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    screen, file = Screen(20), io.StringIO()
    for out in (screen, file):
        print_table(["name", "what"], [["a\x1b[2J", "first"], ["long name", "second thing"]], out)
    assert screen.lines() == ["name       what", r"a\x1b[2J   first", "long name  second t…"]
    assert file.getvalue() == "a\\x1b[2J\tfirst\nlong name\tsecond thing\n"


@pytest.mark.parametrize("command", ["chat", "run", "models", "doctor", "demo"])
def test_help_teaches_by_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"aimu {command}" in out.split("examples:")[1]
    for line in re.findall(rf"^  aimu ({command}\b.*?)(?:  .*|\|.*)?$", out, re.MULTILINE):
        assert parse(shlex.split(line)).command == command


def test_the_commands_of_the_guide_are_commands():
    page = (Path(__file__).parents[2] / "docs/how-to/terminal.md").read_text("utf8")
    lines = re.findall(r"^(?:[^#`\n]*\| )?aimu (\w+ ?.*?)(?:  +#.*|\| jq.*)?$", page, re.MULTILINE)
    assert len(lines) > 12
    for line in lines:
        assert parse(shlex.split(line)).command == line.split()[0]


def test_the_guide_has_every_command_of_the_chat_exit_code_and_default_model():
    page = (Path(__file__).parents[2] / "docs/how-to/terminal.md").read_text("utf8")
    assert not [name for name in COMMANDS if f"`{name}" not in page]
    assert not [model for model in DEFAULTS.values() if f"`{model.id}`" not in page]
    codes = re.findall(r"^\| (\d+)", page, re.MULTILINE)
    assert not [line for line in re.findall(r"^  (\d+)", exits.EXIT_CODES, re.MULTILINE) if line not in codes]


def test_without_a_command_the_help_lists_them(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert "aimu chat " in err
    assert "aimu run " in err


@pytest.mark.parametrize(
    ("arguments", "usage", "words"),
    [
        ("run What is the status?", "aimu run", "the status?; put the task in quotes: aimu run 'What is the status?'"),
        ("run What --base-url http://h", "aimu run", "unrecognized arguments: --base-url http://h\n"),
        ("chat --nothing", "aimu chat", "unrecognized arguments: --nothing\n"),
        ("models two words", "aimu models", "unrecognized arguments: words\n"),
        ("--nothing", "aimu", "unrecognized arguments: --nothing\n"),
    ],
)
def test_what_is_unknown_gets_the_usage_of_its_command(capsys, arguments, usage, words):
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert err.startswith(f"usage: {usage} [-h]")
    assert words in err


def test_the_version(capsys):
    import aimu

    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"aimu {aimu.__version__}\n"


def test_without_the_extra_the_command_says_how_to_install_it(capsys, monkeypatch):
    monkeypatch.setattr("aimu._cli.main.find_spec", lambda name: None)
    assert main(["chat"]) == main(["run", "x"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 2
    assert "pip install '.[cli]'" in err


def test_what_shows_no_markdown_works_without_the_extra():
    program = (
        "import sys; sys.modules['rich'] = sys.modules['prompt_toolkit'] = None\n"
        "from aimu._cli.main import main\n"
        "assert main(['models', '--json']) == 0 and main(['demo', '--scripted']) == 0\n"
        "import aimu._cli.doctor\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, cwd=root)
    assert done.returncode == 0, done.stderr


def test_a_remedy_that_an_error_names_itself_is_not_said_twice():
    assert exits.words_of(errors.OverloadedError("busy", provider="x")) == "x: busy; try again later"
    assert exits.words_of(errors.RateLimitError("try again later")) == "try again later"
    known = errors.AuthenticationError("no; check the key in api_key=", provider="x")
    assert exits.words_of(known) == "x: no; check the key in api_key=; `aimu doctor` names the variables"
    told = errors.AuthenticationError("no", provider="x")
    assert exits.words_of(told) == "x: no; check the key; `aimu doctor` names the variables"
    assert exits.words_of(errors.RefusedError("no", provider="x")) == "x: no"
