"""`aimu doctor`, `aimu models` and `aimu demo`."""

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from aimu._cli import checks, choice
from aimu._cli.main import main
from aimu.errors import MissingExtraError
from aimu.models import LocalModel, ModelSpec
from tests.cli.test_parts import KEYS
from tests.ports import free_port
from tests.raw_server import response, serving

ROOT = Path(__file__).parents[2]
SERVERS = {
    "OLLAMA_HOST": "ollama",
    "OLLAMA_OPENAI_BASE_URL": "ollama-openai",
    "LMSTUDIO_BASE_URL": "lmstudio",
    "VLLM_BASE_URL": "vllm",
    "SGLANG_BASE_URL": "sglang",
    "LLAMASERVER_BASE_URL": "llamaserver",
    "HF_OPENAI_BASE_URL": "hf-openai",
}


@pytest.fixture
def alone(monkeypatch):
    """No key, no model, no server, and no torch in a process of its own."""

    async def no_gpu():
        return checks.Check("gpu", "torch", "absent", "not looked for")

    for name in (*KEYS, *SERVERS, "AIMU_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(checks, "gpu", no_gpu)
    monkeypatch.setattr(checks, "PATIENCE", 30.0)
    return monkeypatch


def found(capsys, *arguments):
    code = main(["doctor", "--json", *arguments])
    checked = json.loads(capsys.readouterr().out)
    return code, {(check["kind"], check["name"]): check for check in checked}


def json_answer(body, **options):
    return lambda request: [response(json.dumps(body).encode(), **options)]


def test_what_is_absent_is_no_fault_and_each_has_a_remedy(alone, capsys):
    code, checked = found(capsys)
    broken = [check for check in checked.values() if check["state"] == "broken"]
    assert (code, broken) == (0, [])
    assert checked["key", "openai"]["remedy"] == "set OPENAI_API_KEY to use OpenAI"
    assert {name for kind, name in checked if kind == "server"} == set(SERVERS.values())
    assert all(check["remedy"] for check in checked.values() if check["state"] == "absent" and check["kind"] != "gpu")


def test_no_key_is_shown(alone, capsys):
    for name in KEYS:
        alone.setenv(name, "sk-secret")
    assert main(["doctor"]) == main(["doctor", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "ANTHROPIC_API_KEY is set" in out
    assert "secret" not in out + err


def test_an_empty_key_is_broken(alone, capsys):
    alone.setenv("OPENAI_API_KEY", " ")
    code, checked = found(capsys)
    assert (code, checked["key", "openai"]["state"]) == (1, "broken")


def test_servers_on_this_machine_are_asked_for_their_models(alone, capsys):
    with (
        serving(json_answer({"models": [{"name": "a"}]})) as ollama,
        serving(json_answer({"data": [{"id": "b"}, {"id": "c"}]})) as other,
    ):
        alone.setenv("OLLAMA_HOST", ollama.url)
        for name in [name for name in SERVERS if name != "OLLAMA_HOST"]:
            alone.setenv(name, f"{other.url}/v1")
        code, checked = found(capsys)
    assert (code, [check for check in checked.values() if check["state"] == "broken"]) == (0, [])
    assert checked["server", "ollama"]["found"].endswith("has 1 model: a")
    for name in set(SERVERS.values()) - {"ollama"}:
        assert checked["server", name]["found"].endswith("has 2 models: b, c")
    assert all(request.startswith(b"GET /v1/models ") for request in other.requests)


@pytest.mark.parametrize(
    "answer",
    [
        json_answer([1, 2]),
        json_answer({"data": 5}),
        json_answer({"data": [5]}),
        json_answer({}, status="500 Broken"),
        lambda request: [b"HTTP/1.1 200 OK\r\n\r\n{"],
        lambda request: [b"nonsense"],
        lambda request: [],
    ],
)
def test_a_server_that_was_asked_for_and_does_not_answer_is_broken(alone, capsys, answer):
    alone.setenv("SGLANG_BASE_URL", f"http://127.0.0.1:{free_port()}/v1")
    with serving(answer) as other:
        alone.setenv("VLLM_BASE_URL", f"{other.url}/v1")
        code, checked = found(capsys)
    assert code == 1
    assert checked["server", "vllm"]["state"] == checked["server", "sglang"]["state"] == "broken"
    assert "VLLM_BASE_URL" in checked["server", "vllm"]["remedy"]


def test_another_machine_is_not_asked(alone, capsys):
    alone.setenv("VLLM_BASE_URL", "http://192.0.2.1:8000/v1")
    _, checked = found(capsys)
    assert "not asked" in checked["server", "vllm"]["found"]


@pytest.mark.parametrize(
    ("model", "words"),
    [("olama:x", "olama"), ("openai:gpt-5", "OPENAI_API_KEY"), ("nothing", "nothing"), ("vllm:", "no model id")],
)
def test_a_model_that_cannot_be_used_is_broken(alone, capsys, model, words):
    code, checked = found(capsys, "-m", model)
    assert (code, checked["model", model]["state"]) == (1, "broken")
    assert words in checked["model", model]["found"]
    alone.setenv("AIMU_MODEL", model)
    assert found(capsys)[0] == 1
    assert found(capsys, "-m", "vllm:anything")[0] == 0


def test_without_any_model_it_says_how_to_get_one(alone, capsys):
    alone.setattr("aimu._cli.choice.find_spec", lambda name: None)
    code, checked = found(capsys)
    model = checked["model", "default"]
    assert (code, model["state"], model["found"]) == (0, "absent", "there is no model")
    assert model["remedy"].startswith("name one (-m ollama:")


@pytest.mark.parametrize(("variable", "state", "exit_code"), [(None, "absent", 0), ("openai:gpt-5", "broken", 1)])
def test_a_model_whose_extra_is_missing_has_the_command_that_installs_it(alone, capsys, variable, state, exit_code):
    def without_openai(name):
        raise MissingExtraError("openai", "openai")

    if variable is not None:
        alone.setenv("AIMU_MODEL", variable)
    alone.setattr(choice, "find_spec", lambda name: name)  # the default is the embedded model: an engine is there
    alone.setattr(checks, "_check_usable", without_openai)
    code, checked = found(capsys)
    model = checked["model", variable or "default"]
    assert (code, model["state"], model["found"]) == (exit_code, state, "openai is not installed")
    assert model["remedy"] == "`pip install '.[openai]'` in the checkout of aimu"


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        (["attrs>=25.1"], "ok"),
        (["attrs>=25.1,<1000", "anyio[trio]>=4"], "ok"),
        (["attrs>=1000"], "broken"),
        (["attrs>=1,<2"], "broken"),
        (["attrs", "no-such-package>=1"], "absent"),
    ],
)
def test_extras_are_compared_with_what_they_need(lines, state, monkeypatch):
    monkeypatch.setattr(checks, "requires", lambda name: [f"{line}; extra == 'some'" for line in lines])
    (check,) = checks.extras()
    assert (check.name, check.state) == ("some", state)
    assert bool(check.remedy) == (state != "ok")


def test_a_version_newer_than_the_tested_one_is_said_to_be_so(monkeypatch):
    monkeypatch.setattr(checks, "requires", lambda name: ["torch>=2.6; extra == 'hf'"])
    monkeypatch.setattr(checks, "version", lambda name: "99.0")
    (check,) = checks.extras()
    assert check.state == "untested"
    assert "newer than the tested" in check.found


@pytest.mark.parametrize(
    ("installed", "bounds", "fits"),
    [
        ("2.6.0", ">=2.6,<3", True),
        ("2.13.0+cpu", ">=2.6", True),
        ("5.20", "<5.20.0", False),
        ("1.0rc1", "==1.0", True),
        ("3", "!=3.0", False),
        ("3.1", ">3,<=3.1", True),
        ("1", "", True),
    ],
)
def test_versions(installed, bounds, fits):
    assert checks._within(installed, bounds) is fits


@pytest.mark.engines
async def test_torch_is_asked_in_a_process_of_its_own():
    check = await checks.gpu()
    assert check.kind == "gpu"
    assert check.state in ("ok", "absent")
    assert "torch" in check.found


async def test_a_torch_that_does_not_load_is_broken(monkeypatch):
    monkeypatch.setattr(checks, "version", lambda name: "1.0")
    monkeypatch.setattr(checks, "_ASK_TORCH", "raise ImportError('no such library')")
    check = await checks.gpu()
    assert check.state == "broken"
    assert "no such library" in check.found


def test_models_lists_the_catalog(capsys):
    assert main(["models", "sonnet-4-6"]) == 0
    assert capsys.readouterr().out == "anthropic:claude-sonnet-4-6\ttools thinking vision\n"
    assert main(["models", "--json", "-p", "ollama", "--tools"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed
    assert all(model["provider"] == "ollama" and model["tools"] for model in listed)


def test_models_says_what_else_there_is(capsys):
    assert main(["models", "no-such-model"]) == 1
    assert main(["models", "-p", "groq"]) == 1
    assert "-m groq:MODEL_ID" in capsys.readouterr().err
    assert main(["models", "-p", "grok"]) == 2


def test_models_lists_what_is_on_this_machine(capsys, monkeypatch):
    local = LocalModel(spec=ModelSpec("a/b", "hf", tools=True), bytes=1_500_000_000, path=Path("there"))
    monkeypatch.setattr("aimu.models.local", lambda: [local])
    assert main(["models", "--local"]) == 0
    assert capsys.readouterr().out == "hf:a/b\t1.5 GB\ttools thinking? vision?\n"
    main(["models", "--local", "--json"])
    assert json.loads(capsys.readouterr().out)[0]["path"] == "there"


def test_python_m_aimu_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "aimu", "demo", "--scripted", "--seed", "7"],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The answer is") == 10


@pytest.mark.engines
def test_ctrl_c_ends_the_demo_at_once_while_weights_load():
    program = textwrap.dedent(
        """
        import time
        from aimu.engines import HuggingFaceEngine
        from aimu._cli.main import entry

        def load(*arguments):
            print("loading", flush=True)
            time.sleep(600)

        HuggingFaceEngine._load = load
        entry(["demo"])
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


def test_the_demo_runs_without_an_engine_and_without_trio(capsys, monkeypatch):
    monkeypatch.setattr("aimu._cli.choice.find_spec", lambda name: None)
    monkeypatch.setattr("aimu._cli.demo.find_spec", lambda name: name == "asyncio" or None)
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "scripted answers replace the model" in out
    assert "trio is not installed" in out
    assert out.count("The answer is") == 5
