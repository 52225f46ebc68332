"""`aimu chat` in a terminal: what is on the screen, and what the keys do."""

import json
import re
import signal
import subprocess
from contextlib import suppress

import pytest

from tests.cli.program import TOOLS
from tests.cli.terminal import Terminal


@pytest.fixture
def chat(tmp_path):
    def start(*arguments, **options):
        return Terminal("chat", "-m", "vllm:scripted", TOOLS, *arguments, XDG_STATE_HOME=str(tmp_path), **options)

    return start


def count(terminal, line):
    return sum(shown.strip() == line for shown in terminal.lines())


def stop(terminal, message, sign):
    """Send a message, stop its turn when `sign` is there, and wait for the next prompt."""
    terminal.wait_for_prompt()
    terminal.type(message + "\r")
    terminal.wait(sign)
    stopped = count(terminal, "stopped")
    terminal.type("\x03")
    terminal.wait(lambda terminal: count(terminal, "stopped") > stopped, "stopped")


@pytest.mark.parametrize("columns", [30, 80, 200])
def test_an_answer_is_rendered_and_what_scrolls_away_is_printed_once(chat, columns):
    with chat(columns=columns, rows=16) as terminal:
        terminal.ask("long")
        assert "/help for help" in " ".join(terminal.lines())
        lines = [line.strip() for line in terminal.lines()]
    assert lines.count("Tides") == 1
    assert "rise and fall" in " ".join(lines)
    assert "**" not in "".join(lines)
    for number in range(1, 41):
        assert lines.count(f"{number} reason number {number} of many") == 1
    for number in range(1, 31):
        assert lines.count(f"line_{number} = {number}") == 1
    assert lines.count("The end.") == 1


def test_an_answer_is_shown_while_it_streams_and_its_turn_can_be_followed(chat):
    with chat() as terminal:
        stop(terminal, "think", "thinking")
        stop(terminal, "slow", "word word word")
        terminal.ask("call lookup sea")
        assert "∴ thought for" in terminal.text
        assert '✓ lookup(word="sea") → sea is a word (+1 lines)' in terminal.text
        terminal.ask("call broken sea")
        assert '✗ broken(word="sea") → Error: ValueError: no sea' in terminal.text


@pytest.mark.parametrize(
    ("message", "sign", "roles"),
    [
        ("wait", "vllm:scripted 0", "user"),
        ("think", "thinking", "user"),
        ("slow", "word word word", "user assistant user"),
        ("call blocking 600", "blocking(seconds=600.0)", "user assistant tool user"),
    ],
)
def test_ctrl_c_stops_a_turn_at_once_and_the_conversation_goes_on(chat, message, sign, roles):
    with chat() as terminal:
        stop(terminal, message, sign)
        terminal.ask("history")
        assert f"\n{roles}\n" in terminal.text
        assert "Traceback" not in terminal.text
        terminal.type("\x04")
        assert terminal.end() == 0


def test_ctrl_c_while_the_model_loads_leaves(chat):
    with chat(SLOW_LOAD="600") as terminal:
        terminal.wait("opening")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert "Traceback" not in terminal.text


def test_ctrl_c_while_another_model_loads_keeps_the_one_before(chat):
    with chat() as terminal:
        terminal.ask("Hello")
        terminal.type("/model vllm:slow\r")
        terminal.wait("opening vllm:slow")
        terminal.type("\x03")
        terminal.wait("stopped")
        terminal.ask("history")
        assert "\nuser assistant user\n" in terminal.text


def test_ctrl_c_at_the_prompt_clears_it_and_twice_at_an_empty_one_leaves(chat):
    with chat() as terminal:
        terminal.wait_for_prompt()
        terminal.type("half a mess")
        terminal.wait("half a mess")
        terminal.type("\x03")
        terminal.wait(lambda terminal: "half a mess" not in terminal.text)
        terminal.type("\x03")
        terminal.wait("Ctrl-C again")
        terminal.type("x")
        terminal.wait(lambda terminal: "Ctrl-C again" not in terminal.text)
        terminal.type("\x03\x03")
        terminal.wait("Ctrl-C again")
        terminal.type("\x03")
        assert terminal.end() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_from_elsewhere_ends_the_program(chat, number, code):
    with chat() as terminal:
        terminal.wait_for_prompt()
        terminal.process.send_signal(number)
        assert terminal.end() == code
        assert "Traceback" not in terminal.text


def test_the_third_ctrl_c_ends_a_program_whose_event_loop_is_blocked(chat):
    with chat() as terminal:
        terminal.wait_for_prompt()
        terminal.type("call stuck 600\r")
        terminal.wait("stuck now")
        while terminal.process.poll() is None:
            terminal.type("\x03")
            with suppress(subprocess.TimeoutExpired):
                terminal.process.wait(0.1)
        assert terminal.end() == 130


def test_what_a_model_writes_does_not_control_the_terminal(chat):
    with chat("--verbose") as terminal:
        terminal.ask("hostile")
        terminal.ask("call hostile")
        terminal.ask("/show")
        raw = bytes(terminal.raw)
        assert r"\x1b]0;owned\x07" in terminal.text
        assert "[bold]markup[/bold]" in terminal.text
        assert "<b>tag</b>" in terminal.text
        assert "中文" in terminal.text
    assert b"\x1b]" not in raw
    assert b"\x07" not in raw
    assert "\x9b" not in raw.decode(errors="replace")


def test_errors_are_one_line_and_the_chat_goes_on(chat):
    with chat() as terminal:
        for kind, text in (
            ("busy", "the service is busy"),
            ("key", r"the key is wrong\x1b[2J"),
            ("bug", "ZeroDivision"),
        ):
            terminal.ask(f"fail {kind}")
            assert text in terminal.text
        terminal.ask("history")
        assert "Traceback" not in terminal.text
        terminal.type("\x04")
        assert terminal.end() == 0


def test_commands(chat, tmp_path):
    path = tmp_path / "chat.json"
    with chat(columns=120) as terminal:
        terminal.ask("/help")
        assert "/save" in terminal.text
        terminal.ask("/show")
        assert "there is no turn yet" in terminal.text
        terminal.ask("/tools")
        assert "lookup: Look a word up." in terminal.text
        terminal.ask("call lookup sea")
        terminal.ask("/show")
        assert "with a second line" in terminal.text
        terminal.ask(f"/save {path}")
        assert [message["role"] for message in json.loads(path.read_text())] == [
            "user",
            "assistant",
            "tool",
            "assistant",
        ]
        terminal.ask("/clear")
        terminal.ask("history")
        assert "\nuser\n" in terminal.text
        terminal.ask(f"/load {path}")
        terminal.ask("/model vllm:other")
        terminal.ask("/model olama:other")
        assert "unknown provider 'olama'" in terminal.text
        terminal.ask("history")
        assert "\nuser assistant tool assistant user\n" in terminal.text
        terminal.ask("/nonsense")
        assert "there is no command /nonsense" in terminal.text
        terminal.ask("//twice")
        assert "You said: /twice" in terminal.text
        path.write_text('[{"role": "nobody"}]')
        terminal.ask(f"/load {path}")
        assert "has role 'nobody'" in terminal.text
        terminal.type("/quit\r")
        assert terminal.end() == 0


def test_messages_are_remembered_and_may_have_several_lines(chat, tmp_path):
    with chat() as terminal:
        terminal.ask("first message")
        terminal.type("one\x1b\rtwo\n")
        terminal.wait("  two")
        terminal.type("three\r")
        terminal.wait("You said: one two three")
        terminal.wait_for_prompt()
        terminal.type("\x1b[200~pasted\rlines\x1b[201~")
        terminal.wait("lines")
        terminal.type("\r")
        terminal.wait("You said: pasted lines")
        terminal.type("\x04")
        assert terminal.end() == 0
    assert (tmp_path / "aimu/history").stat().st_mode & 0o077 == 0
    with chat() as terminal:
        terminal.wait_for_prompt()
        terminal.type("\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A")
        terminal.wait("first message")


def test_what_is_typed_during_a_turn_waits_for_the_next_prompt(chat):
    with chat() as terminal:
        terminal.wait_for_prompt()
        terminal.type("long\r")
        terminal.wait("Tides")
        terminal.type("typed early\r")
        terminal.wait("You said: typed early")
        assert terminal.text.index("The end.") < terminal.text.index("typed early")


def test_a_terminal_may_change_its_size(chat):
    with chat(columns=100, rows=30) as terminal:
        terminal.wait_for_prompt()
        terminal.type("long\r")
        for columns, rows, sign in ((40, 10, "reason number 9"), (120, 40, "reason number 25"), (60, 5, "line")):
            terminal.wait(lambda terminal, sign=sign: sign.encode() in terminal.raw, sign)
            terminal.resize(columns, rows)
        terminal.wait("The end.")
        terminal.ask("history")


def test_no_color(chat):
    with chat(NO_COLOR="1") as terminal:
        terminal.ask("call lookup sea")
        terminal.ask("long")
        raw = bytes(terminal.raw)
    assert not re.search(rb"\x1b\[[0-9;]*(?:3[0-7]|4[0-7]|9[0-7]|38|48)[;m]", raw)


def test_the_history_file_may_be_out_of_reach(tmp_path):
    (tmp_path / "aimu").write_text("a file where a folder should be")
    with Terminal("chat", "-m", "vllm:scripted", XDG_STATE_HOME=str(tmp_path)) as terminal:
        terminal.wait("what you write is not remembered")
        terminal.ask("Hello")


@pytest.mark.engines
def test_without_a_model_the_embedded_one_answers_and_says_so(tmp_path):
    with Terminal("chat", module="tests.cli.plain", columns=200, XDG_STATE_HOME=str(tmp_path)) as terminal:
        terminal.ask("What is 17 plus 25?")
        assert "knows two tools, add and get_weather" in terminal.text
        assert "-m ollama:qwen3.5:9b" in terminal.text
        assert "✓ add(a=17, b=25) → 42" in terminal.text
        assert "The answer is 42." in terminal.text
        terminal.wait_for_prompt()
        terminal.type("Tell me a story.\r")
        terminal.wait("Once")
        terminal.type("\x03")
        terminal.ask("What is 3 plus 4?")
        assert "The answer is 7." in terminal.text
