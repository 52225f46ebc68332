"""`help()` shows a true and useful docstring for every public name of both surfaces."""

import ast
import inspect
import re
import textwrap
from enum import Enum

import pytest

import aimu
from aimu import aio
from tests.sync.test_parity import NOT_MADE_BY_USERS, PAIRS

ASYNC_WORDS = re.compile(r"(?i)\bawait|\basync (with|for)\b|\baclose|coroutine|event loop|__a(enter|exit|iter|next)")
SURFACES = {f"{name}-{'async' if side == 0 else 'sync'}": PAIRS[name][side] for name in PAIRS for side in (0, 1)}


def texts(thing, name):
    """The docstrings of a name and of its public members."""
    yield name, inspect.getdoc(thing)
    if isinstance(thing, type):
        for member in dir(thing):
            value = getattr(thing, member)
            described = inspect.isroutine(value) or inspect.isdatadescriptor(value)
            if described and not member.startswith("_"):
                yield f"{name}.{member}", inspect.getdoc(value)


@pytest.mark.parametrize("name", SURFACES)
def test_every_public_name_has_its_own_docstring(name):
    for where, text in texts(SURFACES[name], name):
        assert text, where


@pytest.mark.parametrize("name", [name for name, (there, here) in PAIRS.items() if there is not here])
def test_docstrings_of_the_sync_surface_have_no_async_words(name):
    for where, text in texts(PAIRS[name][1], name):
        assert not ASYNC_WORDS.search(text), f"{where}: {text}"


@pytest.mark.parametrize("name", PAIRS)
def test_both_surfaces_document_the_same_members(name):
    there, here = ({where for where, _ in texts(thing, name)} for thing in PAIRS[name])
    assert {where.replace(".aclose", ".close") for where in there} <= here


@pytest.mark.parametrize("name", [name for name in PAIRS if name not in NOT_MADE_BY_USERS])
def test_each_parameter_is_described(name):
    for thing in PAIRS[name]:
        if isinstance(thing, type) and issubclass(thing, Enum):
            continue
        bases = inspect.getmro(thing)[1:3] if isinstance(thing, type) else ()
        described = "\n".join(inspect.getdoc(kind) or "" for kind in (thing, *bases))
        for parameter in inspect.signature(thing).parameters:
            assert re.search(rf"^    (\*\*)?{parameter}: ", described, re.MULTILINE), f"{name}: {parameter}"


def test_a_field_has_the_text_of_its_class_docstring():
    for surface in (aio, aimu.agents):
        assert inspect.getdoc(surface.Agent.max_iterations).startswith(
            "The number of model requests of a run that may call tools"
        )
        assert inspect.getdoc(surface.SkillAgent.max_iterations) == inspect.getdoc(surface.Agent.max_iterations)
        assert inspect.getdoc(surface.Parallel.first).startswith("The number of answers to take")


@pytest.mark.parametrize("name", SURFACES)
def test_examples_are_code(name):
    text = inspect.getdoc(SURFACES[name])
    example = text.partition("Example:\n")[2]
    if example:
        code = textwrap.dedent(example.split("\n\n")[0])
        compile(code, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if name.endswith("async") else 0)
