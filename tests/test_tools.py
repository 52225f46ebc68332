"""Tools: what a model is shown of a function, what its arguments become, and one call from start to end."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import datetime as dt
import enum
import functools
import json
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import anyio
import attrs
import jsonschema
import pydantic
import pytest
from anyio import from_thread
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_jsonable_python

from aimu.core.reply import ToolCall
from aimu.core.threads import run_in_thread
from aimu.errors import ToolArgumentsError, ToolNameClashError
from aimu.tools import Tool, Toolbox, ToolSignatureError, as_tool, tool
from tests.holding import Hold, until


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Tree:
    """A tree.

    Attributes:
        name: What it is called.
    """

    name: str
    children: list[Tree] = attrs.field(factory=list)
    _depth: int = attrs.field(default=0, validator=attrs.validators.ge(0))


@dataclasses.dataclass
class Point:
    x: Annotated[float, "To the right."]
    tree: Tree | None = None
    tags: list[str] = dataclasses.field(default_factory=list)


class Options(TypedDict):
    size: int
    at: NotRequired[Annotated[Point, "Where."]]


class Item(pydantic.BaseModel):
    sku: str
    amount: int = pydantic.Field(default=1, ge=1)


def parameters(function):
    return as_tool(function).parameters


# A type, and the values that JSON can mean by it.
numbers = st.integers(-(2**53), 2**53)
floats = st.floats(allow_nan=False, allow_infinity=False)
trees = st.recursive(
    st.builds(Tree, st.text()), lambda kids: st.builds(Tree, st.text(), st.lists(kids, max_size=3), depth=st.just(2))
)
points = st.builds(Point, floats, st.none() | trees, st.lists(st.text(), max_size=2))
SCALARS = [
    (str, st.text()),
    (int, numbers),
    (float, floats),
    (bool, st.booleans()),
    (None, st.none()),
    (Literal["a", 2], st.sampled_from(["a", 2])),
    (Color, st.sampled_from(Color)),
    (dt.date, st.dates()),
    (Path, st.just(Path("a/b"))),
    (Tree, trees),
    (Point, points),
    (Options, st.fixed_dictionaries({"size": numbers}, optional={"at": points})),
    (Item, st.builds(Item, sku=st.text(), amount=st.integers(1, 9))),
]


def containers(pair):
    hint, values = pair
    return st.sampled_from(
        [
            (list[hint], st.lists(values, max_size=3)),
            (tuple[hint, ...], st.lists(values, max_size=3).map(tuple)),
            (dict[str, hint], st.dictionaries(st.text(), values, max_size=3)),
            (hint | None if hint else hint, values | st.none()),
            (Annotated[hint, "A note."], values),
        ]
    )


def jsonable(value):
    return to_jsonable_python(
        value, fallback=lambda v: {k.lstrip("_"): x for k, x in attrs.asdict(v, recurse=False).items()}
    )


@given(
    pair=st.recursive(st.sampled_from(SCALARS), lambda inner: inner.flatmap(containers), max_leaves=3), more=st.data()
)
def test_a_value_survives_the_way_through_json_and_its_json_fits_the_schema(pair, more):
    hint, values = pair

    def function(value):
        """Take it."""

    function.__annotations__ = {"value": hint}
    made = as_tool(function)
    value = more.draw(values)
    arguments = {"value": jsonable(value)}
    jsonschema.validate(arguments, made.parameters)
    assert made.bind(json.dumps(arguments)) == {"value": value}
    assert '"title"' not in json.dumps(made.parameters)


@given(
    text=st.text()
    | st.from_type(dict).map(repr)
    | st.recursive(
        st.none() | st.booleans() | floats | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner),
    ).map(json.dumps)
)
def test_whatever_a_model_writes_binds_or_is_refused_with_a_reason(text):
    def function(a: int, b: str = ""): ...

    bind = as_tool(function).bind
    try:
        bound = bind(text)
    except ToolArgumentsError:
        with pytest.raises(ToolArgumentsError, match=r"function was not executed, its arguments do not fit:\n- \w"):
            bind(text)
    else:
        assert isinstance(bound["a"], int)
        assert bound.keys() <= {"a", "b"}


def describe(
    a: int,
    b: Annotated[str, "Own words."],
    *,
    schema: Color = Color.RED,
    options: dict[str, Any] | None = None,
    lock: Any = threading.Lock,
):
    """Describe a thing.

    At length.

    Args:
        a: The first,
            on two lines.
        b: Other words.

    Returns:
        Nothing.
    """


def test_a_schema_holds_types_descriptions_defaults_and_no_titles():
    assert as_tool(describe).schema == {
        "type": "function",
        "function": {
            "name": "describe",
            "description": "Describe a thing.\n\nAt length.",
            "parameters": {
                "$defs": {"Color": {"enum": ["red", "blue"], "type": "string"}},
                "type": "object",
                "additionalProperties": False,
                "required": ["a", "b"],
                "properties": {
                    "a": {"type": "integer", "description": "The first, on two lines."},
                    "b": {"type": "string", "description": "Own words."},
                    "schema": {"$ref": "#/$defs/Color", "default": "red"},
                    "options": {
                        "anyOf": [{"type": "object", "additionalProperties": True}, {"type": "null"}],
                        "default": None,
                    },
                    "lock": {},
                },
            },
        },
    }


def test_classes_in_a_schema_keep_their_own_descriptions_and_a_recursive_one_refers_to_itself():
    def function(options: Options): ...

    definitions = parameters(function)["$defs"]
    assert definitions["Tree"] == {
        "type": "object",
        "additionalProperties": False,
        "description": "A tree.",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "description": "What it is called."},
            "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
            "depth": {"type": "integer", "default": 0},
        },
    }
    assert definitions["Point"]["properties"]["x"] == {"type": "number", "description": "To the right."}
    assert definitions["Options"]["required"] == ["size"]


@pytest.mark.parametrize(
    "docstring",
    [
        "Add.\n\nArgs:\n    a: The one.\n    b (int): The other.",
        "Add.\n\nParameters\n----------\na : int\n    The one.\nb : int\n    The other.",
        "Add.\n\n:param a: The one.\n:param int b: The other.\n:returns: The sum.",
    ],
    ids=["google", "numpy", "sphinx"],
)
def test_a_docstring_of_any_style_describes_the_parameters(docstring):
    def add(a: int, b: int): ...

    add.__doc__ = docstring
    assert as_tool(add).description == "Add."
    assert [p["description"] for p in parameters(add)["properties"].values()] == ["The one.", "The other."]


def test_arguments_named_like_pydantic_internals_or_the_word_title_are_kept():
    def function(title: str, model_config: int, json: int, _x: int = 1, copy: int = 2): ...

    assert list(parameters(function)["properties"]) == ["title", "model_config", "json", "_x", "copy"]
    assert as_tool(function).bind('{"title": "t", "model_config": 1, "json": "2"}') == {
        "title": "t",
        "model_config": 1,
        "json": 2,
    }


def test_names_of_an_enclosing_function_are_resolved_where_the_function_closes_over_them():
    class Local(TypedDict):
        n: int

    def function(x: Local) -> Undefined:  # noqa: F821
        return Local(**x)

    assert as_tool(function).bind('{"x": {"n": "1"}}') == {"x": {"n": 1}}


def test_a_local_class_that_refers_to_itself_needs_no_module_level_name():
    @dataclasses.dataclass
    class Chain:
        n: int
        rest: Chain | None = None

    def function(x): ...

    function.__annotations__["x"] = Chain
    assert as_tool(function).bind('{"x": {"n": 1, "rest": {"n": 2}}}') == {"x": Chain(1, Chain(2))}


def test_an_attrs_field_without_a_type_takes_anything():
    Loose = attrs.make_class("Loose", ["value"])  # noqa: N806

    def function(x): ...

    function.__annotations__["x"] = Loose
    assert as_tool(function).bind('{"x": {"value": [1]}}') == {"x": Loose([1])}


@pytest.mark.parametrize("empty", ["", "  ", "{}"])
def test_no_arguments_at_all_are_an_empty_object(empty):
    def function(a: int = 1): ...

    assert as_tool(function).bind(empty) == {}


def place(point: Point, count: int, color: Color = Color.RED): ...


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"point": ', ["valid JSON"]),
        ("[1]", ["JSON object", "[1]"]),
        ('{"count": 1}', ["- point: required"]),
        ('{"count": ' + "[" * 100_000, ["valid JSON"]),
        ('{"count": ' + "[" * 500 + "]" * 500 + "}", ["- arguments: ", "recursion"]),
        ('{"point": {"x": 1}, "count": "many"}', ["- count: ", "valid integer", "'many'"]),
        ('{"point": {"x": "?"}, "count": 1}', ["- point.x: ", "valid number"]),
        ('{"point": {"x": 1}, "count": 1, "colour": 1}', ["- colour: no such argument", "point, count, color"]),
        ('{"point": {"x": 1, "y": 1}, "count": 1}', ["- point.y: no such argument"]),
        ('{"point": {"x": 1}, "count": 1, "color": "green"}', ["- color: ", "'red' or 'blue'", "'green'"]),
        ('{"point": {"x": 1, "tree": {"name": "", "depth": -1}}, "count": 1}', ["- point.tree: ", "must be >= 0"]),
        ("{}", ["- point: required", "- count: required"]),
    ],
)
def test_a_refusal_names_each_argument_what_was_wrong_and_what_is_expected(arguments, said):
    with pytest.raises(ToolArgumentsError) as caught:
        as_tool(place).bind(arguments)
    for words in said:
        assert words in str(caught.value)


@dataclasses.dataclass
class Where:
    city: str = None


def test_a_default_of_none_may_be_given_also_where_the_type_does_not_say_so():
    def weather(where: Where, days: Annotated[int, "How many.", pydantic.Field(ge=1)] = None):  # noqa: RUF013
        return where, days

    made = as_tool(weather)
    days = made.parameters["properties"]["days"]
    assert days["description"] == "How many."
    assert {"type": "null"} in days["anyOf"]
    assert made.bind('{"where": {"city": null}, "days": null}') == {"where": Where(None), "days": None}
    with pytest.raises(ToolArgumentsError, match="greater than or equal to 1"):
        made.bind('{"where": {}, "days": 0}')


def test_an_exception_in_a_validator_of_the_user_is_a_refusal():
    def explode(value: int) -> int:
        raise LookupError("no such row")

    def function(a: int): ...

    function.__annotations__["a"] = Annotated[int, pydantic.AfterValidator(explode)]
    with pytest.raises(ToolArgumentsError, match="LookupError: no such row"):
        as_tool(function).bind('{"a": 1}')


def test_a_tool_made_of_a_schema_gets_its_arguments_raw():
    async def function(**arguments): ...

    made = Tool(
        name="far.away",
        description="Far.",
        parameters={"type": "object", "properties": {"n-1": {"type": "integer"}}, "required": ["n-1"]},
        function=function,
        origin="MCP server 'x'",
    )
    assert made.is_async
    assert made.schema["function"]["parameters"]["required"] == ["n-1"]
    assert made.bind('{"n-1": "1", "more": null}') == {"n-1": "1", "more": None}
    for wrong in ("{", "3", "{}"):
        with pytest.raises(ToolArgumentsError):
            made.bind(wrong)


class Shop:
    @tool
    def price(self, item: str) -> str:
        """The price."""
        return f"{item} at {self!r}"

    @classmethod
    @tool(name="open_shop")
    async def open(cls, at: int) -> str:
        return cls.__name__

    @staticmethod
    @tool
    def close(at: int) -> int:
        return at


def test_the_decorator_returns_the_very_function():
    def add(a: int, b: int) -> int:
        return a + b

    assert tool(add) is add
    assert tool(name="plus", timeout=3, exclusive=True, raises=(OSError,))(add) is add
    assert add(1, 2) == 3
    made = as_tool(add)
    assert (made.name, made.timeout, made.exclusive, made.raises) == ("plus", 3, True, (OSError,))
    assert as_tool(add) is made
    assert as_tool(made) is made


def test_methods_are_tools_once_bound():
    shop = Shop()
    assert list(parameters(shop.price)["properties"]) == ["item"]
    assert as_tool(shop.price).function(item="tea") == f"tea at {shop!r}"
    assert as_tool(Shop.open).name == "open_shop"
    assert as_tool(Shop.open).is_async
    assert as_tool(Shop.close).function(at=1) == 1
    with pytest.raises(ToolSignatureError, match=r"Shop.price is a method.*instance.price"):
        as_tool(Shop.price)


def test_a_wrapper_and_a_partial_are_tools_like_what_they_wrap():
    @tool(name="renamed")
    def inner(a: int, b: int = 2) -> int:
        """Doc."""
        return a * b

    @functools.wraps(inner)
    def wrapper(*args, **kwargs):
        return -inner(*args, **kwargs)

    assert as_tool(wrapper).name == "renamed"
    assert as_tool(wrapper).function(**as_tool(wrapper).bind('{"a": 1}')) == -2
    part = as_tool(functools.partial(place, Point(1.0)))
    assert (part.name, list(part.parameters["properties"])) == ("place", ["count", "color"])


def untyped(a, b: int): ...
def many(*values: int): ...
def named(**values: int): ...
def positional(value: int, /): ...
def unresolved(value: Nowhere): ...  # noqa: F821
def callback(value: Any, f: type(len)): ...
def opaque(value: threading.Event): ...
def called(value: Callable[[int], int]): ...


class Unresolved(TypedDict):
    x: Nowhere  # noqa: F821


def nested(value: list[Unresolved]): ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (untyped, r"untyped: parameter 'a' .*annotate it"),
        (many, r"many: parameter .*\*values.* declare one list"),
        (named, r"named: parameter .*\*\*values.* declare each"),
        (positional, r"positional: parameter .*value.* remove the `/`"),
        (unresolved, r"unresolved: the type 'Nowhere' of parameter 'value' .*Nowhere.* define or import"),
        (callback, r"callback: .*parameter 'f'.* use plain types"),
        (opaque, r"opaque: .*parameter 'value'.* use plain types"),
        (called, r"called: .*parameter 'value'.* use plain types"),
        (nested, r"fields of Unresolved .*Nowhere.* define or import"),
        (lambda: 1, r"<lambda>.*@tool\(name=...\)"),
        (3, "3 is no tool"),
        (Shop, "Shop.* is no tool"),
        (len, "len.* is no tool"),
    ],
)
def test_what_a_model_cannot_call_is_refused_with_the_remedy(function, said):
    with pytest.raises(ToolSignatureError, match=said) as refused:
        as_tool(function).schema
    assert "\n" not in str(refused.value)


def test_the_decorator_refuses_at_once_what_it_can_see():
    for function in (untyped, many, named, positional):
        with pytest.raises(ToolSignatureError):
            tool(function)
    with pytest.raises(ToolSignatureError, match="below @staticmethod"):
        tool(staticmethod(place))
    assert tool(unresolved) is unresolved


def test_two_tools_of_one_name_are_refused_with_both_origins():
    other = tool(name="place")(lambda: 1)
    with pytest.raises(ToolNameClashError, match=r"function .*test_tools.place.*function .*test_tools.*<lambda>"):
        Toolbox([place, other])


def test_a_toolbox_lists_its_tools_in_order():
    box = Toolbox([place, describe])
    assert box.names == ("place", "describe")
    assert box.get("place").function is place
    assert box.get("none") is None
    assert [schema["function"]["name"] for schema in box.schemas] == ["place", "describe"]
    assert box.schemas is box.schemas


def test_importing_and_decorating_load_no_pydantic():
    program = (
        "import sys; from aimu.tools import tool, Toolbox\n"
        "@tool\ndef f(a: int): ...\n"
        "Toolbox([f]); assert not {'pydantic', 'pydantic_core'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[1], timeout=120)


# Dispatch


class Record:
    """What a caller records of one call, and on which threads."""

    def __init__(self):
        self.events = []
        self.threads = []

    def on_start(self):
        self.events.append("start")
        self.threads.append(threading.get_ident())

    def on_end(self, content):
        self.events.append(content)
        self.threads.append(threading.get_ident())

    async def run(self, function, arguments="{}", **options):
        made = function if isinstance(function, Tool) else as_tool(function)
        call = ToolCall("1", made.name, arguments)
        await Toolbox([made]).call(call, on_start=self.on_start, on_end=self.on_end, **options)
        return self.events


async def at_once(func):
    return func()


@tool
def whoami(n: int = 0) -> str:
    return f"{threading.get_ident()}"


@tool
async def whoami_async(n: int = 0) -> str:
    await anyio.lowlevel.checkpoint()
    return f"{threading.get_ident()}"


async def test_a_sync_tool_starts_runs_and_ends_in_one_worker_thread():
    record = Record()
    start, result = await record.run(whoami, '{"n": "1"}')
    assert start == "start"
    assert record.threads == [int(result)] * 2 != [threading.get_ident()] * 2


async def test_async_inline_and_event_loop_tools_run_on_this_thread():
    here = tool(name="here", on_event_loop=True)(lambda: threading.get_ident())
    for events in (
        await Record().run(whoami_async),
        await Record().run(whoami, in_thread=at_once),
        await Record().run(here),
    ):
        assert events == ["start", str(threading.get_ident())]


async def test_tools_see_the_context_variables_of_the_task():
    variable = contextvars.ContextVar("variable")
    variable.set("seen")
    for in_thread in (at_once, run_in_thread):
        assert (await Record().run(tool(name="get")(lambda: variable.get()), in_thread=in_thread))[1] == "seen"


@pytest.mark.parametrize("name", ["unknown", "whoami"])
async def test_a_call_that_cannot_be_made_is_told_to_the_model_and_never_started(name, caplog):
    record = Record()
    call = ToolCall("1", name, '{"n": "x"}')
    await Toolbox([whoami, whoami_async]).call(call, on_start=record.on_start, on_end=record.on_end)
    (told,) = record.events
    assert told.startswith("Error: ")
    assert ("whoami, whoami_async" if name == "unknown" else "- n: ") in told
    assert [entry.levelname for entry in caplog.records] == ["WARNING"]


def failing(error):
    def fail() -> str:
        raise error

    async def fail_async() -> str:
        raise error

    return [fail, fail_async]


@pytest.mark.parametrize("kind", [0, 1], ids=["sync", "async"])
async def test_an_exception_is_the_result_and_its_traceback_is_logged(kind, caplog):
    events = await Record().run(failing(KeyError("row"))[kind])
    assert events == ["start", "Error: KeyError: 'row'"]
    (entry,) = caplog.records
    assert (entry.name, entry.levelno) == ("aimu.tools", logging.WARNING)
    assert entry.exc_info[1].__traceback__ is not None


async def test_an_exception_group_of_one_is_told_as_that_one():
    async def fan() -> None:
        async with anyio.create_task_group() as outer, anyio.create_task_group():
            outer.start_soon(failing(OSError("down"))[1])
            await anyio.sleep_forever()

    assert (await Record().run(fan))[1] == "Error: OSError: down"


@pytest.mark.parametrize("kind", [0, 1], ids=["sync", "async"])
@pytest.mark.parametrize("grouped", [False, True])
async def test_an_exception_named_in_raises_is_recorded_and_ends_the_run(kind, grouped):
    record, error = Record(), PermissionError("no")
    function = failing(ExceptionGroup("one", [error]) if grouped else error)[kind]
    with pytest.raises(PermissionError) as caught:
        await record.run(tool(raises=OSError)(function))
    assert caught.value is error
    assert record.events == ["start", "Error: PermissionError: no"]


@pytest.mark.parametrize("kind", [0, 1], ids=["sync", "async"])
async def test_a_base_exception_passes_and_is_no_result(kind):
    class Stop(BaseException):
        pass

    record = Record()
    with pytest.raises(Stop):
        await record.run(failing(Stop())[kind])
    assert record.events == ["start"]


async def test_an_async_tool_is_stopped_at_its_timeout_and_the_model_is_told():
    cleaned = []

    @tool(timeout=0.01)
    async def slow() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.append(1)

    start, told = await Record().run(slow)
    assert (start, cleaned) == ("start", [1])
    assert "did not end within 0.01 seconds" in told


async def test_a_timeout_error_of_the_tool_itself_is_its_own():
    @tool(timeout=60)
    async def slow() -> None:
        raise TimeoutError("mine")

    assert (await Record().run(slow))[1] == "Error: TimeoutError: mine"


async def test_a_sync_tool_that_overran_is_waited_for_and_its_result_kept():
    with Hold() as hold:

        @tool(timeout=0.2)
        def slow() -> str:
            hold()
            return "late"

        async with anyio.create_task_group() as group:

            async def release():
                await until(hold.reached.is_set)
                await anyio.sleep(0.3)
                hold.released.set()

            group.start_soon(release)
            assert await Record().run(slow) == ["start", "late"]


async def test_a_sync_tool_that_polls_is_stopped_at_its_timeout():
    @tool(timeout=0.01)
    def poll() -> None:
        while True:
            from_thread.check_cancelled()

    assert "did not end within" in (await Record().run(poll))[1]


async def test_an_awaitable_out_of_a_sync_function_is_awaited():
    @tool
    def indirect(n: int) -> Any:
        return whoami_async(n)

    assert await Record().run(indirect, '{"n": 1}') == ["start", str(threading.get_ident())]
    partial = functools.partial(whoami_async, n=1)
    assert (await Record().run(partial))[0] == "start"


async def test_what_a_generator_yields_is_a_list_async_or_not():
    closed = []

    @tool
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    @tool
    async def count_async(n: int) -> AsyncIterator[int]:
        try:
            for i in range(n):
                await checkpoint()
                yield i
        finally:
            closed.append(threading.get_ident())

    for function in (count, count_async):
        assert await Record().run(function, '{"n": 3}') == ["start", "[0, 1, 2]"]
    assert closed == [threading.get_ident()]


class Gate:
    def __init__(self):
        self.began, self.open = anyio.Event(), threading.Event()

    def wait(self) -> str:
        from_thread.run_sync(self.began.set)
        assert self.open.wait(10)
        return "kept"


async def test_a_sync_tool_that_runs_when_its_scope_is_cancelled_keeps_its_result():
    gate, record = Gate(), Record()
    async with anyio.create_task_group() as group:
        group.start_soon(record.run, gate.wait)
        await gate.began.wait()
        group.cancel_scope.cancel()
        gate.open.set()
    assert record.events == ["start", "kept"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_sync_tool_that_runs_at_a_native_cancel_keeps_its_result():
    gate, record = Gate(), Record()
    task = asyncio.create_task(record.run(gate.wait))
    await gate.began.wait()
    task.cancel()
    await anyio.wait_all_tasks_blocked()
    assert not task.done()
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert record.events == ["start", "kept"]


async def test_a_cancelled_tool_has_no_end():
    record = Record()

    async def forever() -> None:
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(record.run, forever)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert record.events == ["start"]


PARTS = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]


class Plain:
    def __str__(self):
        return "plain"


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ("text", "text"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ([], "[]"),
        ({"ä": (1, {2})}, '{"ä": [1, [2]]}'),
        (Color.RED, "red"),
        ([Color.RED], '["red"]'),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (Point(1.0, Tree("t")), '{"x": 1.0, "tree": {"name": "t", "children": [], "_depth": 0}, "tags": []}'),
        (Item(sku="a"), '{"sku": "a", "amount": 1}'),
        (Plain(), "plain"),
        ([Plain()], '["plain"]'),
        (PARTS, PARTS),
        ([{"type": "text"}], '[{"type": "text"}]'),
        ([{"type": "text", "text": 1}], '[{"type": "text", "text": 1}]'),
        ([{"type": "image_url", "image_url": {}}], '[{"type": "image_url", "image_url": {}}]'),
    ],
)
async def test_a_result_is_text_or_content_parts(result, content):
    assert await Record().run(tool(name="give")(lambda: result), in_thread=at_once) == ["start", content]
