"""What is public: the names that the packages export, where they say they live, and nothing else."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import aimu

PACKAGES = [
    "aimu",
    "aimu.agents",
    "aimu.aio",
    "aimu.engines",
    "aimu.errors",
    "aimu.evals",
    "aimu.models",
    "aimu.providers",
    "aimu.skills",
    "aimu.testing",
    "aimu.tools",
    "aimu.types",
]
NAMES = Path(__file__).with_name("public_names.txt")


def exported(package):
    return importlib.import_module(package).__all__


def test_every_other_module_is_private_by_name():
    modules = [module.name for module in pkgutil.walk_packages(aimu.__path__, "aimu.") if "._" not in module.name]
    assert sorted(["aimu", *modules]) == PACKAGES


def test_the_list_of_public_names_is_the_one_in_the_file():
    listed = "".join(f"{package}.{name}\n" for package in PACKAGES for name in sorted(exported(package)))
    assert NAMES.read_text("utf8") == listed, f"change {NAMES.name} with the public surface"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_thing_says_where_users_import_it_from(package):
    for name in exported(package):
        thing = getattr(importlib.import_module(package), name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert thing.__module__ in PACKAGES, name
            assert name in exported(thing.__module__), name
            assert getattr(importlib.import_module(thing.__module__), name) is thing


@pytest.mark.parametrize("package", PACKAGES[1:])
def test_packages_are_reachable_from_the_first(package):
    program = f"import aimu; {package}; print({package}.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{package}\n"


def test_client_options_are_those_that_clients_take():
    from aimu.aio._factory import AsyncModelClient
    from aimu.engines._huggingface import HuggingFaceEngine
    from aimu.engines._llamacpp import LlamaCppEngine
    from aimu.providers import make_provider

    takers = AsyncModelClient._open, make_provider, HuggingFaceEngine, LlamaCppEngine
    taken = {name for taker in takers for name in inspect.signature(taker).parameters}
    assert aimu.types.ClientOptions.__optional_keys__ == taken - {
        "self",
        "make_provider",
        "provider_kwargs",
        "spec",
        "model",
    }
