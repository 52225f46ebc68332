"""The repository's forms and lint rules: valid files, and one list of rules for git and nox."""

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


@pytest.mark.parametrize("name", ["bug.yml", "feature.yml"])
def test_an_issue_form_has_what_github_requires_of_one(name):
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE" / name).read_text("utf8"))
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids)
    assert all(field["attributes"]["label"] for field in form["body"])
