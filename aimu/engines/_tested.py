"""Lists the releases of the engines' libraries that passed the tests, and words the note in errors at loading.

The nox session `lock` rewrites the table, one line for each distribution, together with `constraints.txt`.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

TESTED = {  # distribution: (lowest, newest)
    "llama-cpp-python": ("0.3.36", "0.3.36"),
    "torch": ("2.6.0", "2.13.0"),
    "transformers": ("5.20.0", "5.24.0"),
}


def versions_note(distributions: tuple[str, ...]) -> str:
    """Say what is installed of `distributions`, what was tested, and how to install that."""
    installed = ", ".join(f"{name} {_installed(name)}" for name in distributions)
    tested = ", ".join(f"{name} {_span(*TESTED[name])}" for name in distributions)
    pins = " ".join(f"'{name}=={TESTED[name][1]}'" for name in distributions)
    return f"installed: {installed}; tested: {tested}; `pip install {pins}` installs tested versions"


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "of an unknown version"


def _span(lowest: str, newest: str) -> str:
    return lowest if lowest == newest else f"{lowest} to {newest}"
