"""GBNF in all that llama.cpp documents: what a grammar allows, and which line an error is in."""

import functools
import itertools
import json
import random
import re

import pytest

from aimu.engines import ChatFormat
from aimu.engines._grammars.asking import Asked
from aimu.engines._grammars.gbnf import lark_of, parse
from aimu.engines._grammars.gbnf_nodes import Choice, Name, Row, Text
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
        ("root ::= root", "no text follows it: the rule root refers to itself without an end"),
        ('root ::= "a" x\nx ::= "b"+ root | x "c"', "no text follows it"),
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


# Where one text ends and the next begins

ARITHMETIC = r"""
root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \t\n]*
"""
PROGRAM = r"""
root ::= (kind name "(" ")" "{" statement* "}")*
kind ::= "int" ws | "char" ws
name ::= [a-z_] [a-z_0-9]*
statement ::= ( kind name ws "=" ws sum ";" ) | ( name ws "=" ws sum ";" ) | ( name ws "(" sum? ")" ";" ) |
    ( "return" ws sum ";" ) | ( "while" "(" sum ")" "{" statement* "}" ) | comment
sum ::= product (("+" | "-") product)*
product ::= name | [0-9]+ | "-" product | "(" ws sum ws ")"
comment ::= "//" [^\n]* "\n"
ws ::= ([ \t\n]+)
"""


def follows(grammar, text):
    wish = Asked(kind="grammar", value=grammar, own=True)
    constraint = GRAMMARS.constraint(wish, ChatFormat.of(""), begun=False, thinking=True)
    for byte in text.encode():
        token = WORDS.tokens.index(bytes([byte]))
        if not constraint.allows(token):
            return False
        constraint.accept(token)
    return constraint.ended or constraint.allows(WORDS.ends[0])


@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        (ARITHMETIC, ["a+1=2\n", "(a) = 3\n", "(a+(b*2))= c \n", "a=1\n\nb = 2 \n\n"], ["a+=2\n", "=2\n", "a=2"]),
        (
            PROGRAM,
            ["int f(){int y = x+1;}", "int f(){intx = 3;}int g(){return (  a ) ;}".replace(" ;", ";")],
            ["int f("],
        ),
        (PROGRAM, ["char f(){while(a){// x\nb = -2;}return -c;}", "int f(){returns = 1;}"], ["int f(){int = 1}"]),
        ('root ::= "ab" | "a" root "b"', ["ab", "aabb", "aaabbb"], ["aab", "abb"]),
        ('root ::= [a-z]+ "x" end\nend ::= "!" end | "."', ["abx.", "xx!.", "xxx!!."], ["ab.", "x."]),
        ('root ::= word ("," word)*\nword ::= [a-z,]+ | "(" root ")"', ["a,b", "(a,,b),c", ",,"], ["(a", "()"]),
        ('root ::= "a"? x\nx ::= "a" "b" | "b" x', ["ab", "aab", "abab", "bab"], ["b", "aaab"]),
        ('root ::= x*\nx ::= "a" | "aa" "b" | "(" x ")"', ["a", "aab", "aaab", "(aab)a"], ["b", "ab"]),
    ],
)
def test_a_text_that_can_end_in_several_places_may_end_in_each(grammar, good, bad):
    for text in good:
        assert follows(grammar, text), text
    for text in bad:
        assert not follows(grammar, text), text


def language(rules, longest):
    """All texts that rules allow, up to a length, found by adding to them until nothing is new."""
    known = dict.fromkeys(rules, frozenset())

    def joined(ones, others):
        return {one + other for one in ones for other in others if len(one + other) <= longest}

    def of(node):
        if isinstance(node, Text):
            choices = [[chr(n) for a, b in ranges for n in range(a, b + 1)] for ranges in node.characters]
            return {"".join(each) for each in itertools.product(*choices)}
        if isinstance(node, Name):
            return known[node.name]
        if isinstance(node, Choice):
            return set().union(*map(of, node.items))
        if isinstance(node, Row):
            return functools.reduce(joined, map(of, node.items), {""})
        item, texts, found = of(node.item), {""}, set()
        for count in range(1 + (longest + node.least if node.most is None else node.most)):
            found |= texts if count >= node.least else set()
            texts = joined(texts, item)
        return found

    while (now := {name: frozenset(of(node)) for name, node in rules.items()}) != known:
        known = now
    return known["root"]


def expression(rng, depth):
    if depth == 0 or rng.random() < 0.3:
        return rng.choice(['"a"', '"b"', '"ab"', '"ba"', "[ab]", '"aab"', '""', "root", "x", "x"])
    one, other = expression(rng, depth - 1), expression(rng, depth - 1)
    many = rng.choice(["*", "+", "?", "{2}", "{1,2}"])
    return rng.choice([f"({one}){many}", f"{one} {other}", f"({one} | {other})"])


@pytest.mark.parametrize("seed", range(20))
def test_any_grammar_allows_all_its_texts_and_no_others(seed):
    rng = random.Random(seed)
    grammar = f'root ::= {expression(rng, 3)} | "b"\nx ::= {expression(rng, 2)} | "a"'
    found = language(parse(grammar), 4)
    for length in range(5):
        for text in map("".join, itertools.product("ab", repeat=length)):
            assert follows(grammar, text) == (text in found), (grammar, text)
