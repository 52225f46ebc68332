"""Every command of the project: `nox` runs lint, types and tests; `nox -l` lists the rest.

Each session installs what it needs into its own environment, at the versions that `constraints.txt` pins, from the
package index and, if it answers, from that of PyTorch; `servers`, `conformance`, `browser`, `docs` and `site` also use
npm. `nox -s lock` writes the file; `newest` and `lowest` run without it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nox
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
GROUPS: dict[str, list[str]] = PYPROJECT["dependency-groups"]
EXTRAS: dict[str, list[str]] = PYPROJECT["project"]["optional-dependencies"]
CONSTRAINTS = ROOT / "constraints.txt"
ENGINES_TESTED = ROOT / "aimu/engines/_tested.py"
PINNED_PYTHONS = ("3.11", "3.12", "3.13", "3.14")  # for which all pinned versions have wheels
WHERE_FOUND = {version: shutil.which(f"python{version}") for version in ("3.14", "3.15")}  # not yet on every machine
EVERYTHING = ",".join(name for name in EXTRAS if name != "all")
# What `bench -- --peers` compares with: the name of the side in benchmarks/sides/, and what is installed for it.
PEERS = {
    "openai": ["openai"],
    "pydantic_ai": ["pydantic-ai-slim[openai]"],
    "openai_agents": ["openai-agents"],
    "langgraph": ["langchain", "langchain-openai", "langgraph"],
    "inspect_ai": ["inspect-ai", "openai"],
    "litellm": ["litellm"],
    "mirascope": ["mirascope[openai]"],
}
BUILD_BACKEND = [*PYPROJECT["build-system"]["requires"], "editables"]

# On Linux the package index has CUDA builds of torch only, of about 3 GB; PyTorch's own index has one of 200 MB.
TORCH_CPU_INDEX = os.environ.get("AIMU_TORCH_INDEX", "https://download.pytorch.org/whl/cpu")
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

# MCP servers of other projects in npm: the package, its command, and how the names of the tests that need it begin. The
# compiled ones are made with rmcp, mcp-go and the SDK for .NET, whose own registries may be out of reach.
MCP_SERVERS = {
    "EVERYTHING": (
        "@modelcontextprotocol/server-everything",
        ".bin/mcp-server-everything",
        "test_server_everything",
    ),
    "RUST": (
        "@temporal-cortex/cortex-mcp-linux-x64@0.9.1",
        "@temporal-cortex/cortex-mcp-linux-x64/bin/cortex-mcp",
        "test_a_rust_server",
    ),
    "GO": ("mcp-time-linux-x64@0.4.0", "mcp-time-linux-x64/bin/mcp-time", "test_a_go_server"),
    "DOTNET": ("@azure/mcp-linux-x64@2.0.5", "@azure/mcp-linux-x64/dist/azmcp", "test_a_dotnet_server"),
}
CHROMIUM = "@sparticuz/chromium@153.0.0"
CHROMIUM_COMMANDS = ("chromium", "chromium-browser", "google-chrome", "chrome")
CONFORMANCE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"


def install(
    session: nox.Session,
    extras: str = "",
    *groups: str,
    pins: Path | None = CONSTRAINTS,
    torch: str | None = None,
    cuda: bool = False,
) -> list[str]:
    """Install the checkout with extras and dependency groups, at the pinned versions.

    Args:
        session: The session whose environment is filled.
        extras: Names of extras, separated by commas.
        groups: Names of dependency groups.
        pins: A constraints file; None for the newest versions in range.
        torch: The requirement of torch, where it is not to be that of the extra `hf`.
        cuda: Whether torch is the build for GPUs.

    Returns:
        The engines among the extras that this interpreter or machine cannot have; each is named in a warning.
    """
    constrain = constraint(session, pins)
    names = [name for name in extras.split(",") if name]
    left_out = []
    if "hf" in names and not install_torch(session, torch or requirement("hf", "torch"), constrain, cuda=cuda):
        left_out.append("hf")
    if "llamacpp" in names and not install_llama_cpp(session, requirement("llamacpp", "llama-cpp-python"), constrain):
        left_out.append("llamacpp")
    if left_out and os.environ.get("CI"):
        session.error(f"CI runs the whole suite, and {', '.join(left_out)} cannot be installed here")
    packages = list(PYPROJECT["project"]["dependencies"])
    for name in names:
        packages += [] if name in left_out else EXTRAS[name]
    for group in groups:
        packages += GROUPS[group]
    session.install(*constrain, *packages, *BUILD_BACKEND)
    session.install("--no-build-isolation", "--no-deps", "-e", ".")
    return left_out


def requirement(extra: str, name: str) -> str:
    """The requirement of one package in an extra."""
    (found,) = (line for line in EXTRAS[extra] if re.match(rf"{name}\b", line))
    return found


def python_version(session: nox.Session) -> str:
    """The interpreter of the session's environment, as "3.11"."""
    return str(session.python or "{}.{}".format(*sys.version_info))


def constraint(session: nox.Session, pins: Path | None) -> list[str]:
    """pip's options for a constraints file; none on an interpreter that the file was not made for."""
    if pins is None:
        return []
    version = python_version(session)
    if version not in PINNED_PYTHONS:
        session.warn(f"{pins.name} does not hold on Python {version}: the newest versions are installed")
        return []
    return ["-c", os.fspath(pins)]


def install_torch(session: nox.Session, torch: str, constrain: Sequence[str], *, cuda: bool = False) -> bool:
    """torch, as a CPU build where one can be had and `cuda` is not asked; False if this interpreter has no wheel."""
    index = [] if cuda else cpu_index()
    if not has_wheel(session, torch, *constrain, *index):
        session.warn(
            f"LEFT OUT: the Hugging Face engine. torch has no wheel for Python {python_version(session)} on this "
            "platform yet; what needs it is not run."
        )
        return False
    session.log(f"installing {torch}: 200 MB as a CPU build, about 3 GB where only a CUDA build is found (1 to 3 min)")
    session.install(*constrain, *index, torch)
    return True


def cpu_index() -> list[str]:
    """pip's options for PyTorch's index of CPU builds, if it answers. A CPU build is preferred by its version."""
    if sys.platform != "linux":
        return []
    try:
        with urllib.request.urlopen(f"{TORCH_CPU_INDEX}/torch/", timeout=5):
            return ["--extra-index-url", TORCH_CPU_INDEX]
    except OSError:
        return []


def has_wheel(session: nox.Session, package: str, *options: str) -> bool:
    """Whether pip finds a wheel; any other failure of pip ends the session."""
    python = shutil.which("python", path=os.pathsep.join(session.bin_paths or ()))
    assert python is not None
    command = [python, "-m", "pip", "install", "-q", "--dry-run", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run([*command, *options, package], capture_output=True, text=True)
    if done.returncode and "No matching distribution found" not in done.stderr:
        session.error(f"pip failed while it looked for {package}:\n{done.stderr}")
    return done.returncode == 0


def install_llama_cpp(session: nox.Session, llama_cpp: str, constrain: Sequence[str]) -> bool:
    """llama.cpp, from the cached wheel, which is compiled where there is none; False without a compiler."""
    version = llama_cpp_version(session, llama_cpp, constrain)
    wheels = llama_cpp_wheels()
    pattern = f"llama_cpp_python-{version}-*.whl"
    if not list(wheels.glob(pattern)):
        if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++", "cl")):
            session.warn(
                "LEFT OUT: the llama.cpp engine. It is compiled on this machine, which has no C++ compiler (Debian and "
                "Ubuntu: apt install g++); what needs it is not run."
            )
            return False
        wheels.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=wheels) as building:  # moved when whole: another session may look
            estimate = f"about 4 to 8 minutes on two cores, once for this machine; kept in {wheels}"
            with heartbeat(session, f"compiling llama.cpp {version}", estimate):
                command = ("python", "-m", "pip", "wheel", "--no-deps", f"llama-cpp-python=={version}", "-w", building)
                session.run_install(*command, env=LLAMA_CPP_BUILD, silent=True)
            (built,) = Path(building).glob(pattern)
            built.replace(wheels / built.name)
    find = ("--find-links", os.fspath(wheels), "--only-binary", "llama-cpp-python")
    session.install(*constrain, *find, f"llama-cpp-python=={version}")
    return True


def llama_cpp_version(session: nox.Session, llama_cpp: str, constrain: Sequence[str]) -> str:
    """The pinned version, or the newest in range."""
    if constrain:
        pins = Path(constrain[-1]).read_text("utf8")
        if pinned := re.search(r"^llama-cpp-python==(\S+)", pins, re.MULTILINE):
            return pinned[1]
    command = ("python", "-m", "pip", "index", "versions", "llama-cpp-python")
    listed = re.search(r"Available versions: (.+)", str(session.run_install(*command, silent=True)))
    if listed is None:
        session.error("the package index lists no version of llama-cpp-python")
    return next(iter(Requirement(llama_cpp).specifier.filter(listed[1].split(", "))))


def llama_cpp_wheels() -> Path:
    """The folder of the wheels that were compiled on this machine with these build flags."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    flags = hashlib.sha256(LLAMA_CPP_BUILD["CMAKE_ARGS"].encode()).hexdigest()[:12]
    return Path(os.environ.get("AIMU_WHEELS") or cache / "aimu" / "wheels") / flags


@contextmanager
def heartbeat(session: nox.Session, doing: str, estimate: str) -> Iterator[None]:
    """Say what takes long and how long, then every half minute that it still runs."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(30):
            session.log(f"still {doing}: {time.monotonic() - began:.0f} s")

    session.log(f"{doing}: {estimate}")
    began = time.monotonic()
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def run_demo(session: nox.Session, left_out: Sequence[str], *arguments: str) -> None:
    scripted = ["--scripted"] if "hf" in left_out else []
    session.run("python", "docs/demo.py", *scripted, *arguments, env=ENGINE_ENV)


def run_suite(
    session: nox.Session,
    left_out: Sequence[str],
    *arguments: str,
    under: Sequence[str] = ("python", "-m"),
    exhaustive: bool = False,
) -> None:
    """The suite; without the tests that load weights where an engine is left out; `exhaustive` adds combinations."""
    excluded = ["real_servers", "browser", *([] if exhaustive else ["exhaustive"]), *(["engines"] if left_out else [])]
    chosen = ["-m", " and ".join(f"not {mark}" for mark in excluded)]
    chosen += ["--ignore=tests/engines"] if left_out else []
    if not arguments:
        session.log(f"running the suite: about {20 if exhaustive else 10} minutes on two cores")
    session.run(*under, "pytest", *chosen, *arguments, env=ENGINE_ENV)


@nox.session
def demo(session: nox.Session) -> None:
    """The main job on the embedded model: agents with tools, streamed, on asyncio and on trio."""
    run_demo(session, install(session, "hf,trio"), *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The suite, engines included, on both backends."""
    run_suite(session, install(session, EVERYTHING, "test"), *session.posargs)


@nox.session
def explore(session: nox.Session) -> None:
    """What the suite leaves out: combinations of one kind, and ten times as many examples, random ones."""
    left_out = install(session, EVERYTHING, "test")
    chosen = ["-m", "(hypothesis or exhaustive) and not engines", "--ignore=tests/engines"]
    if not left_out:
        chosen = ["-m", "hypothesis or exhaustive"]
    env = {**ENGINE_ENV, "AIMU_EXAMPLES": "explore", "AIMU_TEST_LIMIT": "1800"}
    session.log("running what the suite leaves out: about 15 minutes on two cores")
    session.run("python", "-m", "pytest", *chosen, *session.posargs, env=env)


@nox.session(python=["3.12", "3.13", *(version for version, path in WHERE_FOUND.items() if path)])
def compat(session: nox.Session) -> None:
    """The suite without the engines on newer interpreters; one from 3.14 on may be missing, and is named then."""
    for version, path in WHERE_FOUND.items():
        if path is None:
            session.warn(f"UNTESTED: Python {version}, since this machine has no python{version}")
    install(session, "openai,anthropic,mcp,skills,trio,progress,cli", "test")
    run_suite(session, ["hf", "llamacpp"], *session.posargs)


@nox.session
def newest(session: nox.Session) -> None:
    """Demo, suite and exhaustive tests on the newest versions in range, whatever `constraints.txt` says."""
    left_out = install(session, EVERYTHING, "test", pins=None)
    run_demo(session, left_out)
    run_suite(session, left_out, *session.posargs, exhaustive=True)


@nox.session
def lowest(session: nox.Session) -> None:
    """Suite and exhaustive tests on the lowest versions that pyproject.toml allows."""
    pins = Path(session.create_tmp()) / "lowest.txt"
    stated = [*PYPROJECT["project"]["dependencies"], *(line for name in EVERYTHING.split(",") for line in EXTRAS[name])]
    bounds = [re.match(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)", line) for line in [*stated, *GROUPS["test"]]]
    pins.write_text("".join(f"{found[1]}=={found[2]}\n" for found in bounds if found), "utf8")
    run_suite(session, install(session, EVERYTHING, "test", pins=pins), *session.posargs, exhaustive=True)


@nox.session
def lock(session: nox.Session) -> None:
    """Resolve the newest versions in range, run demo, suite and exhaustive tests on them, and pin them if all pass.

    torch stays at its pin, since newer releases may come as CUDA builds of gigabytes only;
    `nox -s lock -- torch==X.Y.Z` moves it.
    """
    pinned = re.search(r"^torch==\S+$", CONSTRAINTS.read_text("utf8"), re.MULTILINE) if CONSTRAINTS.exists() else None
    torch = next(iter(session.posargs), pinned[0] if pinned else "torch==2.13.0")
    left_out = install(session, EVERYTHING, *GROUPS, pins=None, torch=torch)
    session.install("nox", "pre-commit")
    run_demo(session, left_out)
    run_suite(session, left_out, exhaustive=True)
    frozen = str(session.run("python", "-m", "pip", "freeze", "--exclude-editable", "--exclude", "aimu", silent=True))
    pins = re.findall(r"^([\w.-]+)==([\w.]+)", frozen, re.MULTILINE)
    versions = dict(sorted((canonicalize_name(name), version) for name, version in pins))
    head = f"# Written by `nox -s lock` on Python {python_version(session)}: the versions that the suite passed on.\n"
    CONSTRAINTS.write_text(head + "".join(f"{name}=={version}\n" for name, version in versions.items()), "utf8")
    note_tested(versions)


def note_tested(versions: dict[str, str]) -> None:
    """Tell the engines which versions they were tested with up to now."""
    text = ENGINES_TESTED.read_text("utf8")
    for name, version in versions.items():
        text = re.sub(rf'^(    "{name}": \("[\w.]+", )"[\w.]+"', rf'\1"{version}"', text, flags=re.M)
    ENGINES_TESTED.write_text(text, "utf8")


@nox.session
def coverage(session: nox.Session) -> None:
    """The suite once more, under coverage; a report, and pages under .coverage_html/."""
    left_out = install(session, EVERYTHING, "test", "coverage")
    session.run("coverage", "erase")
    run_suite(session, left_out, *session.posargs, under=("coverage", "run", "-m"))
    session.run("coverage", "combine", "-q")
    session.run("coverage", "html", "-q")
    session.run("coverage", "report")


@nox.session
def package(session: nox.Session) -> None:
    """Build an sdist and a wheel, install each into a bare environment and import it there."""
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder / "dist", ignore_errors=True)
    constrain = constraint(session, CONSTRAINTS)
    session.install(*constrain, *GROUPS["build"], *BUILD_BACKEND)
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(ROOT))
    for built in sorted((folder / "dist").iterdir()):
        bare = folder / "bare"
        session.run("python", "-m", "venv", "--clear", str(bare))
        python = str(bare / ("Scripts" if sys.platform == "win32" else "bin") / "python")
        session.run(python, "-m", "pip", "install", "-q", *constrain, str(built), external=True)
        with session.chdir(folder):  # out of reach of the checkout
            session.run(python, "-W", "error", str(ROOT / "tests/installed.py"), external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Every rule that `.pre-commit-config.yaml` lists."""
    session.install(*constraint(session, CONSTRAINTS), *GROUPS["lint"])
    rules = (ROOT / ".pre-commit-config.yaml").read_text("utf8")
    for command in re.findall(r"^ +entry: (.+)$", rules, re.MULTILINE):
        session.run(*shlex.split(command))


@nox.session
def types(session: nox.Session) -> None:
    """mypy and pyright, both strict, and the types of the whole public surface."""
    install(session, "mcp,trio,skills,cli", "types")
    session.run("mypy")
    session.run("pyright")
    with session.chdir(session.create_tmp()):  # out of reach of the checkout: what an installed package shows
        session.run("pyright", "--verifytypes", "aimu", "--ignoreexternal")


@nox.session
def bench(session: nox.Session) -> None:
    """Benchmarks: all, or `-- NAME...`; `-- report` and `-- compare A B` show results. See benchmarks/README.md."""
    arguments = list(session.posargs)
    if arguments[:1] in (["report"], ["compare"]):
        session.install(*constraint(session, CONSTRAINTS), *GROUPS["bench"])
    else:
        install(session, "hf,llamacpp,openai,anthropic,trio", "test", "bench")
    for option, made in (("--peers", peers), ("--llama-server", llama_server)):
        if option in arguments:
            arguments.insert(arguments.index(option) + 1, os.fspath(made(session)))
    session.run("python", "-m", "benchmarks", *arguments, env=ENGINE_ENV)


@nox.session
def tried(session: nox.Session) -> None:
    """Try what aimu and other libraries do when something goes wrong; the table is in docs/explanation/compared.md."""
    install(session, "trio", "test")
    folder = peers(session, "trio")
    session.run("python", "-m", "benchmarks.tried", os.fspath(folder), "docs/explanation/compared.md")


def peers(session: nox.Session, *more: str) -> Path:
    """The environments of other libraries, in a folder: each, with `more`, at the version that was newest when made."""
    folder = Path(session.virtualenv.location) / "peers"
    for name, packages in PEERS.items():
        python = folder / name / "bin/python"
        if not python.exists():
            session.run_install("python", "-m", "venv", os.fspath(folder / name))
            session.run_install(os.fspath(python), "-m", "pip", "install", "-q", *packages, *more, external=True)
    return folder


def llama_server(session: nox.Session) -> Path:
    """llama.cpp's server, compiled from the source package of llama-cpp-python with the flags of its wheel."""
    pins = constraint(session, CONSTRAINTS)
    version = llama_cpp_version(session, requirement("llamacpp", "llama-cpp-python"), pins)
    kept = llama_cpp_wheels() / f"llama-server-{version}"
    if not kept.exists():
        session.install("cmake", "ninja")
        flags = ["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=OFF", "-DBUILD_SHARED_LIBS=OFF"]
        flags += [f"-DLLAMA_{name}=OFF" for name in ("OPENSSL", "BUILD_TESTS", "BUILD_EXAMPLES")]
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:  # moved when whole: another session may look
            with llama_cpp_source(session, version, Path(folder)) as package:
                package.extractall(folder)
            (source,) = Path(folder).glob("*/vendor/llama.cpp")
            made = Path(folder, "made")
            with heartbeat(session, f"compiling the server of llama.cpp {version}", "about 6 minutes on two cores"):
                session.run_install("cmake", "-S", os.fspath(source), "-B", os.fspath(made), *flags, silent=True)
                session.run_install("cmake", "--build", os.fspath(made), "--target", "llama-server", silent=True)
            (made / "bin/llama-server").replace(kept)
    return kept


@contextmanager
def llama_cpp_source(session: nox.Session, version: str, folder: Path) -> Iterator[tarfile.TarFile]:
    """The source package of llama-cpp-python, which holds that of llama.cpp."""
    source = ("--no-binary", "llama-cpp-python", f"llama-cpp-python=={version}", "-d", os.fspath(folder))
    session.run_install("python", "-m", "pip", "download", "-q", "--no-deps", *source)
    with tarfile.open(folder / f"llama_cpp_python-{version}.tar.gz") as package:
        # Python 3.11 has the filter since 3.11.4; without it, 3.12 and 3.13 warn.
        package.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        yield package


@nox.session
def docs(session: nox.Session) -> None:
    """Execute every code block of README and docs, check their links, and build the site into site/."""
    install(session, "hf,llamacpp,openai,trio,skills,mcp", "test", "docs")
    session.run("python", "-m", "pytest", "tests/test_docs.py", *session.posargs, env=ENGINE_ENV)
    build_site(session)


@nox.session
def site(session: nox.Session) -> None:
    """Build the site into site/, every warning an error; the code blocks are not run."""
    install(session, "", "docs")
    build_site(session)


def build_site(session: nox.Session) -> None:
    session.run("python", "-m", "mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def browser(session: nox.Session) -> None:
    """The chat of docs/examples/chat_web and all pages of the site in Chromium: this machine's, or one from npm."""
    install(session, "mcp,trio", "test", "browser", "docs")
    build_site(session)
    command = os.environ.get("AIMU_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_COMMANDS)), None)
    env = {"AIMU_CHROMIUM": command or chromium(session)}
    tests = ("tests/examples", "tests/test_site_looks.py")
    session.run("python", "-m", "pytest", "-m", "browser", *tests, *session.posargs, env=env)


def chromium(session: nox.Session) -> str:
    """The path of the Chromium that npm has for Linux on x86-64."""
    folder = Path(session.create_tmp()).resolve()
    where = "import('@sparticuz/chromium').then(async it => console.log(await it.default.executablePath()))"
    remedy = "no Chromium on this machine, and none from npm; install one or set AIMU_CHROMIUM to its path"
    if (sys.platform, platform.machine()) != ("linux", "x86_64") or not shutil.which("npm"):
        session.error(remedy)
    with session.chdir(folder):
        session.run("npm", "install", "--prefix", ".", CHROMIUM, external=True)
        path = str(session.run("node", "-e", where, external=True, silent=True)).strip()
    if subprocess.run([path, "--version"], capture_output=True, check=False).returncode:
        session.error(f"{remedy}; that of npm does not start here")
    return path


@nox.session
def picture(session: nox.Session) -> None:
    """Run the demo and draw what it prints, for README and the site: docs/demo.light.svg and docs/demo.dark.svg."""
    install(session, "hf,trio")
    session.run("python", "-m", "aimu._tools.demo_picture", *session.posargs, env=ENGINE_ENV)


@nox.session
def formats(session: nox.Session) -> None:
    """Probe the chat templates in the source package of llama-cpp-python; the table is in docs/chat-formats.md."""
    install(session, "", "test")
    pins = constraint(session, CONSTRAINTS)
    session.install(*pins, requirement("llamacpp", "jinja2"))
    version = llama_cpp_version(session, requirement("llamacpp", "llama-cpp-python"), pins)
    folder = Path(session.create_tmp())
    templates = folder / "templates"
    shutil.rmtree(templates, ignore_errors=True)
    templates.mkdir()
    with llama_cpp_source(session, version, folder) as package:
        for member in package:
            if (
                member.name.endswith(".jinja")
                and "/models/templates/" in member.name
                and (file := package.extractfile(member))
            ):
                (templates / Path(member.name).name).write_bytes(file.read())
    session.run("python", "-m", "tests.engines.formats.survey", os.fspath(templates), "docs/chat-formats.md")


@nox.session
def models(session: nox.Session) -> None:
    """Compare each architecture and kind of GGUF with its library; the tables are in docs/local-models.md."""
    install(session, "hf,llamacpp", "test")
    session.run("python", "-m", "tests.engines.survey", "docs/local-models.md", env=ENGINE_ENV)


@nox.session
def gpu(session: nox.Session) -> None:
    """Check engines, batches and images on a GPU, and print a table; fails where there is none."""
    install(session, "hf,llamacpp", "test", cuda=True)
    session.run("python", "-m", "tests.engines.gpu", *session.posargs, env=ENGINE_ENV)


@nox.session
def servers(session: nox.Session) -> None:
    """Model and MCP servers of other projects on this machine, and the long churn of MCP connections."""
    install(session, "hf,llamacpp,openai,anthropic,mcp,trio", "test", "servers")
    folder = Path(session.create_tmp())
    env = {**ENGINE_ENV, "AIMU_MCP_CHURN": "200", "AIMU_LITELLM": litellm(session)}
    left_out = mcp_servers(session, folder, env)
    session.run("python", "-m", "pytest", "-m", "real_servers", *left_out, *session.posargs, env=env)
    session.run("python", "-m", "pytest", "tests/mcp/test_churn.py", "-s", env=env)


@nox.session
def conformance(session: nox.Session) -> None:
    """MCP's conformance suite against serve_mcp and the client in all forms; `-- server sync` runs some of these."""
    install(session, "mcp,trio", "conformance")
    folder = Path(session.create_tmp()).resolve()
    session.run("npm", "install", "--prefix", str(folder), CONFORMANCE)
    program = folder / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
    command = shlex.join(["node", str(program)])
    session.run("python", "-m", "tests.conformance", command, *session.posargs)


def mcp_servers(session: nox.Session, folder: Path, env: dict[str, str]) -> list[str]:
    """Install the MCP servers that npm has, and tell the tests where; pytest's options to leave out the others."""
    left_out = []
    npm = shutil.which("npm")
    for name, (package, command, tests) in MCP_SERVERS.items():
        reason = "there is no npm"
        if npm and name != "EVERYTHING" and (sys.platform, platform.machine()) != ("linux", "x86_64"):
            reason = "only its binary for Linux on x86-64 is known here"
        elif npm:
            session.run(npm, "install", "--prefix", str(folder), package, external=True, success_codes=range(256))
            installed = folder / "node_modules" / command
            env[f"AIMU_MCP_{name}"] = str(installed)
            if installed.exists():
                continue
            reason = "npm could not install it"
        session.warn(f"LEFT OUT: the MCP server {package}, because {reason}; tests named {tests}* are not run.")
        left_out.append(f"--deselect=tests/mcp/test_servers.py::{tests}")
    return left_out


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
    """Everything: default sessions, all combinations, other versions, quick benchmarks, docs and the package."""
    for name in (
        "lint",
        "types",
        "tests",
        "explore",
        "compat",
        "newest",
        "lowest",
        "servers",
        "conformance",
        "formats",
        "models",
        "docs",
        "browser",
        "demo",
        "package",
    ):
        session.notify(name)
    session.notify("bench", posargs=["--quick"])
