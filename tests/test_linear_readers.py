"""Every reader of text that a model, a service or a file writes takes time linear in its length, up to a megabyte.

Each text grows fourfold until it takes a measurable time; of the texts of a reader, the one that grew most goes on to a
megabyte, since beside slow linear work a quadratic part shows late. What is compared is the time of the thread itself,
without the garbage collector: linear work grows fourfold too, quadratic work sixteenfold.
"""

import json
from time import thread_time

import pytest

from aimu import aio
from aimu._core.images import image_part
from aimu._core.json_text import DEPTH, read_json
from aimu._core.reply import ToolCall
from aimu._core.thinking import ThinkSplitter, separate, split_thinking
from aimu.aio._mcp.config import read_config
from aimu.aio._workflows.evaluator_optimizer import accepts
from aimu.aio._workflows.router import named
from aimu.engines._formats.literals import bare_object, python_calls
from aimu.engines._formats.marks import ANY, HEAD
from aimu.engines._formats.reader import Reader
from aimu.engines._formats.rows import ANYTHING, ROWS
from aimu.engines._formats.schema import tagged_value, typed
from aimu.engines._formats.stops import StopStrings
from aimu.errors import AimuError
from aimu.evals._judge import read_score
from aimu.providers._sse import JSONLinesDecoder, SSEDecoder
from aimu.providers._wire import arguments_object
from aimu.skills._catalog import one_line, placed
from aimu.skills._frontmatter import split
from aimu.skills._rules import facts
from aimu.testing import ScriptedProvider, reply
from aimu.tools._definition import as_tool

pytestmark = pytest.mark.usefixtures("uncollected")

LARGEST = 1 << 20
MEASURABLE = 0.002  # seconds
LONG = 0.25  # seconds after which a second look costs more than it tells
FACTOR = 8
SEEN = 24  # times that a reader of calls may look at each character

BLANKS = [" ", "\n", "\r\n", " \n", "a ", "a\n"]
SIGNS = [
    "\\",
    '"',
    "'",
    "```",
    "~~~\n",
    "<",
    "</",
    "<a",
    "<a>",
    "{",
    "[",
    "(",
    "}",
    "_",
    "*",
    "-",
    ":",
    "${a:-",
    "0",
    "1,",
]
SIGNS += ["1) ", "a", "<!--", "---\n", "\ud800"]
JSON = ['{"a":', '{"a":"', '{"a": "\\', "[1,", '{"score": ', '{"score":1}', "{}"]
WORDS = ["score ", "score:", "Score: 0.8\n", "0.8 ", "math ", "PASS ", "- ", "name: a\n"]
PROSE = ["the </think> tag ", "say </think>\n", "the <think> tag ", "`</think>` ", "` "]
TAGS = [*PROSE, "<think>", "</think>", "</thi", "<tool_call>", '<available_skills digest="0123456789abcdef">\n']

SHAPES = [(unit, "", "") for unit in (*BLANKS, *SIGNS, *JSON, *WORDS, *TAGS)]
SHAPES += [(unit, before, "x") for unit in (" ", "\n") for before in ("0.8", "score", "x", "<a", "add(a=", "math")]
SHAPES += [("a", "<", ""), ("0", "0.8", "x"), ("\\", "add(a='", ""), ("*", "0.8", "x"), ("_", "math", "x")]

PIECES = [(unit, before, "") for before in ("", "<think>x", "data: x") for unit in (" ", "\n", "<", "</thi", "a")]
PIECES += [(unit, before, "") for unit in PROSE for before in ("", "<think>", "x")]
PIECES += [(unit, "", "") for unit in ("<think>", "</think>", "\n\n", "score: ", "data: x\n", "data: x\n\n", "\r")]


def note(*what, **more):
    """Overlook a deviation in a skill."""


def add(a: int, b: str = "") -> int:
    return a


TOOL = as_tool(add)
TOOLS = [TOOL.schema]
OFFERED = {"add": TOOL.schema["function"]}
SERVER = {"command": "x"}

WHOLE = {
    "a judge's verdict": read_score,
    "a router's answer": lambda text: named(text, ["math", "prose", "math prose"]),
    "an evaluator's verdict": lambda text: accepts(text, "PASS"),
    "thinking": split_thinking,
    "thinking and answer": separate,
    "arguments of a call": TOOL.bind,
    "an argument of a call": lambda text: TOOL.bind('{"a": "' + text),
    "recorded arguments": arguments_object,
    "a value of a schema": lambda text: typed(text, {"type": ["integer", "object"]}),
    "an object of a schema": lambda text: typed("{" + text, {"type": "object"}),
    "marked data": lambda text: typed(f" <![CDATA[{text}", {"type": "object"}),
    "nested tags": lambda text: tagged_value(text, ("<", ">"), "</*>"),
    "calls as in Python": lambda text: python_calls(text, OFFERED),
    "arguments as in Python": lambda text: python_calls("add(a=" + text, OFFERED),
    "an object with bare keys": lambda text: bare_object("{a:" + text, '<|"|>'),
    "a line of a catalog": one_line,
    "a system message": lambda text: placed(text, "catalog"),
    "a skill": lambda text: split(text, note),
    "a frontmatter": lambda text: split("---\n" + text, note),
    "a description": lambda text: split(f"---\nname: x\ndescription: {text}\n---\nbody", note),
    "a skill's facts": lambda text: facts({"name": text, "allowed-tools": text}, text, "folder", note),
    "a data URL": lambda text: image_part("data:image/jpg;base64," + text),
    "a data URL without base64": lambda text: image_part("data:image/jpg," + text),
    "a config of servers": lambda text: read_config({"a": {**SERVER, "args": [text]}}),
}


def fed(make):
    def read(text, size):
        reader = make()
        for at in range(0, len(text), size):
            for _ in reader.feed(text[at : at + size]):
                pass
        for _ in (getattr(reader, "finish", None) or reader.rest)() or ():
            pass

    return read


def encoded(make):
    read = fed(make)
    return lambda text, size: read(text.encode(errors="replace"), size)


STREAMED = {
    "thinking by a tag": fed(ThinkSplitter),
    "thinking that the prompt began": fed(lambda: ThinkSplitter(thinking=True)),
    "stop strings": fed(lambda: StopStrings(["\n\n\n", "</think>", "score: 1"])),
    "events": encoded(SSEDecoder),
    "lines": encoded(JSONLinesDecoder),
}


def seconds(read, text):
    began = thread_time()
    try:
        read(text)
    except (ValueError, AimuError):  # said within the time too
        pass
    return thread_time() - began


def text_of(shape, size):
    unit, before, behind = shape
    return (before + unit * (size // len(unit) + 1))[:size] + behind


def growth(read, shape):
    """Return how much longer a text takes than a quarter of it, at the first size that takes a measurable time.

    A rise or two may be the way into another branch of the reader, so what counts is the step behind them.
    """
    size, shorter, rises, factor = 1024, None, 0, 0
    while size <= LARGEST:
        text = text_of(shape, size)
        longer = seconds(read, text)
        if shorter is not None and longer > MEASURABLE:
            if longer > FACTOR * shorter and (rises or longer < LONG):  # perhaps by chance
                quarter = text_of(shape, size // 4)
                longer, shorter = (min(seconds(read, same) for _ in range(3)) for same in (text, quarter))
            factor = longer / max(shorter, 1e-6)
            rises += factor > FACTOR
            if rises == 3 or factor <= FACTOR:
                break
        size, shorter = size * 4, longer
    return factor if factor <= FACTOR or rises > 1 else 0


def growth_to_the_largest(read, shape):
    """Return how much longer a megabyte takes than a quarter of it."""
    shorter, longer = (seconds(read, text_of(shape, size)) for size in (LARGEST // 4, LARGEST))
    for _ in range(2):
        if longer <= FACTOR * shorter:
            break
        longer = min(longer, seconds(read, text_of(shape, LARGEST)))  # a busy machine only makes it longer
    return longer / max(shorter, 1e-6) if longer > MEASURABLE else 0


def too_slow(read, shapes, whole=True):
    found = {shape: growth(read, shape) for shape in shapes}
    suspect = max(found, key=found.get)
    if whole and found[suspect] <= FACTOR:
        found[suspect] = growth_to_the_largest(read, suspect)
    return {shape: factor for shape, factor in found.items() if factor > FACTOR}


COSTS = {
    "linear": (lambda n: 1e-6 * n, False),
    "a branch that costs forty times as much": (lambda n: 1e-7 * n * (40 if n > 5000 else 1), False),
    "a branch that begins late": (lambda n: 5e-6 * max(0, n - 12_000), False),
    "quadratic": (lambda n: 1e-9 * n * n, True),
    "quadratic beside slow linear work": (lambda n: 1e-6 * n + 1e-10 * n * n, True),
    "quadratic beside linear work a million times as slow": (lambda n: 1e-6 * n + 3e-12 * n * n, True),
    "quadratic from some length on": (lambda n: 1e-6 * n + 1e-9 * max(0, n - 20_000) ** 2, True),
}


@pytest.mark.parametrize(("cost", "found"), COSTS.values(), ids=COSTS)
def test_the_rule_tells_quadratic_work_from_linear_work(cost, found, monkeypatch):
    monkeypatch.setattr(f"{__name__}.seconds", lambda read, text: read(len(text)))
    assert bool(too_slow(cost, [("a", "", "")])) == found


@pytest.mark.parametrize("read", WHOLE.values(), ids=WHOLE)
def test_a_text_of_a_megabyte_is_read_in_linear_time(read):
    assert too_slow(read, SHAPES) == {}


@pytest.mark.parametrize("size", [1, 7, 1000, LARGEST])
@pytest.mark.parametrize("read", STREAMED.values(), ids=STREAMED)
def test_a_stream_of_a_megabyte_is_read_in_linear_time(read, size):
    assert too_slow(lambda text: read(text, size), PIECES, whole=size in (7, LARGEST)) == {}


def shapes_of(row):
    yield from ((unit, "", "") for unit in (" ", "{", '{"name": "add", ', "add(a=", "<"))
    for marks in row.calls:
        before = "".join(mark.replace(ANY, "id") for mark in marks.opening) + marks.prefix
        begun = before + "add" + marks.naming
        key = marks.key[0] + "a" + marks.key[1] + marks.value[0]
        whole = begun + key + "1" + marks.value[1].replace(ANY, "a") + "".join(marks.closing)
        yield from (
            (unit, "", "") for unit in (before, begun, begun + '{"a": "', begun + key, before + "add(a='", whole)
        )
        yield from ((unit, before, "") for unit in (" ", "{"))
        yield from ((unit, begun + key, "") for unit in ("\n", marks.opening[-1]))
        yield from ((unit, begun + '{"a": "', "") for unit in ("\\", marks.opening[-1]))
    for block in row.thinking:
        yield from ((unit, "", "") for unit in (block.opening, block.closing, block.opening + " x"))
    if row.guessed:
        yield from ((unit, "", "") for unit in ('<odd>{"name": "add"', "<odd>add<odd>", '<odd>{"name": "add"}</odd>'))
    if row.header is not None:
        yield from ((unit, "", "") for unit in (row.header.starts[0], row.header.starts[-1] + "x" + row.header.end))


@pytest.mark.parametrize("row", [*ROWS, ANYTHING], ids=lambda row: row.name)
def test_calls_in_each_format_are_read_in_linear_time(row):
    def read(text, size=LARGEST):
        reader = Reader([row], tools=TOOLS)
        for at in range(0, len(text), size):
            reader.feed(text[at : at + size])
        reader.end()
        assert reader.scanned < SEEN * len(text) + HEAD

    shapes = dict.fromkeys(shapes_of(row))
    assert too_slow(read, shapes, whole=False) == {}
    assert too_slow(lambda text: read(text, 1000), shapes) == {}


def nested(levels):
    return "[" * levels + "]" * levels


def test_json_may_nest_as_deep_as_is_said_and_no_deeper():
    assert read_json(nested(DEPTH)) == json.loads(nested(DEPTH))
    for levels in (DEPTH + 1, 980, 100_000):
        with pytest.raises(ValueError, match="nested"):
            read_json(nested(levels))
    assert read_json("[" + "[]," * 10 * DEPTH + "[]]")


@pytest.mark.parametrize("levels", [DEPTH, 980, 100_000])
def test_deep_json_in_a_verdict_is_no_score(levels):
    assert read_score('{"score": ' + nested(levels) + "}") is None
    assert read_score('{"a": ' * levels + '\nScore: 0.5\n{"score": 0.7}') is not None


@pytest.mark.parametrize("levels", [DEPTH, 980, 100_000])
async def test_a_call_nested_too_deep_is_told_to_the_model_and_the_conversation_goes_on(levels):
    arguments = '{"a": ' + nested(levels) + "}"
    client = aio.client(ScriptedProvider(reply(calls=[ToolCall("1", "add", arguments)]), "Sorry.", "Yes."), tools=[add])
    assert await client.chat("Add.") == "Sorry."
    assert "nested" in client.messages[2]["content"]
    assert client.messages[1]["tool_calls"][0]["function"]["arguments"] == arguments
    assert await client.chat("Again?") == "Yes."
    assert arguments_object(arguments) == {"invalid_json": arguments}
