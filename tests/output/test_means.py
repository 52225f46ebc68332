"""How a model is held to the type of its answer, and which options ask for what."""

import json
import logging
from types import SimpleNamespace

import pytest

from aimu import aio
from aimu._output._expected import Expected, correction
from aimu.aio._means import means_for
from aimu.aio._request import SharedProvider
from aimu.errors import InvalidOptionError
from aimu.models._spec import ModelSpec
from tests.output.kinds import Cat, Invoice, Tree
from tests.output.rules import check_plain


def expected(kind=Cat, mode="auto"):
    return Expected.asked(kind, mode, 2, None)


def provider(model, **kwargs):
    return aio.client(model, api_key="k", **kwargs).provider


OPENAI, CLAUDE = "openai:gpt-5", "anthropic:claude-opus-4-8"


def test_a_service_with_a_mode_for_schemas_is_asked_for_one():
    means = means_for(expected(), provider(OPENAI), {}, ["search"])
    assert (means.output.mode, means.output.name) == ("schema", "Cat")
    assert means.output.schema["required"] == ["kind", "lives"]
    assert (means.tool, means.instruction) == (None, "")


def test_a_type_without_a_strict_form_is_given_by_a_tool(caplog):
    with caplog.at_level(logging.INFO, "aimu.aio"):
        means = means_for(expected(Tree), provider(CLAUDE), {}, [])
    assert "'Tree' refers to itself" in caplog.text
    assert (means.output.mode, means.output.name, means.forced) == ("tool", "final_answer", True)
    assert means.tool["function"]["name"] == "final_answer"
    assert means.tool["function"]["parameters"] == expected(Tree).type.schema


def test_the_tool_is_not_forced_where_that_is_refused_or_the_user_chose():
    tree, claude = expected(Tree), provider(CLAUDE)
    assert not means_for(tree, claude, {"thinking": True}, []).forced
    assert not means_for(tree, claude, {"tool_choice": "search"}, ["search"]).forced
    assert means_for(tree, claude, {"tool_choice": "auto"}, ["search"]).forced


@pytest.mark.parametrize("model", [CLAUDE, "ollama:qwen3.5:9b"])
def test_a_user_who_forbids_tools_still_gets_the_answer_by_the_output_tool(model):
    options = {"tool_choice": "none", "max_tokens": 9}
    means = means_for(expected(mode="tool"), provider(model), options, ["search"])
    tools, applied = means.applied([{"function": {"name": "search"}}], options, last=False)
    assert tools == [means.tool]
    assert applied == {"max_tokens": 9} | ({"tool_choice": "required"} if model == CLAUDE else {})


def test_the_output_tool_takes_a_free_name():
    means = means_for(expected(mode="tool"), provider(OPENAI), {}, ["final_answer", "final_answer_2"])
    assert means.output.name == means.tool["function"]["name"] == "final_answer_3"


def test_a_model_without_tools_is_asked_in_the_prompt():
    own = SharedProvider(SimpleNamespace(spec=ModelSpec("m", "own", tools=False)))
    means = means_for(expected(), own, {}, [])
    assert means.output is means.tool is None
    asked, schema = means.instruction.split("\n")
    assert asked == "Answer with JSON alone, without any other text, that fits this JSON Schema:"
    assert list(json.loads(schema)["properties"]) == ["kind", "lives"]


def test_a_server_that_cannot_do_both_is_held_by_a_tool_beside_other_tools():
    ollama = provider("ollama:qwen3.5:9b")
    assert means_for(expected(), ollama, {}, []).output.mode == "schema"
    means = means_for(expected(), ollama, {}, ["search"])
    assert (means.output.mode, means.forced) == ("tool", False)


@pytest.mark.parametrize("mode", ["auto", "grammar"])
def test_a_provider_that_decodes_against_grammars_gets_the_exact_schema(mode):
    own = SharedProvider(SimpleNamespace(spec=ModelSpec("m", "own"), holds_grammars=lambda: True))
    kind = tuple[int, str]
    means = means_for(expected(kind, mode), own, {}, ["search"])
    assert (means.output.mode, means.tool, means.forced) == ("grammar", None, False)
    assert means.output.schema["properties"]["response"]["prefixItems"] == [{"type": "integer"}, {"type": "string"}]
    assert "prefixItems" not in means.instruction
    assert means.instruction.startswith("Answer with JSON alone")
    with pytest.raises(InvalidOptionError, match="no mode for JSON Schemas"):
        means_for(expected(kind, "schema"), own, {}, [])
    assert means_for(expected(kind, "prompt"), own, {}, []).output is None


def test_a_provider_that_cannot_decode_against_grammars_now_uses_other_means():
    own = SharedProvider(SimpleNamespace(spec=ModelSpec("m", "own"), holds_grammars=lambda: False))
    assert means_for(expected(), own, {}, []).output.mode == "tool"
    with pytest.raises(InvalidOptionError, match="no constrained decoding"):
        means_for(expected(mode="grammar"), own, {}, [])


@pytest.mark.parametrize(("model", "beside"), [("xai:m", True), ("cerebras:m", False), ("moonshot:m", False)])
def test_a_schema_without_limits_on_values_is_sent_beside_tools_where_that_is_known(model, beside):
    service = provider(model)
    means = means_for(expected(Invoice), service, {}, [])
    assert means.output.mode == "schema"
    check_plain(means.output.schema)
    assert (means_for(expected(Invoice), service, {}, ["search"]).output.mode == "schema") == beside


@pytest.mark.parametrize("options", [{}, {"thinking": True}, {"thinking": False}])
def test_the_tool_is_not_forced_on_a_model_that_thinks(options):
    for model in ("deepseek:deepseek-v4-pro", "moonshot:kimi-k2.6"):
        means = means_for(expected(mode="tool"), provider(model), options, [])
        assert means.forced == (options.get("thinking") is False)
    assert not means_for(expected(), provider("dashscope:qwen3-max"), options, []).forced


@pytest.mark.parametrize(
    ("kind", "mode", "model", "why"),
    [
        (Tree, "schema", CLAUDE, "'Tree' refers to itself"),
        (Cat, "grammar", OPENAI, "no constrained decoding"),
    ],
)
def test_a_means_that_is_not_there_is_refused(kind, mode, model, why):
    with pytest.raises(InvalidOptionError, match=why):
        means_for(expected(kind, mode), provider(model), {}, [])


def test_a_model_without_tools_refuses_the_tool_mode():
    own = SharedProvider(SimpleNamespace(spec=ModelSpec("m", "own", tools=False)))
    with pytest.raises(InvalidOptionError, match="cannot call tools"):
        means_for(expected(mode="tool"), own, {}, [])


@pytest.mark.parametrize("mode", ["prompt", "tool"])
def test_a_weaker_means_can_be_chosen(mode):
    means = means_for(expected(mode=mode), provider(OPENAI), {}, [])
    assert (means.instruction != "") == (mode == "prompt")
    assert (means.tool is not None) == (mode == "tool")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ((None, "tool", 2, None), "output_mode needs output_type"),
        ((None, "auto", 3, None), "output_retries needs output_type"),
        ((None, "auto", 2, print), "output_validator needs output_type"),
        ((int, "json", 2, None), "output_mode must be one of 'auto', 'schema'"),
        ((int, "auto", -1, None), "output_retries must be an integer of at least 0, got -1"),
        ((int, "auto", True, None), "output_retries must be an integer"),
        ((int, "auto", 2, "x"), "output_validator must be a function"),
    ],
)
def test_what_is_asked_is_checked(given, why):
    with pytest.raises(InvalidOptionError, match=why):
        Expected.asked(*given)


def test_nothing_is_expected_without_a_type():
    assert Expected.asked(None, "auto", 2, None) is None


def test_a_correction_lists_every_reason():
    assert correction(["a: missing", "b: too long"]) == (
        "The answer does not fit:\n- a: missing\n- b: too long\nGive the whole answer again, corrected."
    )
