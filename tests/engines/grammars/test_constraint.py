"""A constraint: which tokens it allows, where it ends, what it costs to fail, and that no two share anything."""

import json
import random
import re

import numpy as np
import pytest

from aimu.engines import ChatFormat
from aimu.engines._grammars import constraint as module
from aimu.engines._grammars.asking import Asked, asked
from aimu.engines._grammars.constraint import Compiler, of_regex
from aimu.engines._grammars.grammars import Grammars
from aimu.errors import InvalidOptionError
from aimu.providers import OutputSchema, Request
from tests.engines.asking import tool
from tests.engines.formats.families import FAMILIES
from tests.engines.grammars.following import allowed, followed, in_rust, spell, vocabulary

WORDS = vocabulary("<mark>")
COMPILER = Compiler(WORDS)
ENDS = {0, 1}


def of(pattern):
    return COMPILER.constraint(of_regex(pattern))


def test_all_ends_are_allowed_once_the_text_is_whole_and_never_before():
    constraint = of("ab*")
    assert not ENDS & set(allowed(constraint, WORDS))
    spell(constraint, WORDS, "a")
    assert set(allowed(constraint, WORDS)) >= ENDS
    assert not constraint.ended
    constraint = of('"[^"]*"')
    spell(constraint, WORDS, '"<eos>')
    assert not ENDS & set(allowed(constraint, WORDS))
    spell(constraint, WORDS, '"')
    assert constraint.ended


def test_marks_and_empty_tokens_are_never_text():
    constraint = of("(?s:.)*")
    choices = set(allowed(constraint, WORDS))
    assert not choices & {2, 3}
    assert constraint.allows(min(choices - ENDS))
    assert not constraint.allows(2)
    assert not constraint.allows(10**6)


def test_characters_are_completed():
    constraint = of("日é?")
    for byte in "日".encode():
        choices = allowed(constraint, WORDS)
        assert not ENDS & set(choices)
        constraint.accept(next(token for token in choices if WORDS.tokens[token] == bytes([byte])))
    assert set(allowed(constraint, WORDS)) >= ENDS


def test_a_mask_lowers_all_other_logits_whatever_the_size():
    count = len(WORDS.tokens)
    for size in (count + 70, count, count - 40):
        constraint, logits = of("ab"), np.zeros(size, dtype=np.float32)
        constraint.mask(logits)
        assert np.flatnonzero(np.isfinite(logits)).tolist() == [t for t in allowed(constraint, WORDS) if t < size]


def test_text_that_the_vocabulary_cannot_write_ends_the_constraint():
    words = vocabulary(without=b"z")
    constraint = Compiler(words).constraint(of_regex("az"))
    spell(constraint, words, "a")
    logits = np.zeros(len(words.tokens) + 9, dtype=np.float32)
    constraint.mask(logits)
    assert constraint.failed
    assert np.isfinite(logits).all()
    constraint.accept(5)
    assert not constraint.ended


def test_a_token_that_is_not_allowed_ends_the_constraint():
    constraint = of("ab")
    constraint.accept(WORDS.tokens.index(b"x"))
    assert constraint.failed
    assert "\n" not in constraint.failed


def test_constraints_of_one_grammar_share_nothing():
    one, other = of("a[0-9]+b"), of("a[0-9]+b")
    spell(one, WORDS, "a12")
    assert [WORDS.tokens[token] for token in allowed(other, WORDS)] == [b"a"]
    spell(other, WORDS, "a")
    spell(one, WORDS, "b")
    assert one.ended
    assert not other.ended
    assert [WORDS.tokens[token] for token in allowed(of("a[0-9]+b"), WORDS)] == [b"a"]


def test_compiled_grammars_are_kept_within_bounds(monkeypatch):
    monkeypatch.setattr(module, "_MOST", 3)
    compiler = Compiler(WORDS)
    for number in range(5):
        compiler.constraint(of_regex(f"a{number}"))
    assert list(compiler._compiled) == [of_regex(f"a{number}") for number in (2, 3, 4)]
    compiler.constraint(of_regex("a2"))
    assert list(compiler._compiled)[-1] == of_regex("a2")
    monkeypatch.setattr(module, "_MOST_CHARACTERS", len(of_regex("b" * 250)))
    compiler.constraint(of_regex("b" * 250))
    assert list(compiler._compiled) == [of_regex("b" * 250)]


def long_texts(*letters):
    """A grammar of long texts that begin with different letters: llguidance keeps something of each."""
    choices = "|".join(rf"{letter}[^\n](?s:.{{0,{20_000 + 999 * n}}})[^\n]" for n, letter in enumerate(letters))
    text = rf"/\n?({choices})\n?<e>/ & /(?s:.*)<e>/ & ~/(?s:.*)<e>(?s:.+)/ & ~/(?s:.*)(<f|<g)(?s:.*)<e>/"
    return json.dumps({"grammars": [{"lark_grammar": f"start: T\nT: {text}"}]})


def test_what_texts_leave_behind_does_not_stop_later_ones():
    grammar, compiler = long_texts("a", "b", "c"), Compiler(WORDS)
    for letter in "abcabc":
        constraint = compiler.constraint(grammar)
        spell(constraint, WORDS, letter + "x" * 700 + "<e>")
        assert not constraint.failed
    constraint = compiler.constraint(grammar)
    spell(constraint, WORDS, "a" + "x" * 5000)
    assert constraint.failed  # too much for one text
    constraint = compiler.constraint(grammar)
    spell(constraint, WORDS, "bxxx<e>")
    assert not constraint.failed
    spell(constraint, WORDS, "x")
    assert constraint.failed


def test_a_grammar_is_compiled_anew_after_many_tokens(monkeypatch):
    monkeypatch.setattr(module, "_MOST_TOKENS", 50)
    compiler, patterns = Compiler(WORDS), [of_regex("a{9,90}"), of_regex("b{9,90}")]
    first = compiler.constraint(patterns[0])
    spell(first, WORDS, "a" * 30)
    spell(compiler.constraint(patterns[1]), WORDS, "b" * 30)
    assert not compiler.has(patterns[0])
    assert compiler.has(patterns[1])
    spell(first, WORDS, "a" * 30)
    assert not first.failed
    spell(compiler.constraint(patterns[0]), WORDS, "a" * 9)
    assert compiler.has(patterns[0])


@pytest.mark.parametrize("pattern", ["(?=a)b", "(", r"(a)\1"])
def test_a_refused_grammar_has_one_line_of_reason(pattern):
    with pytest.raises(ValueError, match=r"\S") as caught:
        of(pattern)
    assert "\n" not in str(caught.value)


# What a request asks


def request(output=None, tools=(), **options):
    return Request(messages=[], tools=tools, options=options, output=output)


TOOLS = [tool("add", a="integer"), tool("sub", a="integer")]
TYPED = OutputSchema(name="Cat", schema={"type": "object"}, mode="grammar")


def test_most_requests_ask_nothing():
    assert asked(request()) is None
    assert asked(request(tools=TOOLS, tool_choice="auto", extra_body={"min_p": 0.1, "regex": None})) is None
    assert asked(request(tool_choice="required")) is None
    assert asked(request(OutputSchema(name="add", schema={}, mode="tool"), TOOLS)) is None


def test_what_requests_ask():
    assert asked(request(TYPED)) == Asked(kind="json_schema", value={"type": "object"})
    assert asked(request(TYPED, TOOLS)).tools == TOOLS
    assert asked(request(TYPED, TOOLS, tool_choice="none")).tools == []
    forced = asked(request(tools=TOOLS, tool_choice="required", parallel_tool_calls=False))
    assert (forced.forced, forced.several, forced.tools, forced.kind) == (True, False, TOOLS, "")
    named = asked(request(tools=TOOLS, tool_choice="sub"))
    assert (named.tools, named.several) == (TOOLS[1:], False)
    own = asked(request(extra_body={"json_schema": '{"type": "integer"}'}))
    assert (own.kind, own.value, own.own, own.verbatim) == ("json_schema", {"type": "integer"}, True, False)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (
            request(extra_body={"regex": "a", "grammar": "b"}),
            r"extra_body\['regex'\] and extra_body\['grammar'\] exclude",
        ),
        (request(TYPED, extra_body={"regex": "a"}), "and output_type exclude each other"),
        (request(extra_body={"regex": 3}), "must be text, got int"),
        (request(extra_body={"json_schema": "{"}), "is not JSON"),
        (request(extra_body={"json_schema": "[" * 100_000}), "is not JSON"),
        (request(extra_body={"json_schema": "[]"}), "must be a JSON Schema, got list"),
    ],
)
def test_invalid_wishes_are_refused(wish, why):
    with pytest.raises(InvalidOptionError, match=why):
        asked(wish)


# Grammars of users


def grammars():
    warnings = []
    return Grammars(lambda shown: WORDS, lambda about, text: warnings.append(text)), warnings


def random_text(wish, seed=0):
    made = grammars()[0].constraint(wish, ChatFormat.of(""), begun=False, thinking=True)
    return followed(made, WORDS, random.Random(seed))


@pytest.mark.parametrize(
    "pattern", [r"\d{2}/[a-z]+", r"(yes|no)\.", r"[^\"/\\]{3}\n?", "é{1,3}", r'"/"', r"\W+x", r"[^\w\s]\D"]
)
def test_regular_expressions(pattern):
    for seed in range(10):
        text, ended = random_text(Asked(kind="regex", value=pattern, own=True), seed)
        assert not ended or re.fullmatch(pattern, in_rust(text)), text


def nested(depth):
    schema = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


CIRCLE = {"$defs": {"A": {"$ref": "#/$defs/A"}}, "type": "object", "propertyNames": {"$ref": "#/$defs/A"}}
BROKEN = {
    "properties": {"properties": []},
    "definitions": {"$defs": []},
    "choices": {"anyOf": 3},
    "bound": {"type": "integer", "maximum": "5"},
    "pattern": {"type": "string", "pattern": 3},
    "format": {"type": "string", "format": []},
    "length": {"type": "string", "minLength": "a", "format": "email"},
    "depth": nested(2000),
}
"""What a server may say of its tools, which is not a JSON Schema."""


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("grammar", "root ::= ("),
        ("grammar", ""),
        ("grammar", 'start ::= "a"'),
        ("grammar", "root ::= other"),
        ("regex", "("),
        ("json_schema", {"type": "strange"}),
        ("grammar", "root ::= " + "(" * 9999),
        ("grammar", 'root ::= "\\UFFFFFFFF"'),
        ("json_schema", {"$ref": "#/$defs/None"}),
        ("json_schema", CIRCLE),
        ("json_schema", {"type": "object", "propertyNames": {"enum": 3}}),
        *(("json_schema", schema) for schema in BROKEN.values()),
    ],
)
def test_an_invalid_grammar_of_the_user_is_refused(kind, value):
    with pytest.raises(InvalidOptionError, match=f"invalid extra_body\\['{kind}'\\]"):
        random_text(Asked(kind=kind, value=value, own=True))


@pytest.mark.parametrize(
    ("schema", "what"),
    [
        ({"type": "string", "pattern": "(?=a)b"}, "the pattern '\\(\\?=a\\)b'"),
        ({"type": "object", "properties": {"a": {"not": {}, "if": {}}}}, "the keyword 'not', the keyword 'if'"),
    ],
)
def test_a_schema_of_the_user_is_enforced_as_a_whole_or_refused(schema, what):
    with pytest.raises(InvalidOptionError, match=f"{what} cannot be enforced"):
        random_text(Asked(kind="json_schema", value=schema, own=True))


@pytest.mark.parametrize("name", BROKEN)
def test_a_tool_whose_schema_is_broken_is_left_to_validation(name):
    made, warnings = grammars()
    tools = [{"type": "function", "function": {"name": "act", "parameters": BROKEN[name]}}]
    form = ChatFormat.of(FAMILIES["hermes"].template)
    assert made.constraint(Asked(tools=tools, forced=True), form, begun=False, thinking=True) is None
    assert [text.partition(":")[0] for text in warnings] == [
        "the tool call is not held by a grammar, and only validated"
    ]


def test_what_is_refused_of_the_library_is_left_to_validation_and_logged():
    made, warnings = grammars()
    form = ChatFormat.of("")
    wish = Asked(kind="json_schema", value={"$ref": "#/$defs/None"})
    assert made.constraint(wish, form, begun=False, thinking=True) is None
    assert len(warnings) == 1
    assert warnings[0].startswith("the output is not held by a grammar, and only validated: ")
    partly = Asked(kind="json_schema", value={"type": "string", "pattern": "(?=a)b"})
    assert made.constraint(partly, form, begun=False, thinking=True) is not None
    assert warnings[1:] == ["the output type is held by a grammar, but the pattern '(?=a)b' is only validated"]


def test_a_big_schema_is_compiled_once():
    made, _ = grammars()
    properties = {f"property{number}": {"type": "string", "maxLength": 20} for number in range(200)}
    wish = Asked(kind="json_schema", value={"type": "object", "properties": properties, "required": list(properties)})
    for _ in range(3):
        assert made.constraint(wish, ChatFormat.of(""), begun=False, thinking=True) is not None
    [compiler] = made._of_formats.values()
    assert len(compiler._compiled) == 1
    text, _ = random_text(wish)
    assert json.dumps("property0") in text
