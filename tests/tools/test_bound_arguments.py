"""Arguments that the user binds to a tool: the model neither sees nor overrides them."""

from __future__ import annotations

import functools
import json
from functools import partial, partialmethod

import pytest

from aimu.errors import ToolArgumentsError, ToolSignatureError
from aimu.tools import Tool, as_tool, tool
from tests.tools.record import Record

SECRET = "sk-bound"


def read(root: str, path: str, lines: int = 3) -> str:
    """Read a file.

    Args:
        root: The folder.
        path: The file.
    """
    return f"{len(root)} {path} {lines}"


def untyped(root, path: str) -> str:
    return f"{len(root)} {path} 3"


def positional(root: str, /, path: str) -> str:
    return f"{len(root)} {path} 3"


async def read_async(root: str, path: str) -> str:
    return f"{len(root)} {path} 3"


class Disk:
    def read(self, root: str, path: str) -> str:
        return f"{len(root)} {path} 3"

    @classmethod
    def of_class(cls, root: str, path: str) -> str:
        return f"{len(root)} {path} 3"

    read_bound = partialmethod(read, root=SECRET)
    read_first = partialmethod(read, SECRET)


def wrapped(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def updated(function):
    return functools.update_wrapper(function, function.func)


BOUND = {
    "keyword": partial(read, root=SECRET),
    "position": partial(read, SECRET),
    "untyped": partial(untyped, root=SECRET),
    "untyped position": partial(untyped, SECRET),
    "positional-only": partial(positional, SECRET),
    "async": partial(read_async, root=SECRET),
    "method": partial(Disk().read, root=SECRET),
    "method position": partial(Disk().read, SECRET),
    "unbound method": partial(Disk.read, Disk(), root=SECRET),
    "class method": partial(Disk.of_class, root=SECRET),
    "partialmethod": Disk().read_bound,
    "partialmethod position": Disk().read_first,
    "partial of a partial": partial(partial(read, root=SECRET), lines=3),
    "overridden": partial(partial(read, root="other"), root=SECRET),
    "named": updated(partial(read, root=SECRET)),
    "named position": updated(partial(read, SECRET)),
    "partial of a named one": partial(updated(partial(read, SECRET)), lines=3),
    "wrapped": wrapped(partial(read, root=SECRET)),
    "partial of a wrapper": partial(wrapped(read), root=SECRET),
    "wrapped and named": wrapped(updated(partial(read, SECRET))),
}


@pytest.mark.parametrize("name", BOUND)
async def test_the_model_neither_sees_nor_overrides_a_bound_argument(name):
    made = as_tool(BOUND[name])
    properties = made.parameters["properties"]
    assert properties.keys() <= {"path", "lines"}
    assert made.parameters["required"] == ["path"]
    assert SECRET not in json.dumps(made.schema) + repr(made)
    assert await Record().run(made, '{"path": "a"}') == ["start", f"{len(SECRET)} a 3"]
    refused = await Record().run(made, '{"path": "a", "root": "/"}')
    assert "- root: no such argument; known arguments: path" in refused[0]
    assert SECRET not in refused[0]


async def test_a_bound_argument_is_closed_also_where_the_schema_is_given():
    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    made = Tool(name="read", function=BOUND["keyword"], description="", parameters=schema)
    assert await Record().run(made, '{"path": "a"}') == ["start", f"{len(SECRET)} a 3"]
    refused = await Record().run(made, '{"path": "a", "root": "/"}')
    assert "- root: no such argument; known arguments: path" in refused[0]
    with pytest.raises(ToolArgumentsError, match="root: no such"):
        Tool(name="r", function=BOUND["position"], description="", parameters=schema).bind('{"path": "", "root": ""}')


def test_a_given_schema_with_a_bound_argument_is_refused():
    schema = {"type": "object", "properties": {"root": {}, "path": {}}}
    with pytest.raises(ToolSignatureError, match="'root', which the function has bound already"):
        Tool(name="read", function=BOUND["keyword"], description="", parameters=schema)


def test_a_partial_of_a_marked_function_keeps_the_options_of_the_mark():
    @tool(name="open", timeout=5)
    def marked(root: str, path: str) -> str:
        return path

    made = as_tool(partial(partial(marked, root=SECRET)))
    assert (made.name, made.timeout) == ("open", 5)
    assert list(made.parameters["properties"]) == ["path"]
    assert made.function(path="a") == "a"


@pytest.mark.parametrize("bad", [partial(int, SECRET), partial(read, SECRET, "", 1, 2), partial(print, end=SECRET)])
def test_an_error_about_a_partial_shows_no_bound_value(bad):
    with pytest.raises(ToolSignatureError) as caught:
        as_tool(bad)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("make", [lambda f: partial(f, key=SECRET), lambda f: wrapped(partial(f, SECRET))])
async def test_the_text_of_a_tools_exception_shows_the_model_no_bound_value(make):
    def fetch(key: str, page: int) -> str:
        raise LookupError(f"GET /?key={key}&page={page} gave 404")

    assert await Record().run(make(fetch), '{"page": 2}') == [
        "start",
        "Error: LookupError: GET /?key=***&page=2 gave 404",
    ]
    assert await Record().run(partial(fetch, key="page"), '{"page": 2}') == [
        "start",
        "Error: LookupError: GET /?key=page&page=2 gave 404",
    ]
