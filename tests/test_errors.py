"""Errors: the whole tree can be pickled and copied, and holds no key."""

import copy
import importlib
import inspect
import pickle
import pkgutil
import traceback
from pathlib import Path

import pytest

import aimu
from aimu import errors
from aimu.errors import AimuError, ProviderError

PROVIDER_FACTS = {
    "provider": "openai",
    "status": 418,
    "request_id": "req_1",
    "retryable": True,
    "retry_after": 2.5,
    "partial": "so far",
}
# How each class is made where its text is not all that it takes.
FACTS = {
    errors.UnknownProviderError: lambda kind: kind("opnai", ["openai", "ollama"]),
    errors.WeightsLoadedTwiceError: lambda kind: kind("HuggingFaceModel.LLAMA_70B"),
    errors.InvalidHistoryError: lambda kind: kind(3, "has no role"),
    errors.ToolNameClashError: lambda kind: kind("f", "the client", "server 'x'"),
    errors.MissingExtraError: lambda kind: kind("openai", "openai"),
    errors.MissingKeyError: lambda kind: kind("openai", "OPENAI_API_KEY"),
    errors.BusyConversationError: lambda kind: kind("agent 'a'"),
    errors.SystemMessageError: lambda kind: kind(),
    errors.EmptyAnswerError: lambda kind: kind(),
    errors.NoCurrentCallError: lambda kind: kind(),
    errors.NothingToResumeError: lambda kind: kind("the last turn has its final answer"),
    errors.ClosedClientError: lambda kind: kind("the client of openai:gpt-5"),
    errors.UnknownToolError: lambda kind: kind("g", iter(["f", "h"])),
    errors.NotEnoughMemoryError: lambda kind: kind("a/b", 2 << 30, 1 << 30, "close other programs"),
    errors.MCPConnectionError: lambda kind: kind("files", "it died", stderr="KeyError", status=401, retry_after="3"),
    errors.MCPTooLargeError: lambda kind: kind("files", 1000),
    errors.SkillError: lambda kind: kind("it has no name", path=Path("skills/a"), remedy="give it one", loaded=True),
    errors.JournalError: lambda kind: kind("batch.jsonl", "it is not a journal", "give another path", line=3),
    errors.JournalBusyError: lambda kind: kind("batch.jsonl"),
    errors.JournalWriteError: lambda kind: kind("batch.jsonl", "the disk is full", "make room", answer="Yes."),
    errors.IterationLimitError: lambda kind: kind(10, partial="so far"),
    errors.OutputError: lambda kind: kind("{}", ["a: required, but missing"], attempts=3),
    errors.RoutingError: lambda kind: kind("maybe", {"yes": 1, "no": 2}),
}
ROUND_TRIPS = {
    **{
        f"pickle {protocol}": lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


ENGINES_NEED = {"jinja2", "llama_cpp", "llguidance", "numpy", "tokenizers", "torch", "transformers"}


def tree(kind=AimuError):
    for module in pkgutil.walk_packages(aimu.__path__, "aimu."):
        if "._recipe" not in module.name and "._tools" not in module.name:
            try:
                importlib.import_module(module.name)
            except ImportError as exc:  # on interpreters where the suite runs without the engines
                assert exc.name in ENGINES_NEED, module.name  # noqa: PT017
    found = {kind}
    for sub in kind.__subclasses__():
        if sub.__module__.split(".")[0] == "aimu":
            found |= tree(sub)
    return found


def make(kind):
    """An error with real facts; a class with a constructor of its own must be in FACTS."""
    if kind in FACTS:
        return FACTS[kind](kind)
    if issubclass(kind, ProviderError):
        assert kind.__init__ is ProviderError.__init__, f"say in FACTS how {kind.__name__} is made"
        return kind("it failed", **PROVIDER_FACTS)
    assert "__init__" not in {name for base in kind.__mro__ if base in TREE for name in vars(base)}, (
        f"say in FACTS how {kind.__name__} is made"
    )
    return kind("it failed")


TREE = tree()
CLASSES = sorted(TREE, key=lambda kind: kind.__name__)


def state(error):
    return type(error), str(error), repr(error), error.args, {**vars(error)}


@pytest.mark.parametrize("trip", ROUND_TRIPS)
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickle_and_copy_with_text_facts_and_notes(kind, trip):
    try:
        raise make(kind) from KeyError("cause")
    except AimuError as caught:
        error = caught
    error.add_note("in tool 'f'")
    again = ROUND_TRIPS[trip](error)
    assert state(again) == state(error)
    assert (again.__cause__, again.__context__, again.__traceback__) == (None, None, None)
    assert isinstance(error.__cause__, KeyError)
    shown = "".join(traceback.format_exception_only(again))
    assert shown == "".join(traceback.format_exception_only(error))
    assert "in tool 'f'" in shown
    again.add_note("of the copy")
    assert error.__notes__ == ["in tool 'f'"]
    with pytest.raises(kind):
        raise again


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_fact_that_an_error_is_given_is_an_attribute(kind):
    error = make(kind)
    if issubclass(kind, ProviderError):
        assert {name: getattr(error, name) for name in PROVIDER_FACTS} == PROVIDER_FACTS
    if "__init__" in vars(kind):
        for name in inspect.signature(kind).parameters:
            assert hasattr(error, name) or name == "message", name


def test_a_fact_that_was_changed_later_and_what_the_builtin_knows_survive():
    error = errors.OverloadedError("down", status=503)
    error.retryable = False
    assert pickle.loads(pickle.dumps(error)).retryable is False
    missing = errors.MissingExtraError("openai", "openai")
    missing.name = "openai"
    assert copy.copy(missing).name == "openai"
    assert copy.copy(missing).msg == missing.msg == str(missing)


class OfAUser(errors.ToolError):
    """A user's own error, which takes facts."""

    def __init__(self, city, *, code):
        self.city = city
        self.code = code
        super().__init__(f"no weather in {city}")


def test_errors_of_users_survive_too():
    again = pickle.loads(pickle.dumps(OfAUser("Rome", code=3)))
    assert (type(again), str(again), again.city, again.code) == (OfAUser, "no weather in Rome", "Rome", 3)


def test_an_error_in_a_group_survives():
    group = ExceptionGroup("workers", [make(kind) for kind in CLASSES])
    again = pickle.loads(pickle.dumps(group))
    assert [state(error) for error in again.exceptions] == [state(error) for error in group.exceptions]


def test_the_drawing_shows_every_class_once():
    drawn = [line.split("── ")[1].split()[0] for line in errors.__doc__.splitlines() if "── " in line]
    assert sorted([*drawn, "AimuError"]) == sorted(kind.__name__ for kind in TREE if kind.__module__ == "aimu.errors")
