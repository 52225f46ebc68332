"""What the page that compares with other libraries says of aimu, tried on both backends."""

import re
from pathlib import Path

import pytest

from benchmarks.sides import works
from benchmarks.tried.__main__ import BEGIN, END, server
from benchmarks.tried.cases import CASES

PAGE = (Path(__file__).parents[1] / "docs/explanation/compared.md").read_text("utf8")
TABLE = re.findall(r"^\|.*$", PAGE.partition(BEGIN)[2].partition(END)[0], re.MULTILINE)


HEADS, *ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE if "---" not in line]


@pytest.fixture(scope="module")
def address():
    with server() as found:
        yield found


def test_the_page_has_every_case():
    assert ["library", *(case.__doc__ for case in CASES.values())] == HEADS


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_aimu_does_what_the_page_says(case, address):
    (ours,) = (row for row in ROWS if row[0] == "aimu")
    assert await case(works.load("aimu"), address) == ours[HEADS.index(case.__doc__)]
