"""Configs of servers as users write them."""

import json
from inspect import signature
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimu import aio
from aimu.aio._mcp.config import HTTPSpec, ProcessSpec, read_config, read_file
from aimu.errors import InvalidOptionError
from aimu.tools import serve_mcp
from aimu.types import MCPOptions
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


@pytest.mark.parametrize(
    ("server", "transport"),
    [
        ({"url": "https://x.org/mcp"}, None),
        ({"httpUrl": "https://x.org/mcp"}, None),
        ({"serverUrl": "https://x.org/mcp"}, None),
        ({"type": "HTTP", "url": "https://x.org/mcp"}, "http"),
        ({"type": "streamable-http", "url": "https://x.org/mcp"}, "http"),
        ({"transport": "streamableHttp", "url": "https://x.org/mcp"}, "http"),
        ({"type": "Streamable_HTTP", "url": "https://x.org/mcp"}, "http"),
        ({"type": "sse", "url": "https://x.org/mcp"}, "sse"),
        ({"type": "SSE", "serverUrl": "https://x.org/mcp", "enabled": True, "autoApprove": []}, "sse"),
    ],
)
def test_a_url_is_read_in_every_form(caplog, server, transport):
    [spec] = read_config({"mcpServers": {"x": server}})
    assert spec == HTTPSpec(name="x", url="https://x.org/mcp", transport=transport)
    assert caplog.messages == []


@pytest.mark.parametrize(
    "config",
    [
        {"servers": {"x": {"type": "stdio", "command": "y"}}, "inputs": []},
        {"mcp": {"servers": {"x": {"type": "STDIO", "command": "y"}}}},
        {"mcpServers": {"x": {"command": "y"}, "off": {"command": "z", "enabled": False}}},
        {"x": {"command": "y"}},
        {"mcp.servers": {"x": {"command": "y"}}, "editor.fontSize": 12},
        {"theme": "One", "context_servers": {"x": {"source": "custom", "command": "y", "args": [], "env": {}}}},
        {"context_servers": {"x": {"command": {"path": "y", "args": [], "env": None}, "settings": {}}}},
        {"$schema": "s", "mcp": {"x": {"type": "local", "command": ["y"], "enabled": True, "environment": {}}}},
    ],
)
def test_the_servers_are_found_in_every_form(config):
    assert read_config(config) == [ProcessSpec(name="x", command="y")]


def test_a_command_may_be_a_list_and_variables_may_have_any_simple_value():
    env = {"PORT": 8080, "RATE": 0.5, "DEBUG": True, "QUIET": False, "UNSET": None, "EMPTY": ""}
    [spec] = read_config({"x": {"command": ["npx", "-y", 7], "args": ["z"], "env": env}})
    assert (spec.command, spec.args) == ("npx", ("-y", "7", "z"))
    assert spec.env == {"PORT": "8080", "RATE": "0.5", "DEBUG": "true", "QUIET": "false", "EMPTY": ""}
    [spec] = read_config({"x": {"type": "remote", "url": " https://x.org/ ", "headers": {"A": 1, "B": None}}})
    assert spec == HTTPSpec(name="x", url="https://x.org/", headers={"A": "1"}, transport=None)


def test_servers_may_have_the_names_of_keys():
    assert read_config({"servers": {"command": "y"}, "mcp": {"command": "z"}}) == [
        ProcessSpec(name="servers", command="y"),
        ProcessSpec(name="mcp", command="z"),
    ]


def test_variables_and_home_folders_are_replaced(monkeypatch):
    monkeypatch.setenv("TOKEN", "abc")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("NONE", raising=False)
    asked = []

    def ask(name, description):
        asked.append((name, description))
        return f"<{name}>"

    config = {
        "inputs": [{"id": "key", "type": "promptString", "description": "Your key", "password": True}],
        "servers": {
            "x": {
                "command": "~/bin/x",
                "args": ["${env:TOKEN}", "~/docs", "a~/b", "${input:key}", "$TOKEN", "${userHome}/c", "${NONE:-}"],
                "cwd": "~",
                "env": {"A": "${input:key}", "B": "${env:NONE:-b}"},
            }
        },
    }
    [spec] = read_config(config, ask)
    assert spec.command == "/home/me/bin/x"
    assert spec.args == ("abc", "/home/me/docs", "a~/b", "<key>", "$TOKEN", "/home/me/c", "")
    assert spec.cwd == "/home/me"
    assert spec.env == {"A": "<key>", "B": "b"}
    assert asked == [("key", "Your key")]
    [same] = read_config(config, {"key": "k"})
    assert same.env["A"] == "k"


def test_variables_of_editors_and_in_defaults_are_replaced(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", "abc")
    monkeypatch.delenv("NONE", raising=False)
    texts = ["${workspaceFolder}${/}a", "${cwd}${pathSeparator}a", "${NONE:-${TOKEN}}", "${NONE:-x${TOKEN}y${NONE:-z}}"]
    [spec] = read_config({"x": {"command": "y", "args": [*texts, "${input:i:-${TOKEN}}"]}})
    assert spec.args == (str(tmp_path / "a"), str(tmp_path / "a"), "abc", "xabcyz", "abc")


def test_comments_trailing_commas_and_a_byte_order_mark_are_read(tmp_path):
    file = tmp_path / "mcp.json"
    text = """\ufeff{
      // the servers
      "mcpServers": {
        "x": {"command": "y" /* why */, "args": ["// no, /* no */", "a\\"//",], },
      }, // the end
    }"""
    file.write_bytes(text.encode())
    assert read_file(file) == [ProcessSpec(name="x", command="y", args=("// no, /* no */", 'a"//'))]
    file.write_text('{\n  // a\n  "x": ]\n}')
    with pytest.raises(InvalidOptionError, match="line 3 column 8"):
        read_file(file)


async def test_bad_servers_are_left_out_with_a_warning(opened, caplog, children):
    config = {
        "good": tiny()["mcpServers"]["tiny"],
        "typo": {"comand": "x"},
        "missing": {"command": "no-such-server"},
        "unset": {"command": "${NO_SUCH_VARIABLE}"},
        "down": {"url": "http://127.0.0.1:9/mcp"},
    }
    async with opened(config=config, on_error="skip", prefix=False) as client:
        assert await client.call_tool("echo", {"text": "hi"}) == "hi"
        assert len(await client.get_tools()) == 11
    for name, reason in {"typo": "give either", "missing": "not found", "unset": "not set", "down": "reached"}.items():
        assert any(f"left out: MCP server '{name}'" in text and reason in text for text in caplog.messages), name
    assert children() == []
    with pytest.raises(InvalidOptionError, match="'typo'"):
        aio.MCPClient(config=config)


async def test_no_server_may_be_left(opened):
    async with opened(config={"missing": {"command": "no-such-server"}}, on_error="skip") as client:
        assert await client.get_tools() == []
        with pytest.raises(InvalidOptionError, match="no MCP server has a tool 'echo'"):
            await client.call_tool("echo")


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
        ({"a": {"url": "http://x", "httpUrl": "http://x"}}, "give either"),
        ({"a": {"url": "http://x", "type": "stdio"}}, "'stdio' does not match; type must be 'stdio' with 'command'"),
        ({"a": {"command": "x", "type": "SSE"}}, "'SSE' does not match"),
        ({"a": {"url": "http://x", "type": "ws"}}, "'ws' does not match"),
        ({"a": {"url": "ftp://x"}}, "http://"),
        ({"a": {"command": []}}, "'command' must be a string"),
        ({"a": {"command": ["x", []]}}, "'args' must be a list of strings"),
        ({"a": {"command": {"args": ["x"]}}}, "give either 'command'"),
        ({"a": {"command": "x", "args": "y"}}, "'args' must be a list of strings"),
        ({"a": {"command": "x", "env": {"y": []}}}, "'env' must be an object of strings"),
        ({"mcpServers": {"_about": "mine", "x": {"command": "y"}}}, "'_about': it must be an object with 'command' or"),
        ({"mcpServers": {"a": None}}, "'a': it must be an object with 'command' or 'url'"),
        ({"a": {"command": "x", "disabled": "true"}}, "'a': 'disabled' must be true or false"),
        ({"a": {"url": "https://"}}, "'a': its url has no host"),
        ({"a": {"url": "https://me:secret@[::1/x"}}, "'a': its url is not valid; correct its host and port"),
        ({"a": {"url": "https://x:secret/"}}, "'a': its url is not valid; correct its host and port"),
        (
            {"a": {"url": "https://x", "headers": {"K": "secret\n"}}},
            "its header 'K' must be one line of printable ASCII",
        ),
        ({"a": {"url": "https://x", "headers": {"K": "sécret"}}}, "its header 'K' must be one line of printable ASCII"),
        ({"a": {"command": "${NO_SUCH_VARIABLE}"}}, "'a': the environment variable NO_SUCH_VARIABLE is not set"),
        ({"a": {"command": "${env:NO_SUCH_VARIABLE}"}}, "'a': the environment variable NO_SUCH_VARIABLE is not set"),
        ({"a": {"command": "x", "args": ["${input:token}"]}}, "'a': it asks for the input 'token'; pass inputs="),
        ({"a": {"command": "x", "cwd": "${work space}"}}, "'a': the variable ${work space} is unknown"),
    ],
)
def test_an_invalid_config_is_refused_with_the_reason(config, reason):
    with pytest.raises(InvalidOptionError) as caught:
        read_config(config)
    assert reason in str(caught.value)
    for word in ("secret", "sécret"):
        assert word not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InvalidOptionError, match="cannot be read: No such file"):
        read_file(tmp_path / "none")
    (tmp_path / "utf16").write_text('{"x": {"command": "é"}}', encoding="utf-16")  # as PowerShell writes it
    assert read_file(tmp_path / "utf16") == [ProcessSpec(name="x", command="é")]
    (tmp_path / "latin").write_text('{"x": {"command": "é"}}', encoding="latin-1")
    with pytest.raises(InvalidOptionError, match="is not UTF-8 at byte 19; save it as UTF-8"):
        read_file(tmp_path / "latin")
    (tmp_path / "bad").write_text("{", encoding="utf8")
    with pytest.raises(InvalidOptionError, match="is not JSON"):
        aio.MCPClient(file=str(tmp_path / "bad"))


def test_an_unknown_key_is_warned_about(caplog):
    read_config({"a": {"command": "x", "comand": 3}})
    assert "'a': unknown key 'comand' in its config is ignored; did you mean 'command'?" in caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["command", "args", "env", "url", "headers", "cwd", "type", "servers", "mcp", "inputs"]),
            inner,
        )
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


def test_the_documentation_has_every_option():
    page = (Path(__file__).parents[2] / "docs/mcp.md").read_text("utf8")
    options = [*MCPOptions.__annotations__, "config", "server", "file", "reconnect", "timeout"]
    options += [name for name in signature(serve_mcp).parameters if name != "tools_or_agent"]
    assert [name for name in options if f"{name}=" not in page] == []
