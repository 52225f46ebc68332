"""The tools of one conversation: their names, and invalid calls."""

from __future__ import annotations

import pytest

from aimu._core.reply import ToolCall
from aimu.errors import ToolNameClashError
from aimu.tools import Toolbox, tool
from tests.tools.record import Record, whoami, whoami_async
from tests.tools.samples import describe, place


def test_two_tools_with_the_same_name_are_refused_with_both_origins():
    other = tool(name="place")(lambda: 1)
    with pytest.raises(
        ToolNameClashError, match=r"function .*tools.samples.place.*function .*tools.test_toolbox.*<lambda>"
    ):
        Toolbox([place, other])


def test_a_toolbox_lists_its_tools_in_order():
    box = Toolbox([place, describe])
    assert box.names == ("place", "describe")
    assert box.get("place").function is place
    assert box.get("none") is None
    assert [schema["function"]["name"] for schema in box.schemas] == ["place", "describe"]
    assert box.schemas is box.schemas


@pytest.mark.parametrize("name", ["unknown", "whoami"])
async def test_an_invalid_call_is_sent_back_to_the_model_and_never_started(name, caplog):
    record = Record()
    call = ToolCall("1", name, '{"n": "x"}')
    await Toolbox([whoami, whoami_async]).call(call, on_start=record.on_start, on_end=record.on_end)
    (content,) = record.events
    assert content.startswith("Error: ")
    assert ("whoami, whoami_async" if name == "unknown" else "- n: ") in content
    assert [entry.levelname for entry in caplog.records] == ["WARNING"]
