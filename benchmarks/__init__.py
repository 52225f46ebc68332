"""The benchmarks: a program a module, run by `nox -s bench` or `python -m benchmarks`; see README.md beside this file.

A module whose name has no underscore and that defines `measure(bench)` is a program. Its docstring says what it
measures, and `SECONDS` how long it takes on two quiet cores: in full, and with `--quick`.
"""

from __future__ import annotations

import os
from pathlib import Path

# One thread each, and nothing fetched: set before torch and llama.cpp are imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).parents[1]
