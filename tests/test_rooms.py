"""A room imports only from rooms above it; asyncio and trio are named at the border only; no module is a hall."""

import ast
from pathlib import Path

import pytest

import aimu

ROOT = Path(aimu.__file__).parent
ROOMS = [
    "_doors",
    "errors",
    "core",
    "tools",
    "models",
    "providers",
    "engines",
    "skills",
    "evals",
    "aio",
    "_sync",
    "testing",
]
BORDER = {"_sync/bridge.py", "testing/_asyncio.py", "testing/_trio.py"}
# Re-exports of the sync facades, lazily: the one exemption.
DOORS = {"__init__.py", "agents.py", "aio/__init__.py", "models/__init__.py", "tools/__init__.py"}
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module, node


@pytest.mark.parametrize("path", FILES)
def test_a_room_imports_only_from_rooms_above_it(path):
    if path in DOORS:
        return
    room = path.split("/")[0].removesuffix(".py")
    assert room in ROOMS, f"{path} is in no room"
    for name, _ in imports(path):
        parts = name.split(".")
        if parts[0] == "aimu" and len(parts) > 1:
            assert ROOMS.index(parts[1]) <= ROOMS.index(room), f"{path} imports {name}"


@pytest.mark.parametrize("path", FILES)
def test_asyncio_and_trio_are_imported_at_the_border_only(path):
    if path in BORDER:
        return
    for name, _ in imports(path):
        assert name.split(".")[0] not in ("asyncio", "trio", "sniffio"), f"{path} imports {name}"


@pytest.mark.parametrize("path", FILES)
def test_a_module_says_first_what_it_owns(path):
    assert path.endswith("__main__.py") or ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf8"))), path


@pytest.mark.parametrize("path", FILES)
def test_a_room_has_one_logger_named_after_it(path):
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("getLogger"):
            assert ast.unparse(node) == f"logging.getLogger('aimu.{path.split('/')[0]}')"
