"""What the models of each family write, read by the format of a template with its marks, at any cut."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimu.engines import ChatFormat
from aimu.engines._formats.chat_format import _format_of
from aimu.engines._formats.derive import derive
from aimu.engines._formats.derive_calls import same
from aimu.engines._formats.probing import Probe, find_plan
from aimu.engines._formats.rows import NAMED
from aimu.engines._formats.template import Template
from tests.engines.asking import tool
from tests.engines.formats.families import FAMILIES

TOOLS = [tool("book", city="string", nights="integer", quiet="boolean"), tool("note", text="string")]
TRIP = ("book", {"city": "Zürich", "nights": 3, "quiet": True})
NOTE = ("note", {"text": 'Say "hello": 2 < 3, {a} [b]\nand go on.'})


def outcome(reply):
    return reply.thinking, reply.text, [(call.name, json.loads(call.arguments)) for call in reply.calls]


def read(form, text, family, cuts=()):
    """The outcome of the whole text, which is that of any pieces of it."""
    prompt = form.render([{"role": "user", "content": "Go on."}], tools=TOOLS)
    text = text.removeprefix(family.opens)
    whole = outcome(form.read(text, tools=TOOLS, prompt_end=prompt[-80:]))
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for pieces in ([text[a:b] for a, b in pairwise(edges)], list(text)):
        reader = form.reader(tools=TOOLS, prompt_end=prompt[-80:])
        deltas = [delta for piece in pieces for delta in reader.feed(piece)] + reader.end()
        reply = reader.finish()
        assert outcome(reply) == whole
        for phase, said in (("thinking", reply.thinking), ("generating", reply.text)):
            assert "".join(delta.text for delta in deltas if delta.phase == phase) == said
    return whole


@pytest.fixture(params=FAMILIES.values(), ids=lambda family: family.name)
def family(request):
    return request.param


@pytest.fixture
def form(family):
    return ChatFormat.of(family.template)


def thought(family, text="Two nights or three?\nThree."):
    begun = "Here are my reasoning steps:\n" if family.opens.startswith("Here") else ""
    return (family.think(text), begun + text) if family.thinks else ("", "")


def test_the_template_tells_the_name(family, form):
    assert form.name == family.name


def test_an_answer_is_an_answer(family, form):
    written, thinking = thought(family)
    assert read(form, written + family.say("It is booked, for < 3 nights."), family) == (
        thinking,
        "It is booked, for < 3 nights.",
        [],
    )


def test_a_call_is_a_call(family, form):
    written, thinking = thought(family)
    assert read(form, written + family.calls(TRIP), family) == (thinking, "", [TRIP])


def test_several_calls_are_all_read(family, form):
    assert read(form, thought(family, "")[0] + family.calls(TRIP, NOTE), family)[2] == [TRIP, NOTE]


def test_without_offered_tools_there_are_no_calls(family, form):
    text = family.calls(TRIP)
    assert form.read(text, prompt_end="").calls == ()


def test_the_row_of_the_template_is_that_of_the_table(family):
    """What is derived by rendering agrees with what is known: so it may be trusted where nothing is known."""
    probe = Probe(Template(family.template))
    row = derive(probe, find_plan(probe))
    known = NAMED[family.name]
    if not family.derived:
        assert not row.calls
    elif family.name == "json":
        assert row.bare
    else:
        assert row.calls or row.header
        assert all(any(same(one, other) for other in known.calls) for one in row.calls)
    thinking = [block for block in row.thinking if block not in known.thinking]
    assert not thinking
    if row.header is not None:
        assert known.header is not None
        assert (row.header.end, row.header.thinking) == (known.header.end, known.header.thinking)


def test_the_derived_row_alone_reads_the_family(family, monkeypatch):
    if not family.derived:
        return
    monkeypatch.setattr("aimu.engines._formats.chat_format.rows_for", lambda template: ())
    _format_of.cache_clear()
    try:
        form = ChatFormat.of(family.template)
        assert form.name == "derived"
        written, thinking = thought(family)
        assert read(form, written + family.calls(TRIP), family) == (thinking, "", [TRIP])
        assert read(form, written + family.say("Booked."), family) == (thinking, "Booked.", [])
        assert read(form, thought(family, "")[0] + family.calls(TRIP, NOTE), family)[2] == [TRIP, NOTE]
    finally:
        _format_of.cache_clear()


@given(data=st.data(), name=st.sampled_from(list(FAMILIES)))
def test_any_cut_gives_the_same(data, name):
    family = FAMILIES[name]
    text = thought(family)[0] + family.calls(TRIP, NOTE) + family.say("Done.")
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=9))
    assert read(ChatFormat.of(family.template), text, family, cuts)[2] == [TRIP, NOTE]
