"""The architecture page: every file and every name that it mentions exists."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text("utf8")
CODE = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL))
DRAWN = re.findall(r"<br/>([\w/]+\.py)", PAGE)
FILES = sorted({text for text in [*CODE, *DRAWN] if re.fullmatch(r"[\w./-]*/[\w.-]*", text)})
NAMES = sorted(
    {text for text in CODE if re.fullmatch(r"(?!anyio)[A-Za-z]\w*(\.\w+)+", text) and text != "pyproject.toml"}
)


def defined():
    """Names by a module's last name (without its underscore) and by class: what the source defines there."""
    found = defaultdict(set)
    for path in (ROOT / "aimu").rglob("*.py"):
        tree = ast.parse(path.read_text("utf8"))
        module = path.parent.name if path.name == "__init__.py" else path.stem.lstrip("_")
        found[module] |= set(names(tree.body))
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                found[node.name] |= set(names(node.body))
    return found


def names(body):
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


DEFINED = defined()


@pytest.mark.parametrize("path", FILES)
def test_a_file_on_the_page_exists(path):
    assert (ROOT / "aimu" / path).exists() or (ROOT / path).exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_on_the_page_exists(name):
    *scopes, last = name.split(".")
    for scope, member in zip(scopes, [*scopes[1:], last], strict=True):
        assert member in DEFINED[scope], f"{scope} has no {member}"


def test_a_command_on_the_page_exists():
    modules = re.findall(r"python -m ([\w.]+)", PAGE)
    assert modules
    assert all((ROOT / f"{module.replace('.', '/')}.py").exists() for module in modules)


def test_the_page_names_enough_to_be_followed():
    assert len(FILES) > 10
    assert len(NAMES) > 30
