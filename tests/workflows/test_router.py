"""Router: the handler that the classifier names does the task."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimu import aio
from aimu.aio import Router
from aimu.aio._workflows.router import named
from aimu.errors import RoutingError
from tests.workflows.models import Shout, agent, live, model, read, requests_of, text_by

NAMES = ["code", "code review", "billing", "C++"]


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("billing", "billing"),
        ("  **Billing.**\n", "billing"),
        ('"BILLING"', "billing"),
        ("This belongs to billing, I think.", "billing"),
        ("code review", "code review"),
        ("Send it to code review!", "code review"),
        ("Code", "code"),
        ("c++", "C++"),
        ("I would say C++ fits", "C++"),
        ("billing or code", None),
        ("billings", None),
        ("encode", None),
        ("", None),
        ("weather", None),
    ],
)
def test_an_answer_selects_the_handler_that_it_equals_or_names_as_the_only_whole_word(answer, name):
    assert named(answer, NAMES) == name


@given(
    st.sampled_from(["alpha", "beta gamma", "delta-epsilon", "zeta_eta"]),
    st.text(" \n\t*_`'\"“”.,:;!?()[]#>-", max_size=6),
    st.text(" \n\t*_`'\"“”.,:;!?()[]#>-", max_size=6),
    st.sampled_from([str, str.upper, str.title]),
)
def test_quotes_punctuation_and_case_around_a_name_do_not_matter(name, before, after, case):
    assert named(before + case(name) + after, ["alpha", "beta gamma", "delta-epsilon", "zeta_eta"]) == name


async def test_the_selected_handler_gets_the_whole_task():
    provider = model({"classify": "It is math."})
    router = Router.from_client(aio.client(provider), "classify", {"math": "calculate", "text": "write"})
    assert await router.run("2+2") == "calculate(2+2)"
    assert requests_of(provider, "write") == []
    assert list(router.messages) == ["classifier", "math", "text"]


@pytest.mark.parametrize("way", [read, live])
async def test_a_streamed_router_shows_the_classifier_then_the_handler(way):
    router = Router(agent(model({"sort": "shout"}), "sort"), {"shout": Shout()}, "desk")
    chunks = await way(router.run("so be it", stream=True))
    assert list(text_by(chunks).items()) == [("sort", "shout"), ("shout", "SO BE IT ")]
    assert (chunks[-1].agent, chunks[-1].content, chunks[-1].iteration) == ("desk", "SO BE IT", 1)


async def test_the_fallback_gets_the_task_if_the_answer_names_no_handler():
    provider = model({"classify": "no idea"})
    router = Router.from_client(aio.client(provider), "classify", {"math": "calculate"}, fallback="help")
    assert await router.run("hm") == "help(hm)"


async def test_without_a_fallback_the_error_names_the_answer_and_the_handlers():
    router = Router.from_client(aio.client(model({"c": "no idea"})), "c", {"math": "m", "text": "t"})
    with pytest.raises(RoutingError, match=r"'no idea'.*math, text") as failed:
        await router.run("hm")
    assert failed.value.handlers == ("math", "text")
    assert failed.value.__notes__ == ["in 'router', step 0"]
