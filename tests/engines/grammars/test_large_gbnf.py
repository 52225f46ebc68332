"""A GBNF grammar is translated in time linear in its length, up to a megabyte, whatever it has many of."""

import pytest

from aimu.engines._grammars.gbnf import lark_of
from tests.test_linear_readers import FACTOR, growth_to_the_largest

pytestmark = pytest.mark.usefixtures("uncollected")


def lines(size, length, line):
    """Return so many lines that they have about `size` characters; each has about `length`."""
    return "\n".join(line(number) for number in range(size // length))


GRAMMARS = {
    "references": lambda size: 'root ::= "x" z | "y"\na ::= "(" a ")" | "b"\nz ::=' + " a" * (size // 2),
    "rules that refer to themselves": lambda size: (
        "root ::= " + " ".join(f"r{n}" for n in range(size // 40)) + "\n"
        + lines(size, 40, lambda n: f'r{n} ::= "a" | "(" r{n} ")"')
    ),
    "rules": lambda size: (
        "root ::= " + " | ".join(f"r{n}" for n in range(size // 30)) + "\n"
        + lines(size, 30, lambda n: f'r{n} ::= "w{n}"')
    ),
    "rules in a ring": lambda size: (
        "root ::= r0\n" + lines(size, 22, lambda n: f'r{n} ::= "a" r{n + 1}') + f'\nr{size // 22} ::= "b" | "c" root'
    ),
    "rules in the other order": lambda size: (
        lines(size, 22, lambda n: f'r{n + 1} ::= "a" r{n} | root') + f'\nr0 ::= "b"\nroot ::= "c" r{size // 22} | "d"'
    ),
    "rules that one needs, the last of them first": lambda size: (
        "root ::= " + " ".join(f"r{n}" for n in range(size // 40)) + "\n"
        + lines(size, 40, lambda n: f'r{size // 40 - 1 - n} ::= "a" | "(" r{size // 40 - 1 - n} ")"')
    ),
    "words": lambda size: 'root ::= x | "(" root ")"\nx ::= ' + " | ".join(f'"w{n}"' for n in range(size // 10)),
}  # fmt: skip
IN_SUITE = ("references", "rules", "rules that one needs, the last of them first")


@pytest.mark.parametrize(
    "kind", [kind if kind in IN_SUITE else pytest.param(kind, marks=pytest.mark.exhaustive) for kind in GRAMMARS]
)
def test_a_grammar_of_a_megabyte_is_translated_in_linear_time(kind):
    def read(text):
        assert lark_of(GRAMMARS[kind](len(text))).startswith("start: rule_")

    assert growth_to_the_largest(read, ("x", "", "")) <= FACTOR
