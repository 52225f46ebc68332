"""docs/examples/assistant.py: a talk through pipes, with a skill, an MCP server, and an interrupt."""

import signal
import subprocess
import threading
from contextlib import contextmanager

import aimu
from aimu.errors import AuthenticationError
from aimu.skills import SkillManager
from aimu.testing import ScriptedProvider
from tests.examples import programs

ASSISTANT = programs.load("assistant.py")


class Talk:
    """A running assistant."""

    def __init__(self, program):
        self.program = program

    def ask(self, task):
        self.program.stdin.write(task + "\n")
        self.program.stdin.flush()

    def until(self, end):
        """What it prints, up to `end`."""
        said = ""
        while not said.endswith(end):
            piece = self.program.stdout.read(1)
            assert piece, f"it ended after {said!r}"
            said += piece
        return said


@contextmanager
def talk():
    """A talk that ends as with Ctrl-D, in time and without a complaint."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(programs.command("assistant.py"), text=True, **pipes) as program:
        limit = threading.Timer(programs.PATIENCE, program.kill)
        limit.start()
        try:
            talk = Talk(program)
            talk.until("\n> ")
            yield talk
            stderr = program.communicate()[1]
        finally:
            limit.cancel()
            program.kill()
    assert program.returncode == 0, stderr
    assert not programs.warnings_of(stderr), stderr
    assert "Traceback" not in stderr, stderr


def test_it_loads_a_skill_and_asks_an_mcp_server():
    with talk() as assistant:
        assistant.ask("Write release notes: the login works again.")
        said = assistant.until("\n> ")
        assert said.startswith("[activate_skill {'name': 'release-notes'}]\n")
        assert "leave out an empty group" in said
        assistant.ask("What is known about the storm?")
        said = assistant.until("\n> ")
        assert said.startswith("[find_books {'words': 'storm'}]\n")
        assert "the sea took eleven houses" in said


def test_an_interrupt_stops_the_answer_and_the_talk_goes_on():
    with talk() as assistant:
        assistant.ask("Tell me.")
        assistant.until("I am only a script")
        assistant.program.send_signal(signal.SIGINT)
        assistant.until(" [stopped]\n\n> ")
        assistant.ask("And the storm?")
        assert "the sea took eleven houses" in assistant.until("\n> ")


def test_a_failure_of_the_model_is_shown_and_the_talk_goes_on(monkeypatch, capsys):
    tasks = ["Two.", "One."]

    def typed(prompt):
        if not tasks:
            raise EOFError
        return tasks.pop()

    monkeypatch.setattr("builtins.input", typed)
    model = ScriptedProvider(AuthenticationError("the key is not valid", provider="scripted"), "Two it is.")
    with aimu.client(model) as client:
        ASSISTANT.chat(client)
    assert capsys.readouterr().out.splitlines() == ["[scripted: the key is not valid]", "Two it is.", ""]


def test_the_skill_is_as_the_format_wants_it():
    manager = SkillManager(project=programs.FOLDER, user=programs.FOLDER / "nobody", strict=True)
    assert list(manager.skills) == ["release-notes"]
    assert not manager.problems
