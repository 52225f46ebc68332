"""The generator makes the sync twins follow changes of the async classes, and refuses what does not fit."""

import ast
import shutil
from pathlib import Path

import pytest

import aimu
from aimu._tools import docstring_words, sync_twins

NEW_METHOD = '''
    async def prepare(self, client: AsyncBaseModelClient, *, wait: float = 1.0) -> list[Agent]:
        """Get what an async runner needs."""
'''


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """Generates the twins of a changed copy of `aimu.aio`."""
    shutil.copytree(Path(aimu.__file__).parent / "aio", tmp_path / "aimu" / "aio")
    monkeypatch.setattr(sync_twins, "ROOT", tmp_path)

    def generate(file, *changes):
        path = tmp_path / "aimu" / "aio" / file
        text = path.read_text(encoding="utf8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path.write_text(text, encoding="utf8")
        return {path.stem: text for path, text in sync_twins.files().items()}

    return generate


def test_the_generator_makes_twins_of_a_new_field_and_a_new_method(changed):
    made = changed(
        "_workflows/chain.py",
        ("\n    Raises:", "        spare: An async runner.\n\n    Raises:"),
        ('    name: str = "chain"\n', '    name: str = "chain"\n    spare: AsyncRunner | None = None\n'),
        ("    def _parts", f"{NEW_METHOD}\n    def _parts"),
    )
    [twin] = [node for node in ast.parse(made["workflows"]).body if getattr(node, "name", "") == "Chain"]
    functions = {node.name: ast.unparse(node) for node in twin.body if isinstance(node, ast.FunctionDef)}
    assert "spare: Runner | None=None" in functions["__init__"]
    assert "AsyncChain(aio_of(agents), name, aio_of(spare))" in functions["__init__"]
    assert "self.__aio__.spare = aio_of(value)" in functions["spare"]
    assert '"""A runner."""' in made["workflows"]
    assert functions["prepare"].splitlines() == [
        "def prepare(self, client: BaseModelClient, *, wait: float=1.0) -> list[Agent]:",
        '    """Get what a runner needs."""',
        "    result: list[Agent] = sync_of(bridge.run(self.__aio__.prepare(aio_of(client), wait=wait)))",
        "    return result",
    ]


def test_the_generator_refuses_a_member_without_a_docstring(changed):
    with pytest.raises(ValueError, match="prepare.* has no docstring"):
        changed("_workflows/chain.py", ("    def _parts", "    def prepare(self) -> None: ...\n\n    def _parts"))


def test_the_generator_refuses_async_words_in_sync_docstrings(changed):
    with pytest.raises(ValueError, match="'coroutine'"):
        changed("_workflows/chain.py", ("Run agents one after another", "Make a coroutine of agents"))


def test_the_generator_refuses_a_rewording_of_a_missing_sentence(changed):
    with pytest.raises(ValueError, match="no docstring says any longer: An awaitable"):
        changed("_runner.py", ("An awaitable of the answer", "Something else"))


ASYNC_TEXT = """Open an async client.

- An async iterator
  of items.

Args:
    first: A word.
    second: What a function returns that is called with the arguments of an AsyncRunner, then `await it.aclose()`.

Example:
    async with aio.client("x") as client:
        print(await client.chat("?"))  # AsyncClient
"""
SYNC_TEXT = """Open a client.

- An iterator of items.

Args:
    first: A word.
    second: What a function returns that is called with the arguments of a Runner, then `it.close()`.

Example:
    with aimu.client("x") as client:
        print(client.chat("?"))  # Client
"""


def test_a_docstring_keeps_its_shape():
    words = docstring_words.Words({"client": "aimu.client"})
    assert words.docstring(ASYNC_TEXT, 4) + "\n" == SYNC_TEXT
    assert not words.problems
