"""Names of GGUF models on the Hugging Face Hub, and the files that they mean: a quant, a file, all parts of one.

Looks at names only, but for whether a path exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from aimu._core.nearest import nearest
from aimu.errors import EngineError

_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_SHOWN = 12  # files that an error lists


def gguf_name(name: str) -> tuple[str, str] | None:
    """Return the repository and the quant or file that a name asks for, "" for any; None if it is a path."""
    repository, _, wanted = name.partition(":")
    if repository.lower().endswith(".gguf") or not _REPOSITORY.fullmatch(repository):
        return None
    return None if Path(repository).parent.is_dir() else (repository, wanted)


def choose_gguf(repository: str, paths: Iterable[str], wanted: str) -> list[str]:
    """Return the file of a quant, or its parts in order.

    Args:
        repository: The repository, for errors.
        paths: The files that there are.
        wanted: A quant such as "Q4_K_M", a file or its path, or "" if there is one model only.

    Raises:
        EngineError: No file fits, several do, or a part is missing; the text lists what there is.
    """
    models = models_in(paths)
    exact = [name for name, files in models.items() if wanted in (name, *files)]
    fitting = exact or [name for name, files in models.items() if _fits(wanted, name, files)]
    if len(fitting) != 1:
        names = fitting or list(models)
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        asked = f" for {wanted!r}" if wanted else ""
        if fitting:
            raise EngineError(f"{repository} has several files{asked}: {shown}; write 'llamacpp:{repository}:<file>'")
        quants = {re.split("[-./]", name[: -len(".gguf")])[-1].lower(): name for name in names}
        near = nearest(wanted, names) or [quants[quant] for quant in nearest(wanted.lower(), quants)]
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise EngineError(f"{repository} has no GGUF file{asked}; it has: {shown or 'none at all'}{hint}")
    files = models[fitting[0]]
    part = _PART.fullmatch(files[0])
    if part and len(files) != int(part[3]):
        raise EngineError(f"{repository} has only {len(files)} of the {int(part[3])} parts of {fitting[0]}")
    return files


def models_in(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the GGUF models among files, each with its file or its parts in order."""
    models: dict[str, list[str]] = {}
    for path in sorted(paths):
        if path.lower().endswith(".gguf") and not re.search(r"mmproj|imatrix", path.rpartition("/")[2].lower()):
            part = _PART.fullmatch(path)
            models.setdefault(f"{part[1]}.gguf" if part else path, []).append(path)
    return models


def gguf_parts(file: Path) -> list[Path]:
    """Return a GGUF file with its other parts, if it is the first of several."""
    part = _PART.fullmatch(file.name)
    if part is None:
        return [file]
    parts = (file.with_name(f"{part[1]}-{number:05}-of-{part[3]}.gguf") for number in range(1, int(part[3]) + 1))
    return [path for path in parts if path.is_file()]


def _fits(wanted: str, name: str, files: Sequence[str]) -> bool:
    if not wanted:
        return True
    if wanted.lower().endswith(".gguf"):
        known = [path.lower() for path in (name, *files)]
        return wanted.lower() in known or wanted.lower() in (path.rpartition("/")[2] for path in known)
    return bool(re.search(rf"(?:^|[-./_]){re.escape(wanted)}$", name[: -len(".gguf")], re.IGNORECASE))
