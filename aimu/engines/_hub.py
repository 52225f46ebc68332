"""Fetches weights from the Hugging Face Hub into its cache: which files, resumed, stopped at once, refused in words.

What is in the cache is taken from there without a request. A download goes into a file beside its blob and is continued
from there, which huggingface_hub does not do (read in 2.4.0). Everything else of the cache is left to it, as are files
that the hub does not send by HTTP. Imports huggingface_hub inside functions, since that takes half a second.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

from attrs import frozen

from aimu._core.escaping import escaping
from aimu.engines._gguf_names import choose_gguf
from aimu.engines._rounds import Stopped
from aimu.errors import AimuError, EngineError, MissingExtraError

T = TypeVar("T")

_COMMIT = re.compile(r"\w{1,64}")
_ETAG = re.compile(r"\w[\w.-]{0,127}")
_POLL = 0.02  # seconds between two looks at the stop flag
_SMALL = ".json", ".jinja", ".txt", ".model", ".tiktoken", ".py"
"""Endings of the files beside the weights that transformers may read."""


log = escaping(logging.getLogger("aimu.engines"))


@frozen
class Listed:
    """A file on the hub; its `etag` is the name of its content in the cache."""

    size: int
    etag: str


@frozen
class Place:
    """Where the files of a repository are found, on the hub and in the cache."""

    repository: str
    revision: str = "main"
    token: Any = None
    cache: str | None = None

    @property
    def folder(self) -> Path:
        from huggingface_hub import constants

        return Path(self.cache or constants.HF_HUB_CACHE).expanduser() / f"models--{self.repository.replace('/', '--')}"

    @property
    def snapshot(self) -> Path:
        """The folder of the cached files of the revision, whether or not it exists."""
        named = self.folder / "refs" / self.revision
        written = named.read_text("utf8", errors="replace").strip() if named.is_file() else ""
        return self.folder / "snapshots" / (written if _COMMIT.fullmatch(written) else self.revision)

    def unfinished(self, etag: str) -> Path:
        """Return the file into which a content is downloaded, until it is whole."""
        return self.folder / "blobs" / f"{etag}.resumable"

    def cached(self) -> dict[str, int]:
        """Return the sizes of the cached files, by their path in the repository."""
        snapshot = self.snapshot
        found = (path for path in snapshot.rglob("*") if path.is_file())
        return {path.relative_to(snapshot).as_posix(): path.stat().st_size for path in found}


def fetch_gguf(name: tuple[str, str], stopped: Callable[[], bool], check: Callable[[int], None]) -> Path:
    """Return the path of a GGUF model, its first part if it has several, downloaded if it is not cached.

    Args:
        name: As `gguf_name` returns it.
        stopped: Asked again and again; once true, this raises Stopped.
        check: Called with the bytes of the model before it is downloaded.

    Raises:
        EngineError: The model cannot be found or fetched.
        Stopped: `stopped()` became true; what has arrived is kept.
    """
    repository, wanted = name
    _need_hub("llamacpp")
    place = Place(repository)
    try:
        cached = choose_gguf(repository, place.cached(), wanted)
    except EngineError as exc:
        _refuse_offline(place, str(exc), "give the path of a file as model_path=", exc)
    else:
        return place.snapshot / cached[0]
    known = abandonable(lambda gone: listed(place), stopped)
    files = choose_gguf(repository, known, wanted)
    check(sum(known[path].size for path in files))
    fetch(place, {path: known[path] for path in files}, stopped)
    return place.snapshot / files[0]


def fetch_model(place: Place, subfolder: str, stopped: Callable[[], bool]) -> None:
    """Download what transformers reads of a repository, unless its weights are cached; raises as `fetch_gguf`."""
    if weights_of(place.snapshot / subfolder) is not None:
        return
    _refuse_offline(place, f"{place.repository} is not complete in the cache", "give the path of a folder")
    known = abandonable(lambda gone: listed(place), stopped)
    inside = {path: file for path, file in known.items() if path.rpartition("/")[0] == subfolder}
    names = [path.rpartition("/")[2] for path in inside]
    weights = next((kind for kind in _WEIGHTS if any(kind.fullmatch(name) for name in names)), None)
    wanted = {
        path: file
        for path, file in inside.items()
        if path.endswith(_SMALL) or (weights is not None and weights.fullmatch(path.rpartition("/")[2]))
    }
    fetch(place, wanted, stopped)


_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors"), re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin")


def weights_of(folder: Path) -> list[Path] | None:
    """Return the files of weights in a folder, as transformers chooses them; None if one is missing."""
    for whole in ("model.safetensors", "pytorch_model.bin"):
        index = folder / f"{whole}.index.json"
        if (folder / whole).is_file():
            return [folder / whole]
        if index.is_file():
            parts = [folder / name for name in set(json.loads(index.read_text("utf8"))["weight_map"].values())]
            return parts if all(part.is_file() for part in parts) else None
    return None


def _need_hub(extra: str) -> None:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise MissingExtraError("huggingface_hub", extra)


def _refuse_offline(place: Place, why: str, remedy: str, cause: BaseException | None = None) -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        where = place.folder.parent
        raise EngineError(
            f"{why} (looked in the cache, {where}, since HF_HUB_OFFLINE is set); unset it to download, or {remedy}"
        ) from cause


def listed(place: Place) -> dict[str, Listed]:
    """Ask the hub for the files of a repository; raise EngineError if a path leads out of it."""
    from huggingface_hub import HfApi

    hub: Any = HfApi()
    with _words(place):
        entries = hub.list_repo_tree(place.repository, recursive=True, revision=place.revision, token=place.token)
        files = [entry for entry in entries if hasattr(entry, "size")]  # folders have none
    for entry in files:
        if ".." in (parts := PurePosixPath(entry.path.replace("\\", "/")).parts) or parts[:1] == ("/",):
            raise EngineError(f"{place.repository} lists {entry.path!r}, a path outside itself; nothing is fetched")
    return {entry.path: Listed(entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id) for entry in files}


def fetch(place: Place, files: Mapping[str, Listed], stopped: Callable[[], bool]) -> None:
    """Download files into the cache, and continue those that were interrupted; raises as `fetch_gguf`."""
    place.folder.mkdir(parents=True, exist_ok=True)
    known = place.cached()
    missing = sum(file.size - _arrived(place, file) for path, file in files.items() if path not in known)
    free = shutil.disk_usage(place.folder).free
    if missing > free:
        raise EngineError(
            f"{place.repository} needs {missing:,} bytes of disk in {place.folder.parent}, where {free:,} are free; "
            "free some, or set HF_HOME to a folder elsewhere"
        )
    for path in files:
        abandonable(partial(_download, place, path), stopped)


def _arrived(place: Place, file: Listed) -> int:
    """Return the bytes of a file that an interrupted download has left."""
    path = place.unfinished(file.etag)
    return min(path.stat().st_size, file.size) if _ETAG.fullmatch(file.etag) and path.is_file() else 0


def abandonable(work: Callable[[threading.Event], T], stopped: Callable[[], bool]) -> T:
    """Return the result of `work`, which runs in a thread of its own; raise Stopped as soon as `stopped()` is true.

    A thread that waits for the network cannot be ended: `work` gets an event that tells it to stop when it goes on.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    gone = threading.Event()

    def run() -> None:
        try:
            results.append(work(gone))
        except BaseException as exc:  # noqa: BLE001 - raised below
            errors.append(exc)

    thread = threading.Thread(target=run, name="aimu download", daemon=True)
    thread.start()
    while thread.is_alive():
        if stopped():
            gone.set()
            raise Stopped
        thread.join(_POLL)
    if errors:
        raise errors.pop()
    return results[0]


def _download(place: Place, path: str, gone: threading.Event) -> None:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import WeakFileLock, build_hf_headers

    with _words(place, path):
        url = hf_hub_url(place.repository, path, revision=place.revision)
        found = get_hf_file_metadata(url, token=place.token)
        etag = found.etag or ""
        if etag in (".", "..") or re.search(r"[/\\]", etag):
            raise EngineError(f"the hub gives {path!r} of {place.repository} the ETag {etag!r}, a path; not fetched")
        blob = place.folder / "blobs" / etag
        by_http = (found.size or 0) <= constants.MAX_HTTP_DOWNLOAD_SIZE
        if by_http and _ETAG.fullmatch(etag) and not blob.exists():
            source = found.location if found.xet_file_data is None else url
            headers = dict(build_hf_headers(token=place.token))
            if urlsplit(source)[:2] != urlsplit(url)[:2]:
                headers.pop("authorization", None)  # a signed URL of a store is not for the token
            blob.parent.mkdir(parents=True, exist_ok=True)
            lock = place.folder.parent / ".locks" / place.folder.name / f"{etag}.lock"
            lock.parent.mkdir(parents=True, exist_ok=True)
            unfinished = place.unfinished(etag)
            with WeakFileLock(lock):
                if not blob.exists():
                    get = partial(
                        http_get, source, headers=headers, expected_size=found.size, tqdm_class=_bar(path, gone)
                    )
                    if _continue(get, unfinished, found.size) and not _has_content(unfinished, etag, gone):
                        log.warning("what an interrupted download of %s left was damaged; it begins anew", path)
                        unfinished.unlink()
                        _continue(get, unfinished, found.size)
                    os.replace(unfinished, blob)
        hf_hub_download(
            place.repository,
            path,
            revision=place.revision,
            token=place.token,
            cache_dir=place.cache or constants.HF_HUB_CACHE,
            tqdm_class=_bar(path, gone),
        )


def _continue(get: Callable[..., object], path: Path, size: int | None) -> bool:
    """Download into a file behind what it has already; return whether it had something."""
    with path.open("ab") as file:
        known = file.tell()
        if size is not None and known > size:
            file.truncate(0)
            known = 0
        if known == size:
            return known > 0
        try:
            get(temp_file=file, resume_size=known)
        finally:
            file.flush()
    if size is not None and path.stat().st_size != size:
        path.unlink()
        raise OSError(f"the file has another size than {size:,} bytes; what arrived is deleted")
    return known > 0


def _has_content(path: Path, etag: str, gone: threading.Event) -> bool:
    """Return whether a file has the content that its ETag names; True if the ETag is no hash that the hub uses."""
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", etag):
        return True
    if len(etag) == 64:
        found = hashlib.sha256()
    else:  # as git names a file
        found = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            if gone.is_set():
                raise Stopped
            found.update(piece)
    return found.hexdigest() == etag


def _bar(path: str, gone: threading.Event) -> Any:
    """Return a class of progress bars that are shown in terminals only, and that end a download once `gone` is set."""
    utils: Any = import_module("huggingface_hub.utils")

    class Bar(utils.tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs["disable"] = True if not sys.stderr.isatty() else kwargs.get("disable")
            super().__init__(*args, **kwargs)

        def update(self, n: float | None = 1) -> bool | None:
            if gone.is_set():
                raise Stopped
            shown: bool | None = super().update(n)
            return shown

    return Bar


@contextmanager
def _words(place: Place, path: str = "") -> Generator[None]:
    """Raise what the hub or the network raises as EngineError, in words that say what to do."""
    try:
        yield
    except (AimuError, Stopped):
        raise
    except Exception as exc:
        raise EngineError(_told(place, path, exc)) from exc


def _told(place: Place, path: str, exc: Exception) -> str:
    from huggingface_hub import constants, errors

    name, response = place.repository, getattr(exc, "response", None)
    status = getattr(response, "status_code", None)
    login = "log in with `hf auth login`, or set HF_TOKEN"
    if isinstance(exc, errors.GatedRepoError):
        return f"{name} is gated: accept its conditions at {constants.ENDPOINT}/{name}, then {login}"
    if isinstance(exc, errors.RevisionNotFoundError):
        return f"{name} has no revision {place.revision!r}"
    if isinstance(exc, errors.EntryNotFoundError):
        return f"{name} has no file {path!r} at revision {place.revision!r}"
    if isinstance(exc, errors.RepositoryNotFoundError) or status in (401, 403, 404):
        # Without a token, the Hub answers 401 for what does not exist, too.
        refused = response is not None and status != 404 and "authorization" in response.request.headers
        known = "the token was refused" if refused else "it does not exist"
        return f"the Hub has no model {name!r} for you: {known}, or it is private; check the name, and {login}"
    what = f"{path!r} of {name}" if path else f"the files of {name}"
    kept = "; what has arrived is kept, and the next try goes on from there" if path else ""
    return f"cannot fetch {what} from {constants.ENDPOINT}: {type(exc).__name__}: {exc}{kept}"
