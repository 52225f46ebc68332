"""The repository's forms and lint rules: valid files, and one list of rules for git and nox."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
HOOKS = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf8"))["repos"]
    for hook in repository["hooks"]
    if repository["repo"] == "local"
]


def test_every_hook_is_local_so_that_lint_runs_offline():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf8"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    assert {hook["language"] for hook in HOOKS} == {"system"}


def test_every_hook_looks_at_the_whole_checkout():
    for hook in HOOKS:
        assert hook["always_run"], hook
        assert not hook["pass_filenames"], hook


def test_nox_lint_runs_the_hooks_and_nothing_else():
    tree = ast.parse((ROOT / "noxfile.py").read_text("utf8"))
    (lint,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "lint")
    source = ast.unparse(lint)
    assert re.findall(r"session\.run\(.*\)", source) == ["session.run(*shlex.split(command))"]
    (pattern,) = re.findall(r"re\.findall\('(.+?)', rules", source)
    rules = (ROOT / ".pre-commit-config.yaml").read_text("utf8")
    assert re.findall(pattern, rules, re.MULTILINE) == [hook["entry"] for hook in HOOKS]


def test_the_lint_environment_has_what_the_hooks_run():
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["dependency-groups"]
    for hook in HOOKS:
        package = re.match(r"python -m ([\w-]+)", hook["entry"])[1]
        assert package == "aimu" or any(re.match(rf"{package}\b", line) for line in groups["lint"]), hook


@pytest.mark.parametrize("name", ["bug.yml", "feature.yml"])
def test_an_issue_form_has_what_github_requires_of_one(name):
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE" / name).read_text("utf8"))
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids)
    assert all(field["attributes"]["label"] for field in form["body"])
