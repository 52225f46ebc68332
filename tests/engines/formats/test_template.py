"""Chat templates come from strangers: they see what they are given, and do no more than an honest one does."""

import jinja2
import pytest

from aimu.engines import ChatFormat
from aimu.engines._formats.bounds import SIZE, STEPS, TemplateLimit
from aimu.engines._formats.template import Template
from aimu.errors import EngineError

GROWS = "{% set ns = namespace(x=START) %}{% for i in range(60) %}STEP{% endfor %}{{ ns.x SHOW }}"


def grows(start, step, show=""):
    return GROWS.replace("START", start).replace("STEP", step).replace("SHOW", show)


def repeats(statement, before=""):
    head = "{% set items = range(99999) | list %}{% set text = 'a' * 9999999 %}" + before
    return head + "{% for i in range(99999) %}" + statement + "{% endfor %}"


HOSTILE = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "joined text": grows("'ab'", "{% set ns.x = ns.x ~ ns.x %}"),
    "joined text in memory": repeats("{% set ns.x = [ns.x, text ~ 'b'] %}", "{% set ns = namespace(x=0) %}"),
    "added text": grows("'ab'", "{% set ns.x = ns.x + ns.x %}"),
    "captured text": grows("'ab'", "{% set x %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = x %}"),
    "replaced text": grows("'ab'", "{% set ns.x = ns.x.replace('a', 'aaaaaaaaaa') %}"),
    "filtered text": grows("'ab'", "{% set ns.x = ns.x | replace('a', 'aaaaaaaaaa') %}"),
    "text that joins": grows("'ab'", "{% set ns.x = ns.x.join([ns.x, ns.x]) %}"),
    "lists": grows("[1]", "{% set ns.x = ns.x + ns.x %}", "| length"),
    "extended lists": grows("[1]", "{% set _ = ns.x.extend(ns.x) %}", "| length"),
    "nested JSON": grows("[1]", "{% set ns.x = [ns.x, ns.x] %}", "| tojson"),
    "nested text": grows("[1]", "{% set ns.x = [ns.x, ns.x] %}"),
    "repeated text": "{{ 'a' * 10 ** 10 }}",
    "repeated lists": "{{ [1] * 10 ** 10 }}",
    "padding": "{{ 'a'.ljust(10000000000) }}",
    "a padding filter": "{{ 'a' | center(10000000000) }}",
    "an indenting filter": "{{ 'a\n' | indent(10000000000) }}",
    "a format": "{{ '%9999999999d' % 1 }}",
    "a format method": "{{ '{:>9999999999}'.format(1) }}",
    "a format filter": "{{ '%9999999999d' | format(1) }}",
    "powers": "{{ 9 ** (9 ** 9) }}",
    "filters in a loop": repeats("{% set x = items | sort | length %}"),
    "lazy filters in a loop": repeats("{% set x = items | map('string') | list %}"),
    "filtered loops": repeats("{% for item in items if item < 0 %}{% endfor %}"),
    "membership": repeats("{% set x = 'x' in items %}"),
    "searched text": repeats("{% set x = text.count('b') %}"),
    "text in text": repeats("{% set x = 'aaab' in text %}"),
    "tests": repeats("{% set x = 'x' is in items %}"),
    "slices": repeats("{% set x = items[1:] %}"),
    "copied lists": repeats("{% set x = items + [1] %}"),
    "methods of lists": repeats("{% set x = items.index(99998) %}"),
    "text in memory": repeats("{% set _ = kept.append('a' * 10000000) %}", "{% set kept = [] %}"),
    "compared nests": grows("[1]", "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}", "== ns.y"),
    "written text": "{% for i in range(99999) %}" + "x" * 1000 + "{% endfor %}",
}


SLOW = {"macros", "filters in a loop", "lazy filters in a loop", "filtered loops"}
"""Cases that only the number of steps ends, after seconds: they get a tenth of the steps that "loops" gets."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_stopped(name, monkeypatch):
    if name in SLOW:
        monkeypatch.setitem(Template.render.__kwdefaults__, "steps", STEPS // 10)
    form = ChatFormat.of(HOSTILE[name])
    assert form.name == "unknown"
    with pytest.raises(EngineError, match="no honest one") as caught:
        form.render([{"role": "user", "content": "Hello."}])
    assert isinstance(caught.value.__cause__, TemplateLimit)


def test_an_honest_template_may_join_all_that_it_writes():
    joins = (
        "{% set ns = namespace(x='') %}{% for m in messages %}{% set ns.x = ns.x ~ m.role ~ m.content %}{% endfor %}"
    )
    history = [{"role": "user", "content": "x" * 5000}] * 150
    assert len(ChatFormat.of(joins + "{{ ns.x }}").render(history)) > 750_000


@pytest.mark.parametrize(
    "text",
    [
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for i in messages recursive %}{{ loop(messages) }}{% endfor %}",
    ],
)
def test_endless_recursion_ends(text):
    with pytest.raises(RecursionError):
        Template(text).render({"messages": [1]})


def test_a_template_that_is_too_long_or_too_deep_is_not_read():
    for text in (" " * (SIZE + 1), "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}"):
        with pytest.raises(EngineError, match="cannot be read"):
            ChatFormat.of(text).render([])
    with pytest.raises(jinja2.TemplateError):
        Template("{% for %}")


@pytest.mark.parametrize(
    "text",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.join.__func__.__globals__ }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ lipsum.__globals__ }}",
        "{{ raise_exception.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
    ],
)
def test_a_template_reaches_nothing_else(text):
    with pytest.raises((jinja2.TemplateError, TypeError)):
        assert Template(text).render({"messages": []}) == ""
        raise TypeError


def test_lists_that_a_template_changes_are_its_own():
    text = "{% set _ = messages.append(1) %}{{ messages | length }}"
    history = [{"role": "user", "content": "Hello."}]
    form = ChatFormat.of(text)
    assert [form.render(history), form.render(history)] == ["2", "2"]
    assert len(history) == 1


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{% generation %}a{% endgeneration %}", "a"),
        ("{% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}", "13"),
        ("{{ {'a': '<é>'} | tojson }}", '{"a": "<é>"}'),
        ("{{ {'b': 1, 'a': 2} | tojson(indent=1) }}", '{\n "b": 1,\n "a": 2\n}'),
        ("{{ range(3) | map('string') | tojson }}", '["0", "1", "2"]'),
        ("{{ 'a' ~ 1 ~ none }}", "a1None"),
        ("{{ strftime_now('%Y') | length }}", "4"),
        ("{% for i in [1, 2] %}{{ loop.last }}{{ loop.length }}{% endfor %}", "False2True2"),
        ("  {% if true %}\n  x\n  {% endif %}\n", "  x\n"),
    ],
)
def test_templates_find_what_they_use(text, rendered):
    assert Template(text).render({}) == rendered
