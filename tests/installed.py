"""A program for an environment that has the built package and its hard dependencies, and nothing else."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
import sysconfig

import aimu
import aimu.agents
import aimu.aio
import aimu.evals
import aimu.models
import aimu.skills
import aimu.testing
import aimu.tools
from aimu.testing import ScriptedProvider, tiny_gguf, tiny_model

assert "site-packages" in aimu.__file__, aimu.__file__
assert importlib.metadata.version("aimu") == aimu.__version__
for package in (aimu, aimu.agents, aimu.aio, aimu.evals, aimu.models, aimu.skills, aimu.testing, aimu.tools):
    for name in package.__all__:
        getattr(package, name)
assert json.loads((tiny_model() / "config.json").read_text("utf8"))
assert tiny_gguf().stat().st_size > 500_000
with aimu.client(ScriptedProvider("Hello.")) as client:
    assert client.chat("Hi") == "Hello."
assert subprocess.run([sys.executable, "-m", "aimu", "models", "claude"], stdout=subprocess.DEVNULL).returncode == 0
refused = subprocess.run(
    [shutil.which("aimu", path=sysconfig.get_path("scripts")), "chat"], capture_output=True, text=True
)
assert refused.returncode == 2, refused
assert "the extra 'cli'" in refused.stderr, refused
print(f"aimu {aimu.__version__} is installed and works on Python {sys.version.split()[0]}")
