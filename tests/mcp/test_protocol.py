"""Which protocol is spoken with servers that handle the question well or badly."""

import anyio
import pytest
from attrs import evolve

from aimu import aio
from aimu.aio._mcp.negotiation import attempts
from aimu.errors import InvalidOptionError, MCPConnectionError, MCPTimeoutError
from aimu.tools import MCPClient
from tests.mcp.conftest import tiny, wild


def handshakes(log):
    """How each process of a server was greeted."""
    runs = log.read_text("utf8").split("start\n")[1:]
    return [[method for method in run.split() if method in ("server/discover", "initialize")] for run in runs]


@pytest.mark.parametrize(
    ("behaviour", "options", "runs"),
    [
        ("exits", {}, [["server/discover"], ["initialize"]]),
        ("silent", {"timeout": 3}, [["server/discover", "initialize"]]),
        ("stuck", {"timeout": 3}, [["server/discover", "initialize"], ["initialize"]]),
        ("incomplete", {}, [["server/discover"], ["initialize"]]),
        ("modern", {}, [["server/discover"]]),
        ("exits", {"protocol": "legacy"}, [["initialize"]]),
        ("stuck", {"protocol": "legacy"}, [["initialize"]]),
        ("modern", {"protocol": "2026-07-28"}, [["server/discover"]]),
    ],
)
async def test_a_server_is_asked_in_a_way_that_it_survives(opened, children, tmp_path, behaviour, options, runs):
    log = tmp_path / "log"
    async with opened(config=wild(behaviour, log), **options) as client:
        assert await client.call_tool("echo", {"text": "here"}) == "here"
    assert handshakes(log) == runs
    assert children() == []


async def test_a_silent_server_is_not_waited_for_longer_than_the_probe(opened, monkeypatch):
    monkeypatch.setattr("aimu.aio._mcp.negotiation.PROBE", 0.2)
    with anyio.fail_after(9):  # the SDK's own probe takes 10 s
        async with opened(config=wild("silent")) as client:
            assert await client.call_tool("echo", {"text": "here"}) == "here"


async def test_a_server_that_is_known_to_speak_the_newest_protocol_may_take_its_time(opened, monkeypatch):
    monkeypatch.setattr("aimu.aio._mcp.negotiation.PROBE", 0.2)
    async with opened(config=wild("late"), protocol="2026-07-28") as client:
        assert await client.call_tool("echo", {"text": "here"}) == "here"


async def test_a_silent_server_of_the_newest_protocol_is_an_error_that_says_so(opened, monkeypatch):
    def shortened(*given):
        return [evolve(attempt, probe=0.2) for attempt in attempts(*given)]

    monkeypatch.setattr("aimu.aio._mcp.connection.attempts", shortened)
    with pytest.raises(MCPConnectionError, match=r"'wild': it gave no answer within 0.2 s \(command"):
        async with opened(config=wild("silent"), protocol="2026-07-28"):
            raise AssertionError("it is silent")


async def test_all_attempts_together_end_at_the_timeout(opened, children):
    with anyio.fail_after(9), pytest.raises(MCPTimeoutError, match="did not answer the handshake within 0.6 s"):
        async with opened(config=tiny("mute"), timeout=0.6):
            raise AssertionError("it never answers")
    assert children() == []


@pytest.mark.parametrize(
    ("behaviour", "protocol", "reason"),
    [
        ("modern", "legacy", "it refused the handshake: only 2026-07-28"),
        ("exits", "2026-07-28", "exited with status 1"),
        ("incomplete", "2026-07-28", "it speaks 2026-07-28 incompletely.*cacheScope"),
        ("refuses", "auto", "it refused the handshake: the licence of this server has expired"),
        ("old", "auto", "it refused the handshake: .*1999-01-01"),
    ],
)
async def test_a_refused_handshake_tells_the_reason_of_the_server(opened, children, behaviour, protocol, reason):
    with pytest.raises(MCPConnectionError, match=rf"(?s)'wild': .*{reason}") as caught:
        async with opened(config=wild(behaviour), protocol=protocol):
            raise AssertionError("it refuses")
    assert "SIGKILL" not in str(caught.value)
    assert children() == []


def test_a_sync_client_takes_the_same_options(tmp_path):
    log = tmp_path / "log"
    with MCPClient(config=wild("exits", log), protocol="legacy") as client:
        assert client.call_tool("echo", {"text": "here"}) == "here"
    assert handshakes(log) == [["initialize"]]


def test_options_are_checked():
    with pytest.raises(InvalidOptionError, match="protocol must be one of auto, legacy, 2026-07-28, got '2025-11-25'"):
        aio.MCPClient(config=tiny(), protocol="2025-11-25")
    with pytest.raises(InvalidOptionError, match="no option 'protocl'; did you mean 'protocol'"):
        MCPClient(config=tiny(), protocl="auto")
    with pytest.raises(InvalidOptionError, match="max_message_bytes must be a whole number of at least 1, got 0"):
        aio.MCPClient(config=tiny(), max_message_bytes=0)
