"""Both surfaces have the same names, signatures, fields and methods, by introspection."""

import inspect
from enum import Enum

import pytest

import aimu
import aimu.agents
import aimu.models
import aimu.tools
from aimu import aio
from aimu._sync.twin import _CLASSES
from aimu.aio._task_map import Results
from aimu.errors import InvalidOptionError, UnknownProviderError

DOORS = (aimu, aimu.agents, aimu.tools, aimu.models)
RENAMED = {
    "aclose": "close",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__anext__": "__next__",
    "__aiter__": "__iter__",
}
# Only the library makes these, from different values on the two surfaces.
NOT_MADE_BY_USERS = {"Stream", "Results"}


def sync_twin(name):
    name = name.removeprefix("Async")
    found = {id(getattr(door, name)): getattr(door, name) for door in DOORS if hasattr(door, name)}
    assert len(found) == 1, f"{name} is in {len(found)} places"
    return next(iter(found.values()))


def parameters(function):
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def members(kind):
    slots = inspect.get_annotations(kind).keys() if hasattr(kind, "__attrs_attrs__") else ()
    protocol = {*RENAMED, *RENAMED.values()} & set(dir(kind))
    names = {name for name in (*dir(kind), *slots) if not name.startswith("_")} | protocol
    return {RENAMED.get(name, name): getattr(kind, name, None) for name in names}


PAIRS = {name: (getattr(aio, name), sync_twin(name)) for name in aio.__all__} | {
    "Results": (Results, _CLASSES[Results])
}
CLASSES = [
    name
    for name, (there, here) in PAIRS.items()
    if isinstance(there, type) and not issubclass(there, Enum) and (name != "Answer" or there is not here)
]


@pytest.mark.parametrize("name", [name for name in PAIRS if name not in NOT_MADE_BY_USERS])
def test_calls_take_the_same_parameters_with_the_same_defaults(name):
    there, here = PAIRS[name]
    assert parameters(here) == parameters(there)


@pytest.mark.parametrize("name", CLASSES)
def test_classes_have_the_same_public_members(name):
    there, here = map(members, PAIRS[name])
    assert here.keys() == there.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_methods_take_the_same_parameters_and_are_documented(name):
    there, here = map(members, PAIRS[name])
    assert PAIRS[name][1].__doc__
    for method, function in there.items():
        if callable(function):
            twin = here[method]
            assert parameters(twin) == parameters(function), method
            assert not inspect.iscoroutinefunction(twin)
            assert method.startswith("__") or inspect.getdoc(twin)


def test_every_sync_name_has_an_async_twin():
    names = {*aimu.agents.__all__, *(name for name in aimu.__all__ if not name.startswith("_"))}
    twins = {name.removeprefix("Async") for name in aio.__all__}
    assert names <= twins


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_a_lazy_package_lists_exactly_its_names(door):
    assert set(door.__all__) <= set(dir(door))
    for name in door.__all__:
        assert getattr(door, name) is getattr(door, name)
    with pytest.raises(AttributeError):
        door.NoSuchThing


def test_provider_clients_accept_an_id_without_prefix_and_refuse_models_of_other_providers():
    with pytest.raises(InvalidOptionError, match="not a model of 'ollama'"):
        aimu.models.OllamaClient(next(iter(aimu.models.OpenAIModel)))
    for name in aimu.models.PROVIDERS:
        assert any(kind.provider_name == name for kind in map(sync_twin, aio.__all__) if hasattr(kind, "provider_name"))
    with pytest.raises(UnknownProviderError):
        aimu.client("nowhere:x")
