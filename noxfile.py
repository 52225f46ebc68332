"""Every command of the project: `nox` runs lint, types and tests; `nox -l` lists the rest.

Each session installs what it needs into its own environment, from the package index alone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).parent
GROUPS = nox.project.load_toml(ROOT / "pyproject.toml")["dependency-groups"]
# The release that the engines are tested with; another one with AIMU_TORCH="torch==…".
TORCH = os.environ.get("AIMU_TORCH", "torch==2.13.0")
# Compiles for minutes, so it is built once, for every environment and checkout of this machine.
LLAMA_CPP = os.environ.get("AIMU_LLAMA_CPP", "llama-cpp-python==0.3.36")
LLAMA_CPP_BUILD = {
    "CMAKE_ARGS": "-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF "
    "-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=OFF",
    "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
}
# Offline, and one thread each: two OpenMP pools on one small machine slow each other to a crawl.
ENGINE_ENV = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "TOKENIZERS_PARALLELISM": "false",
}


def wheels() -> Path:
    """Where wheels that were built here are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("AIMU_WHEELS") or Path(cache) / "aimu" / "wheels")


def install_llama_cpp(session: nox.Session) -> None:
    """llama.cpp, from the wheel in the cache, which is built when there is none."""
    name, version = LLAMA_CPP.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(wheels().glob(pattern)):
        wheels().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=wheels()) as building:  # moved when whole: another session may look
            session.run("python", "-m", "pip", "wheel", "--no-deps", LLAMA_CPP, "-w", building, env=LLAMA_CPP_BUILD)
            (built,) = Path(building).glob(pattern)
            built.replace(wheels() / built.name)
    session.install("--find-links", os.fspath(wheels()), "--only-binary", name, LLAMA_CPP)


def install(session: nox.Session, extras: str, *groups: str, engines: bool = True) -> None:
    """The checkout with extras, and dependency groups; torch first, so that its CPU build is not replaced."""
    if engines:
        session.install(TORCH)
    if "llamacpp" in extras:
        install_llama_cpp(session)
    packages = [package for group in groups for package in GROUPS[group]]
    session.install("-e", f".[{extras}]", *packages)


@nox.session
def demo(session: nox.Session) -> None:
    """The main job on the embedded model: agents with tools, streamed, on asyncio and on trio."""
    install(session, "hf,trio")
    session.run("python", "docs/demo.py", *session.posargs, env=ENGINE_ENV)


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite, engines included, on both backends."""
    install(session, "hf,llamacpp,openai,anthropic,mcp,trio,skills,progress", "test")
    session.run("python", "-m", "pytest", *session.posargs, env=ENGINE_ENV)


@nox.session(python=["3.12", "3.13"])
def compat(session: nox.Session) -> None:
    """The suite without the engines on newer interpreters."""
    install(session, "openai,anthropic,mcp,trio,skills,progress", "test", engines=False)
    # The pages of the documentation load the embedded model.
    without = ("--ignore=tests/engines", "--ignore=tests/test_docs.py")
    session.run("python", "-m", "pytest", *without, *session.posargs, env=ENGINE_ENV)


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lint rules, and whether the generated files are up to date."""
    session.install(*GROUPS["lint"])
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("python", "-m", "aimu._tools.generate", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """mypy and pyright, both strict."""
    install(session, "mcp,trio,skills", "types", engines=False)
    session.run("mypy")
    session.run("pyright")


@nox.session
def bench(session: nox.Session) -> None:
    """Every benchmark; give names to run some (`nox -s bench -- engine`)."""
    install(session, "hf,llamacpp,openai,anthropic,trio", "test")
    names = session.posargs or sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py"))
    for name in names:
        session.run("python", f"benchmarks/{name}.py", env=ENGINE_ENV)


@nox.session
def docs(session: nox.Session) -> None:
    """Execute every code block of README and docs, and check their links."""
    install(session, "hf,llamacpp,trio,skills,mcp", "test")
    session.run("python", "-m", "pytest", "tests/test_docs.py", *session.posargs, env=ENGINE_ENV)


@nox.session
def servers(session: nox.Session) -> None:
    """Model and MCP servers of other projects on this machine, and the long churn of MCP connections."""
    install(session, "hf,llamacpp,openai,anthropic,mcp,trio", "test")
    session.install("transformers[serving]", "llama-cpp-python[server]", "mcp-server-time", "mcp-server-git")
    folder = Path(session.create_tmp())
    env = {**ENGINE_ENV, "AIMU_MCP_CHURN": "200", "AIMU_LITELLM": litellm(session)}
    if npm := shutil.which("npm"):
        session.run(npm, "install", "--prefix", str(folder), "@modelcontextprotocol/server-everything", external=True)
        env["AIMU_MCP_EVERYTHING"] = str(folder / "node_modules/.bin/mcp-server-everything")
    session.run("python", "-m", "pytest", "-m", "real_servers", *session.posargs, env=env)
    session.run("python", "-m", "pytest", "tests/mcp/test_churn.py", "-s", env=env)


def litellm(session: nox.Session) -> str:
    """The command of a LiteLLM proxy in an environment of its own: it does not go with fastmcp."""
    folder = Path(session.virtualenv.location) / "litellm"
    command = folder / "bin/litellm"
    if not command.exists():
        session.run_install("python", "-m", "venv", str(folder))
        # The last release that wants no certifi newer than the package index may have.
        python = str(folder / "bin/python")
        session.run_install(python, "-m", "pip", "install", "-q", "litellm[proxy]==1.106.2", external=True)
    return str(command)


@nox.session
def full(session: nox.Session) -> None:
    """Everything: the default sessions, newer interpreters, benchmarks, docs and demo."""
    for name in ("lint", "types", "tests", "compat", "servers", "docs", "demo", "bench"):
        session.notify(name)
