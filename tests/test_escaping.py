"""What a model or a service writes reaches the log escaped: no escape sequence, no line of its own."""

import ast
import logging
import traceback
from pathlib import Path

import pytest

from aimu import aio
from aimu._core.escaping import escaping, printable, traceback_text
from aimu.errors import ProviderError
from aimu.testing import reply, scripted_client
from aimu.tools import tool

AIMU = Path(__file__).parents[1] / "aimu"
EVIL = "\x1b[2J\x1b]0;owned\x07 fine\nWARNING  root: all data was deleted\r\x9b31m\u202e"
FAKE = "WARNING  root: all data was deleted"


def written(caplog):
    """The log as a plain formatter writes it."""
    formatter = logging.Formatter("%(levelname)s %(name)s %(message)s")
    return "\n".join(map(formatter.format, caplog.records))


def clean(text):
    assert all(char.isprintable() or char in "\n\t" for char in text), ascii(text)
    assert not any(line.startswith(FAKE) for line in text.splitlines()), text
    assert "all data was deleted" in text  # escaped, not lost
    return True


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain ünïcode 漢字", "plain ünïcode 漢字"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202e\u2028\ud800", "\\u202e\\u2028\\ud800"),
        ("", ""),
    ],
)
def test_only_what_is_not_printable_is_escaped(raw, shown):
    assert printable(raw) == shown


async def test_a_call_of_an_unknown_tool_and_its_arguments_are_logged_escaped(caplog):
    @tool
    def known(n: int) -> str:
        """Known."""

    answers = iter([reply("", calls=[(EVIL, {}), ("known", {"n": EVIL})]), "done"])
    agent = aio.Agent(scripted_client(lambda request: next(answers), repeat=True), tools=[known])
    await agent.run("Go.")
    assert caplog.records
    assert clean(written(caplog))


@pytest.mark.parametrize("group", [False, True])
async def test_the_traceback_of_a_failed_tool_is_logged_with_its_message_escaped(caplog, group):
    @tool
    def echo(text: str) -> str:
        """Fail with the text that the model wrote."""
        try:
            raise KeyError(text)
        except KeyError:
            error = ValueError(text)
            error.add_note(text)
            raise (ExceptionGroup(text, [error, OSError(text)]) if group else error) from RuntimeError(text)

    answers = iter([reply("", calls=[("echo", {"text": EVIL})]), "done"])
    agent = aio.Agent(scripted_client(lambda request: next(answers), repeat=True), tools=[echo])
    await agent.run("Go.")
    [record] = caplog.records
    assert record.exc_info[1] is not None  # other handlers still get the exception
    assert clean(written(caplog))
    assert ", in echo\n" in record.exc_text
    assert record.getMessage() == "tool 'echo' failed"


async def test_the_error_of_a_worker_is_logged_escaped(caplog):
    class Fails(aio.AsyncRunner):
        @property
        def messages(self):
            return {}

        async def run(self, task, generate_kwargs=None, stream=False, images=None):
            raise Odd

    class Odd(ProviderError):
        def __init__(self):
            super().__init__(EVIL)

        def __repr__(self):
            return EVIL

    answer = await aio.Parallel([Fails(), aio.Agent(scripted_client("good"))], on_error="collect").run("Go.")
    assert answer == "good"
    assert clean(written(caplog))


def test_a_traceback_without_such_characters_is_as_python_writes_it():
    with pytest.raises(ValueError, match="two") as caught:
        raise ValueError("two\nlines") from KeyError("key")
    whole = "".join(traceback.format_exception(caught.value)).rstrip("\n")
    assert traceback_text(caught.value) == whole.replace("two\nlines", "two\\nlines")


def test_a_logger_gets_the_filter_once():
    logger = logging.getLogger("aimu.tools")
    before = list(logger.filters)
    assert escaping(logger) is logger
    assert logger.filters == before


@pytest.mark.parametrize("path", sorted(AIMU.rglob("*.py")), ids=lambda path: str(path.relative_to(AIMU)))
def test_every_logger_escapes(path):
    source = path.read_text("utf8")
    given = [
        ast.unparse(argument)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "escaping"
        for argument in node.args
    ]
    filtered = "logging.getLogger(name).addFilter(", "logging.getLogger(name).removeFilter("
    made_elsewhere = 'logging.getLogger("aimu")', *filtered  # records are shown, or filtered
    others = sum(map(source.count, made_elsewhere))
    assert sum("getLogger(" in text for text in given) == source.count("getLogger(") - others
