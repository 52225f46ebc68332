"""Real servers on the tiny model, each started once at its first use, and clients of them."""

import json
import os
import sys
from pathlib import Path

import pytest

from aimu import aio
from aimu.testing import tiny_gguf, tiny_model
from tests.servers.processes import LOGS, served, tail

COMMANDS = Path(sys.executable).parent
LITELLM = os.environ.get("AIMU_LITELLM", f"{COMMANDS}/litellm")  # it cannot be installed beside fastmcp
MODEL = str(tiny_model())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        report.sections += [(f"log of {name}", tail(log)) for name, log in LOGS.items()]
    return report


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def transformers_serve(folder):
    """OpenAI's chat completions, with calls and reasoning split out."""
    cache = folder / "cache"
    (cache / "hub").mkdir(parents=True)  # the list of models is an error without it
    command = [f"{COMMANDS}/transformers", "serve", MODEL, "--device", "cpu", "--host", "127.0.0.1", "--port", "PORT"]
    with served("transformers serve", command, ready="/v1/models", folder=folder, HF_HOME=str(cache)) as url:
        yield f"{url}/v1"


@pytest.fixture(scope="session")
def litellm(folder, transformers_serve):
    """Anthropic's messages, translated for the server above."""
    model = {"model": f"hosted_vllm/{MODEL}", "api_base": transformers_serve, "api_key": "x"}
    config = folder / "litellm.json"  # which is YAML too
    config.write_text(json.dumps({"model_list": [{"model_name": "tiny", "litellm_params": model}]}))
    with served(
        "litellm",
        [LITELLM, "--config", str(config), "--host", "127.0.0.1", "--port", "PORT"],
        ready="/health/readiness",
        folder=folder,
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY="true",
        NO_PROXY="127.0.0.1",
    ) as url:
        yield url


@pytest.fixture(scope="session")
def llama_cpp_server(folder):
    """OpenAI's chat completions with everything in the text; calls stay there."""
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(tiny_gguf()), "--n_ctx", "2048"]
    command += ["--host", "127.0.0.1", "--port", "PORT", "--n_threads", "1"]
    with served("llama_cpp.server", command, ready="/v1/models", folder=folder) as url:
        yield f"{url}/v1"


@pytest.fixture
def client_of(request):
    """Makes clients by provider name and fixture of a server."""

    def client_of(provider, server, **options):
        model = "tiny" if server == "litellm" else MODEL
        url = request.getfixturevalue(server)
        return aio.client(f"{provider}:{model}", base_url=url, api_key="x", **options)

    return client_of
