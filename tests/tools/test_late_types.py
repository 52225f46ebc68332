"""Since Python 3.14, annotations without quotes may name what is defined later, or for type checkers alone."""

from __future__ import annotations

import sys
import textwrap
from typing import Any

import pytest

from aimu.tools import ToolSignatureError, as_tool

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="such a definition raises NameError before 3.14")


def module(source: str) -> dict[str, Any]:
    """Run a module, without this one's import of `annotations`."""
    names: dict[str, Any] = {"__name__": "late"}
    exec(compile(textwrap.dedent(source), "late.py", "exec", dont_inherit=True), names)
    return names


def test_types_may_be_defined_below_the_tool():
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
    for function, name in ((names["plan"], "Stop"), (names["Trip"]().add, "Stop"), (names["enclosing"](), "Bag")):
        assert name in as_tool(function).parameters["$defs"]
    checked = as_tool(names["plan"]).bind('{"stops": [{"city": "Oslo", "next": {"city": "Lima"}}]}')
    assert checked["stops"][0].next == names["Stop"]("Lima")


def test_a_type_that_is_never_defined_is_named():
    names = module("""
        from typing import TYPE_CHECKING
        from aimu.tools import tool

        if TYPE_CHECKING:
            from decimal import Decimal

        @tool
        def pay(amount: Decimal) -> int: ...

        @tool
        def pay_all(amounts: list[Decimal]) -> int: ...
    """)
    for name in ("pay", "pay_all"):
        with pytest.raises(
            ToolSignatureError, match=rf"late\.{name}: cannot resolve .*'Decimal'.*not under TYPE_CHECK"
        ):
            _ = as_tool(names[name]).parameters
