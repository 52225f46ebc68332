"""Configs of servers as users write them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimu import aio
from aimu.aio._mcp.config import HTTPSpec, ProcessSpec, read_config, read_file
from aimu.errors import InvalidOptionError
from tests.mcp.conftest import tiny


def test_a_config_in_the_usual_json_is_read(monkeypatch):
    monkeypatch.setenv("TOKEN", "abc")
    monkeypatch.setenv("EMPTY", "")
    config = {
        "mcpServers": {
            "git": {
                "command": "uvx",
                "args": ["mcp-server-git", "--port", 7],
                "env": {"A": "${EMPTY:-b}"},
                "cwd": "/tmp",
            },
            "web": {"type": "http", "url": "https://x.org/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}},
            "off": {"command": "x", "disabled": True},
        }
    }
    assert (
        read_config(config)
        == read_config(config["mcpServers"])
        == [
            ProcessSpec(name="git", command="uvx", args=("mcp-server-git", "--port", "7"), env={"A": "b"}, cwd="/tmp"),
            HTTPSpec(name="web", url="https://x.org/mcp", headers={"Authorization": "Bearer abc"}),
        ]
    )


async def test_a_file_connects_as_its_config_does(opened, tmp_path):
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps(tiny()), encoding="utf8")
    async with opened(file=file) as client:
        assert await client.call_tool("echo", {"text": "hi"}) == "hi"


def test_the_repr_of_a_config_shows_no_secrets():
    config = {
        "a": {"command": "x", "env": {"KEY": "secret"}},
        "b": {"url": "https://me:secret@x.org/mcp?key=secret", "headers": {"Authorization": "secret"}},
    }
    specs = read_config(config)
    assert "secret" not in repr(specs) + repr(aio.MCPClient(config=config)) + "".join(spec.place for spec in specs)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ([], '{"mcpServers"'),
        ({"command": "x"}, '{"mcpServers"'),
        ({"mcpServers": {}}, "the MCP config has no enabled server; add one under 'mcpServers'"),
        ({"a": {"command": None}}, "'a': give either 'command'"),
        ({"a": {"command": "x", "url": "http://x"}}, "give either"),
        ({"a": {"url": "http://x", "type": "sse"}}, "'type' does not match; it must be 'stdio' with 'command'"),
        ({"a": {"url": "ftp://x"}}, "http://"),
        ({"a": {"command": ["x"]}}, "'command' must be a string"),
        ({"a": {"command": "x", "args": "y"}}, "'args' must be a list of strings"),
        ({"a": {"command": "x", "env": {"y": None}}}, "'env' must be an object of strings"),
        ({"a": {"command": "${NO_SUCH_VARIABLE}"}}, "'a': the environment variable NO_SUCH_VARIABLE is not set"),
    ],
)
def test_an_invalid_config_is_refused_with_the_reason(config, reason):
    with pytest.raises(InvalidOptionError) as caught:
        read_config(config)
    assert reason in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InvalidOptionError, match="cannot be read: No such file"):
        read_file(tmp_path / "none")
    (tmp_path / "bad").write_text("{", encoding="utf8")
    with pytest.raises(InvalidOptionError, match="is not JSON"):
        aio.MCPClient(file=str(tmp_path / "bad"))


def test_an_unknown_key_is_warned_about(caplog):
    read_config({"a": {"command": "x", "timeuot": 3}})
    assert "'a': unknown key 'timeuot'" in caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["command", "args", "env", "url", "headers", "cwd", "type", "x"]), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_any_json_is_read_or_refused(config):
    try:
        specs = read_config(config)
    except InvalidOptionError:
        return
    assert specs
    for spec in specs:
        assert isinstance(spec, ProcessSpec | HTTPSpec)
        assert spec.place
