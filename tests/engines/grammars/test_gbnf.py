"""GBNF in all that llama.cpp documents: what a grammar allows, and which line an error is in."""

import json
import random
import re

import pytest

from aimu.engines import ChatFormat
from aimu.engines._grammars.asking import Asked
from aimu.engines._grammars.gbnf import lark_of
from aimu.engines._grammars.grammars import Grammars
from tests.engines.grammars.following import followed, vocabulary

WORDS = vocabulary()
GRAMMARS = Grammars(lambda shown: WORDS, lambda about, text: None)

JSON_TEXT = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::= # a comment
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::= "[" ws (value ("," ws value)*)? "]" ws
string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-c]{4}) # escapes
  )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9]{1,2})? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""
PAIRS = r"""
root ::= pair ("," ws pair)* tail?
pair ::= name "=" ( num | "\"" [^"\\]{0,5} "\"" |
         "\x41\u00e9\U0001F600" )
name-x ::= [a-c_]+
name ::= name-x
num ::= "-"? [0-9]{1,3}
ws ::= " "?
tail ::= ";" | "\n"
"""
SUMS = 'root ::= (sum "=" num "\\n"){2}\nsum ::= term ([-+*/] term)*\nterm ::= num | "(" sum ")"\nnum ::= [0-9]{1,2}'


def texts(grammar, count):
    rng = random.Random(8)
    wish = Asked(kind="grammar", value=grammar, own=True)
    for _ in range(count):
        constraint = GRAMMARS.constraint(wish, ChatFormat.of(""), begun=False, thinking=True)
        text, ended = followed(constraint, WORDS, rng, 400)
        if ended:
            yield text


@pytest.mark.parametrize(
    ("grammar", "pattern"),
    [
        (PAIRS, r"P(, ?P)*[;\n]?".replace("P", r'[a-c_]+=(-?[0-9]{1,3}|"[^"\\]{0,5}"|Aé😀)')),
        ('root ::= "a"* "ab"', "a*ab"),
        ('root ::= [^\\r\\n/]{2}"/"', r"[^\r\n/]{2}/"),
        ('root ::= . ("-" | "]" | [\\]\\[-])', r"(?s:.)[-\]\[]"),
        ('root ::= "a"{2} "b"{1,} "c"{0,2} "d"{1,2}', "a{2}b+c{0,2}d{1,2}"),
        ("root ::= ([0-9] | [a-f])+\r\n", "[0-9a-f]+"),
        ('root ::= (("x"?){2}){1,2}', "x{0,4}"),
        ('root ::= "" | "y"', "y?"),
        ('root ::= one | two\none ::= "1"\ntwo ::= one one', "11?"),
    ],
)
def test_regular_grammars(grammar, pattern):
    for text in texts(grammar, 20):
        assert re.fullmatch(pattern, text), text


def test_json():
    ended = list(texts(JSON_TEXT, 40))
    assert len(ended) > 20
    for text in ended:
        json.loads(text)


def test_nested_terms():
    ended = list(texts(SUMS, 30))
    assert len(ended) > 10
    for text in ended:
        lines = [line.partition("=")[0] for line in text.splitlines()]
        assert len(lines) == 2
        for line in lines:
            while (shorter := re.sub(r"\((\d+|T)([-+*/](\d+|T))*\)", "T", line)) != line:
                line = shorter
            assert re.fullmatch(r"(\d+|T)([-+*/](\d+|T))*", line), text


def test_a_rule_that_refers_to_itself_only_is_a_rule():
    assert sorted(set(texts('root ::= "(" root ")" | "x"', 10)))
    for text in texts('root ::= "(" root ")" | "x"', 20):
        assert re.fullmatch(r"(\(*)x(\)*)", text)
        assert text.count("(") == text.count(")")


@pytest.mark.parametrize(
    ("grammar", "why"),
    [
        ("", "no rule named root"),
        ('start ::= "a"', "no rule named root"),
        ("root ::= other", "the rule 'root' refers to 'other', which is not defined"),
        ('root ::= "a"\nother', "line 2 should have a rule, as in `name ::=`, at 'other'"),
        ('root ::= "a" )', "line 1 should have the end of the line at '\\)'"),
        ('root ::= ("a"', "line 1 should have `\\)` at ''"),
        ('root ::= "a', "line 1 should have a character at ''"),
        ("root ::= [a", "line 1 should have a character at ''"),
        ("root ::= []", "a character in the class"),
        ('root ::= "\\d"', "an escape that GBNF has at '\\\\\\\\d\"'"),
        ("root ::= <think>", "tokens are not supported"),
        ('root ::= "a"\n\nroot2 ::= "b" | | ]', "line 3 should have the end of the line"),
    ],
)
def test_errors_name_the_line(grammar, why):
    with pytest.raises(ValueError, match=why):
        lark_of(grammar)


def test_rules_that_multiply_are_bounded():
    rules = ["root ::= r0"] + [f"r{n} ::= r{n + 1} r{n + 1}" for n in range(40)] + ['r40 ::= "abc"']
    with pytest.raises(ValueError, match="too large"):
        lark_of("\n".join(rules))
