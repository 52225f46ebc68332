"""Types that a module defines below its tools, or for type checkers alone: in quotes, or since Python 3.14 without."""

from __future__ import annotations

import sys
import textwrap
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from aimu.aio._serve.output import Output
from aimu.tools import ToolSignatureError, as_tool

SINCE_3_14 = [] if sys.version_info < (3, 14) else ["evaluated late"]


@pytest.fixture(params=["quoted", *SINCE_3_14])
def module(request, monkeypatch):
    """Runs the source of a module."""
    head = "from __future__ import annotations\n" if request.param == "quoted" else ""

    def module(source: str) -> dict[str, Any]:
        made = ModuleType("late")
        monkeypatch.setitem(sys.modules, "late", made)
        exec(compile(head + textwrap.dedent(source), "late.py", "exec", dont_inherit=True), made.__dict__)
        return made.__dict__

    module.quoted = request.param == "quoted"
    return module


def test_types_may_be_defined_below_the_tool(module):
    names = module("""
        from dataclasses import dataclass
        from aimu.tools import tool

        @tool
        def plan(stops: list[Stop], back: Stop | None = None) -> Stop:
            return stops[0]

        class Trip:
            @tool
            def add(self, stop: Stop) -> Trip: ...

        def enclosing():
            @tool
            def count(bags: list[Bag]) -> int: ...

            @dataclass
            class Bag:
                weight: float

            return count

        @dataclass
        class Stop:
            city: str
            next: Stop | None = None
    """)
    assert "Stop" in as_tool(names["Trip"]().add).parameters["$defs"]
    checked = as_tool(names["plan"]).bind('{"stops": [{"city": "Oslo", "next": {"city": "Lima"}}]}')
    assert checked["stops"][0].next == names["Stop"]("Lima")
    if not module.quoted:  # a name in quotes means one of the module
        assert "Bag" in as_tool(names["enclosing"]()).parameters["$defs"]


def test_a_type_that_is_never_defined_is_named_unless_no_model_fills_it(module):
    names = module("""
        from typing import TYPE_CHECKING, TypedDict
        from aimu.tools import tool

        if TYPE_CHECKING:
            from decimal import Decimal

        class Receipt(TypedDict):
            number: int

        @tool
        def pay(amount: Decimal) -> int: ...

        @tool
        def pay_all(amounts: list[Decimal]) -> int: ...

        def count(account: Decimal, times: int) -> Receipt: ...
    """)
    for name in ("pay", "pay_all"):
        with pytest.raises(
            ToolSignatureError, match=rf"late\.{name}: cannot resolve .*Decimal.*not under TYPE_CHECKING"
        ):
            _ = as_tool(names[name]).parameters
    bound = partial(names["count"], account=None)
    assert list(as_tool(bound).parameters["properties"]) == ["times"]
    assert Output.of(bound).schema["required"] == ["number"]
