"""The pages of docs/examples/: the source of each program, and the notebook with its outputs."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LANGUAGES = {".py": "python", ".html": "html", ".md": "markdown", ".txt": "text"}
_ANSI = re.compile(r"\x1b\[[\d;]*m")


def pages(root: Path) -> dict[str, str]:
    """Return the Markdown of a page for each program, which is a file or a folder, by its path on the site.

    Args:
        root: The checkout.
    """
    folder = root / "docs" / "examples"
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".ipynb":
            found[f"examples/{path.stem}.md"] = _notebook(json.loads(path.read_text("utf8")))
        elif path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py"))):
            found[f"examples/{path.stem}.md"] = _program(path, folder)
    return found


def relinked(markdown: str, root: Path) -> str:
    """Return the text of the page that lists the programs, whose links to them are links to their pages.

    Args:
        markdown: The text.
        root: The checkout.
    """
    stems = {Path(page).stem for page in pages(root)}

    def link(match: re.Match[str]) -> str:
        return f"]({match[1]}.md)" if match[1] in stems else match[0]

    return re.sub(r"\]\((\w+)(?:/(?:\w+\.\w+)?|\.py|\.ipynb)\)", link, markdown)


def _program(path: Path, folder: Path) -> str:
    files = [path] if path.is_file() else sorted(path.rglob("*"), key=lambda file: (not _begins(file), file))
    parts = [f"# {path.name}"]
    for file in files:
        if (language := _LANGUAGES.get(file.suffix)) and "__pycache__" not in file.parts:
            name, text = file.relative_to(folder.parents[1]).as_posix(), file.read_text("utf8")
            if file.suffix == ".py":
                about, text = _apart(text)
                parts.append(about)
            parts.append(_fenced(text, f'{language} title="{name}"'))
    return "\n\n".join(parts) + "\n"


def _begins(file: Path) -> bool:
    """Whether a reader begins with this file of a program, since it says what to install."""
    return file.suffix == ".py" and "\n    pip install" in file.read_text("utf8")


def _apart(source: str) -> tuple[str, str]:
    """The docstring of a module, which is prose and wraps on a page, and the code below it."""
    tree = ast.parse(source)
    about = ast.get_docstring(tree)
    if about is None:
        return "", source
    return about, "\n".join(source.splitlines()[tree.body[0].end_lineno :])


def _fenced(text: str, head: str) -> str:
    fence = "````" if "```" in text else "```"
    return f"{fence}{head}\n{text.strip()}\n{fence}"


def _notebook(notebook: Any) -> str:
    parts: list[str] = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else _fenced(source, "python"))
        parts += [_fenced(_ANSI.sub("", text), 'text title="Output"') for text in _outputs(cell)]
    return "\n\n".join(parts) + "\n"


def _outputs(cell: Any) -> Iterator[str]:
    for output in cell.get("outputs", []):
        shown = output.get("text") or output.get("data", {}).get("text/plain") or output.get("traceback")
        if shown is not None:
            yield "".join(shown)
