"""Importing aimu is cheap: no SDK, no HTTP library, no model library, no validation library is loaded."""

import subprocess
import sys

import pytest

HEAVY = (
    "torch transformers openai anthropic mcp fastmcp pydantic httpx2 httpx trio llama_cpp llguidance jinja2 yaml numpy "
    "tqdm rich prompt_toolkit"
)


@pytest.mark.parametrize(
    "statement",
    ["import aimu", "import aimu.aio", "from aimu.tools import tool", "import aimu.models", "import aimu.testing"],
)
def test_nothing_heavy_is_imported(statement):
    program = f"import sys; {statement}; print(*sorted(set({HEAVY.split()!r}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert loaded.stdout.split() == []


def test_a_marked_tool_loads_no_validation_library():
    program = (
        "import sys\nfrom aimu.tools import tool\n@tool\ndef f(x: int) -> int:\n  'F.'\n  return x\n"
        "print('pydantic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.split() == ["False"], done.stderr
