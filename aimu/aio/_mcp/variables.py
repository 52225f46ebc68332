"""Variables in configurations: `${VAR}`, `${env:VAR}`, `${VAR:-default}`, `${input:ID}`, `~`. None is left as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias, final

from aimu.errors import InvalidOptionError

Inputs: TypeAlias = Mapping[str, str] | Callable[[str, str], str]

_INNER = r"\$\{[^}]*\}"
_VARIABLE = re.compile(rf"\$\{{(?:(env|input):)?([^}}:]+)(?::-((?:{_INNER}|(?!\$\{{)[^}}])*))?\}}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# https://code.visualstudio.com/docs/reference/variables-reference (read 2026-11-26)
_OF_EDITORS: dict[str, Callable[[], str]] = {
    "userHome": partial(os.path.expanduser, "~"),
    "workspaceFolder": os.getcwd,
    "workspaceRoot": os.getcwd,
    "cwd": os.getcwd,
    "pathSeparator": lambda: os.sep,
    "/": lambda: os.sep,
}


@final
class Variables:
    """The values of variables for one configuration.

    Args:
        inputs: Values for `${input:ID}`, or a function that is asked for each once, with its id and description.
        described: The descriptions of the inputs by id, as VS Code's `inputs` have them.
    """

    def __init__(self, inputs: Inputs | None = None, described: Mapping[str, str] | None = None) -> None:
        self._inputs = inputs
        self._described = described or {}
        self._answers: dict[str, str] = {}

    def expand(self, value: Any, refuse: Callable[[str], InvalidOptionError]) -> Any:
        """Return a JSON value with the variables in its texts replaced, and with numbers as texts.

        Raises:
            InvalidOptionError: A variable has no value; `refuse` makes the error of the reason.
        """
        if isinstance(value, str):
            head, brace, tail = value.rpartition("}")  # without what no brace closes, where each `${` looks for one
            return _VARIABLE.sub(lambda match: self._value(match, refuse), head + brace) + tail
        if isinstance(value, list):
            return [self.expand(item, refuse) for item in value]
        if isinstance(value, Mapping):
            return {str(key): self.expand(item, refuse) for key, item in value.items()}
        return str(value) if type(value) in (int, float) else value

    def _value(self, match: re.Match[str], refuse: Callable[[str], InvalidOptionError]) -> str:
        kind, name, default = match.groups()
        if kind == "input":
            return self._input(name, default, refuse)
        if kind is None and name in _OF_EDITORS:
            return _OF_EDITORS[name]()
        if not _NAME.fullmatch(name):
            raise refuse(f"the variable {match[0]} is unknown; known are ${{VAR}}, ${{env:VAR}} and ${{input:ID}}")
        text = os.environ.get(name)
        if not text and default is not None:
            return str(self.expand(default, refuse))
        if text is None:
            raise refuse(f"the environment variable {name} is not set; set it or write ${{{name}:-default}}")
        return text

    def _input(self, name: str, default: str | None, refuse: Callable[[str], InvalidOptionError]) -> str:
        if name in self._answers:
            return self._answers[name]
        inputs = self._inputs
        if callable(inputs):
            answer: object = inputs(name, self._described.get(name, ""))
        else:
            answer = None if inputs is None else inputs.get(name)
            if answer is None and default is not None:
                answer = self.expand(default, refuse)
        if not isinstance(answer, str):
            raise refuse(f"it asks for the input {name!r}; pass inputs= with a value for it, or a function that asks")
        self._answers[name] = answer
        return answer


def home(path: str) -> str:
    """Return a path with a leading `~` expanded, as a shell does."""
    return os.path.expanduser(path) if path == "~" or path.startswith(("~/", "~\\")) else path


def is_line(value: object) -> bool:
    """Return whether a value is a text that a header of HTTP can have."""
    return isinstance(value, str) and value.isascii() and value.isprintable()
