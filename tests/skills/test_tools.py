"""The tools that models get, and the MCP server that offers the same."""

import sys
from inspect import getdoc, signature
from pathlib import Path

import pytest

from aimu.errors import MissingExtraError, SkillError
from aimu.skills import Skill, SkillManager, skill_tools, skills_server
from aimu.skills._tools import activated
from tests.skills.written import put, write


def tools_of(skills):
    return {tool.__name__: tool for tool in skill_tools(skills)}


def many(root, count=60):
    for number in range(count):
        write(root, f"skill-{number:02}", header=f"description: Number {number}. {'Does many things. ' * 30}")
    return SkillManager(root)


def test_the_tools_activate_list_and_read_and_say_what_they_do(bundle):
    tools = tools_of(SkillManager(bundle.folder.parent))
    assert tools["activate_skill"]("pdf").startswith("Do it.\n")
    assert tools["list_skill_files"]("pdf") == bundle.files()
    assert tools["read_skill_file"]("pdf", "scripts/run.py") == "print()"
    assert "binary file of 5 bytes" in tools["read_skill_file"]("pdf", "logo.png")
    with pytest.raises(SkillError, match="outside"):
        tools["read_skill_file"]("pdf", "../secret")
    assert list(tools) == ["activate_skill", "list_skill_files", "read_skill_file"]


def test_an_activated_skill_says_where_it_is_and_what_comes_with_it(bundle):
    assert activated(bundle) == (
        "Do it.\n\n---\n"
        f"The folder of this skill is {bundle.folder}; relative paths above are relative to it.\n"
        'Files in it, which read_skill_file("pdf", path) reads:\n- logo.png\n- same\n- scripts/run.py'
    )


def test_an_activated_skill_tells_what_it_needs(tmp_path):
    text = "---\nname: pdf\ndescription: d\ncompatibility: needs\n  poppler\nallowed-tools: Read Bash(pdftk *)\n---\n"
    shown = activated(Skill.load(put(tmp_path, text)))
    assert shown.startswith("---\nThe folder")
    assert shown.endswith("Compatibility: needs poppler\nTools that its author allows: Read Bash(pdftk *)")


def test_a_long_list_of_files_is_cut_and_says_so(tmp_path):
    folder = write(tmp_path)
    for number in range(1_001):
        (folder / f"{number:04}.txt").write_text("x")
    tools = tools_of(SkillManager(tmp_path))
    text = tools["activate_skill"]("pdf").splitlines()
    assert sum(line.startswith("- ") for line in text) == 50
    assert text[-1] == "There are more than these 50; list_skill_files lists them."
    listed = tools["list_skill_files"]("pdf")
    assert (len(listed), listed[-1]) == (1_001, "(there are more than these 1000)")


def test_a_search_is_among_the_tools_of_a_shortened_catalog(tmp_path):
    tools = tools_of(many(tmp_path))
    assert list(tools) == ["activate_skill", "list_skill_files", "read_skill_file", "search_skills"]
    found = tools["search_skills"]("number 37").splitlines()
    assert found[0].startswith("- skill-37: Number 37. Does many things.")
    assert len(found) == 10
    assert all(len(line) <= 600 for line in found)
    assert tools["search_skills"]("zebra") == "None of the 60 skills has these words. Try other words for the task."
    for tool in tools.values():
        assert all(f"{parameter}:" in getdoc(tool) for parameter in signature(tool).parameters)


async def test_an_mcp_server_offers_the_same_tools_and_the_catalog(bundle):
    skills = SkillManager(bundle.folder.parent)
    server = skills_server(skills)
    assert [tool.name for tool in await server.list_tools()] == [
        "activate_skill",
        "list_skill_files",
        "read_skill_file",
    ]
    assert server.instructions == skills.catalog()
    result = await server.call_tool("activate_skill", {"name": "pdf"})
    assert result.content[0].text == activated(bundle)


async def test_an_mcp_server_of_many_skills_searches(tmp_path):
    server = skills_server(many(tmp_path))
    result = await server.call_tool("search_skills", {"query": "number 7"})
    assert "- skill-07:" in result.content[0].text


def test_without_fastmcp_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastmcp", None)
    with pytest.raises(MissingExtraError, match=r"\[mcp\]"):
        skills_server(SkillManager(Path()))
