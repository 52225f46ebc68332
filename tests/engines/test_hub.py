"""Models that are fetched by name, from the cache of the hub or from a hub on the loopback."""

import hashlib
import io
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import huggingface_hub
import pytest
from huggingface_hub import constants

import aimu
from aimu import aio
from aimu.engines import _hub
from aimu.engines._gguf_names import gguf_parts
from aimu.engines._huggingface import HuggingFaceEngine
from aimu.engines._llamacpp import LlamaCppEngine
from aimu.errors import ClosedClientError, EngineError, NotEnoughMemoryError
from aimu.testing import tiny_gguf, tiny_model
from tests.engines.asking import ask
from tests.engines.hub import serving_hub
from tests.holding import Hold, join, start, until, wait_in_thread

pytestmark = pytest.mark.engines

HELLO = "Hello! How can I help you today?"
GGUF = tiny_gguf().read_bytes()
HF = {path.name: path.read_bytes() for path in Path(tiny_model()).iterdir() if path.is_file()}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub whose models are fetched into an empty cache."""
    with serving_hub() as hub:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 4096)
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
        huggingface_hub.close_session()
        yield hub
        huggingface_hub.close_session()


def opened(name, **options):
    return LlamaCppEngine(name, threads=1, n_ctx=512, lazy=True, **options)


async def hello(engine):
    return (await engine.complete(ask("Say hello."))).text


@pytest.mark.parametrize("wanted", ["Q8_0", "q8_0", "tiny-Q8_0.gguf"])
async def test_a_gguf_model_is_fetched_by_quant_or_file_and_then_taken_from_the_cache(hub, wanted):
    hub.files["org/tiny"] = {"tiny-Q8_0.gguf": GGUF, "tiny-Q4_K_M.gguf": b"GGUF", "README.md": b"Hi"}
    engine = opened(f"org/tiny:{wanted}")
    assert await hello(engine) == HELLO
    await engine.aclose()
    assert len(hub.got("tiny-Q8_0.gguf")) == 1
    assert hub.got("tiny-Q4_K_M.gguf") == []
    hub.asked.clear()
    again = opened(f"org/tiny:{wanted}")
    assert await hello(again) == HELLO
    assert hub.asked == []
    await again.aclose()


async def test_all_parts_of_a_split_file_are_fetched(hub, tmp_path):
    parts = {f"Q8_0/tiny-Q8_0-0000{number}-of-00003.gguf": b"GGUF" + bytes([number]) * 100 for number in (1, 2, 3)}
    hub.files["org/tiny"] = parts
    found = _hub.fetch_gguf(("org/tiny", "Q8_0"), lambda: False, lambda needed: None)
    assert found.name == "tiny-Q8_0-00001-of-00003.gguf"
    assert [part.read_bytes() for part in gguf_parts(found)] == list(parts.values())


async def test_an_interrupted_download_is_continued(hub):
    hub.files["org/tiny"] = {"tiny-Q8_0.gguf": GGUF}
    hub.cut = [100_000] + [0] * 5  # the first connection breaks off, and so do all retries
    engine = opened("org/tiny")
    with pytest.raises(EngineError, match="cannot fetch 'tiny-Q8_0.gguf' of org/tiny from .*what has arrived is kept"):
        await engine.complete(ask("Say hello."))
    hub.asked.clear()
    assert await hello(engine) == HELLO
    (span,) = hub.got("tiny-Q8_0.gguf")
    assert 90_000 < int(span.removeprefix("bytes=").removesuffix("-")) <= 100_000
    await engine.aclose()


@pytest.mark.parametrize("name", ["sha256", "git"])
@pytest.mark.parametrize(
    "left", [b"GGUF" + bytes(50_000), GGUF[:70_000] + b"?", bytes(len(GGUF)), bytes(len(GGUF) + 9)]
)
async def test_what_a_damaged_download_left_is_fetched_anew(hub, name, left, caplog):
    hub.files["org/tiny"] = {"tiny-Q8_0.gguf": GGUF}
    git = hashlib.sha1(f"blob {len(GGUF)}\0".encode() + GGUF, usedforsecurity=False).hexdigest()
    hub.etag = git if name == "git" else hashlib.sha256(GGUF).hexdigest()
    unfinished = _hub.Place("org/tiny").unfinished(hub.etag)
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(left)
    engine = opened("org/tiny")
    with caplog.at_level(logging.WARNING, "aimu.engines"):
        assert await hello(engine) == HELLO
    await engine.aclose()
    assert ("was damaged; it begins anew" in caplog.text) == (len(left) <= len(GGUF))
    assert not unfinished.exists()


def test_processes_that_fetch_the_same_file_fetch_it_once(hub):
    hub.files["org/tiny"] = {"tiny-Q8_0.gguf": GGUF}
    code = (
        "import sys\n"
        "from aimu.engines._hub import fetch_gguf\n"
        "print(fetch_gguf(('org/tiny', ''), lambda: False, lambda needed: None).stat().st_size)\n"
    )
    place = {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": constants.HF_HUB_CACHE, "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-c", code]
    hub.held = Hold()
    with hub.held:
        running = [
            subprocess.Popen(command, env=os.environ | place, stdout=subprocess.PIPE, text=True) for _ in range(2)
        ]
        wait_in_thread(hub.held.reached.is_set)
    assert [process.communicate(timeout=120)[0] for process in running] == [f"{len(GGUF)}\n"] * 2
    assert len(hub.got("tiny-Q8_0.gguf")) == 1


async def test_a_cancellation_during_a_download_takes_effect_at_once_and_what_arrived_is_kept(hub):
    hub.files["org/tiny"] = {"tiny-Q8_0.gguf": GGUF}
    hub.held = Hold()
    engine = opened("org/tiny")
    with hub.held:
        with anyio.move_on_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(engine.complete, ask("Say hello."))
                await until(hub.held.reached.is_set)
                group.cancel_scope.cancel()
        assert not hub.held.released.is_set()
        await until(lambda: engine.worker.running == 0)
    await until(lambda: not [thread for thread in threading.enumerate() if thread.name == "aimu download"])
    hub.held = None
    hub.asked.clear()
    assert await hello(engine) == HELLO
    assert hub.got("tiny-Q8_0.gguf")[0] is not None
    await engine.aclose()


def test_closing_during_a_download_ends_it(hub):
    hub.files["org/tiny"] = {"tiny-Q8_0.gguf": GGUF}
    hub.held = Hold()
    engine, errors = opened("org/tiny"), []

    def load():
        try:
            engine.load()
        except ClosedClientError as exc:
            errors.append(exc)

    with hub.held:
        threads = start(load)
        wait_in_thread(hub.held.reached.is_set)
        engine.close()
        join(threads)
        assert len(errors) == 1
    wait_in_thread(lambda: not [thread for thread in threading.enumerate() if thread.name == "aimu download"])


class TestRefused:
    async def said(self, name):
        engine = opened(name)
        with pytest.raises(EngineError) as caught:
            await engine.complete(ask("Say hello."))
        await engine.aclose()
        return str(caught.value)

    async def test_an_ambiguous_quant_lists_the_files(self, hub):
        hub.files["org/tiny"] = {"a-Q4_K_M.gguf": b"GGUF", "b-Q4_K_M.gguf": b"GGUF", "a-Q8_0.gguf": b"GGUF"}
        said = await self.said("org/tiny:Q4_K_M")
        assert "several files for 'Q4_K_M': a-Q4_K_M.gguf, b-Q4_K_M.gguf; write 'llamacpp:org/tiny:<file>'" in said
        assert "several files: a-Q4_K_M.gguf, a-Q8_0.gguf, b-Q4_K_M.gguf" in await self.said("org/tiny")

    async def test_a_quant_that_is_not_there(self, hub):
        hub.files["org/tiny"] = {"a-Q4_K_M.gguf": b"GGUF"}
        said = await self.said("org/tiny:Q5_K_M")
        assert "has no GGUF file for 'Q5_K_M'; it has: a-Q4_K_M.gguf; did you mean 'a-Q4_K_M.gguf'?" in said

    @pytest.mark.parametrize("answer", [(404, "RepoNotFound"), (401, "RepoNotFound"), (401, "")])
    async def test_a_repository_that_does_not_exist(self, hub, monkeypatch, answer):
        monkeypatch.delenv("HF_TOKEN", raising=False)
        hub.refusals["org/nothing"] = answer
        assert "the Hub has no model 'org/nothing' for you: it does not exist, or it is private" in await self.said(
            "org/nothing:Q8_0"
        )

    async def test_a_refused_token(self, hub, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_refused")
        hub.refusals["org/tiny"] = 401, ""
        assert "the token was refused, or it is private; check the name, and log in" in await self.said("org/tiny:Q8_0")

    async def test_a_gated_repository(self, hub):
        hub.refusals["org/tiny"] = 403, "GatedRepo"
        assert f"org/tiny is gated: accept its conditions at {hub.url}/org/tiny" in await self.said("org/tiny:Q8_0")

    async def test_a_hub_that_cannot_be_reached(self, hub, monkeypatch):
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        assert "cannot fetch the files of org/tiny from http://127.0.0.1:9" in await self.said("org/tiny:Q8_0")

    async def test_offline(self, hub, monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert "since HF_HUB_OFFLINE is set); unset it to download, or give" in await self.said("org/tiny:Q8_0")
        assert hub.asked == []

    async def test_a_model_larger_than_the_memory_is_refused_before_it_is_downloaded(self, hub, monkeypatch):
        hub.files["org/tiny"] = {"tiny-Q8_0.gguf": GGUF}
        monkeypatch.setattr("aimu.engines._llamacpp.available_memory", lambda: 1000)
        engine = opened("org/tiny")
        with pytest.raises(NotEnoughMemoryError, match=r"'org/tiny' need .* GB of memory.*smaller quant") as caught:
            await engine.complete(ask("Say hello."))
        assert (caught.value.needed, caught.value.available) == (len(GGUF), 1000)
        assert hub.got("tiny-Q8_0.gguf") == []
        await engine.aclose()

    @pytest.mark.parametrize("path", ["../../a.gguf", "/a.gguf", "a/../../b.gguf", "..\\a.gguf"])
    async def test_a_path_outside_the_repository(self, hub, path):
        hub.files["org/tiny"] = {path: GGUF}
        assert f"org/tiny lists {path!r}, a path outside itself; nothing is fetched" in await self.said("org/tiny")
        assert [path for _, path, _ in hub.asked if "/resolve/" in path] == []

    @pytest.mark.parametrize("etag", [".", "..", "../../out", "..\\out", "a/b"])
    async def test_an_etag_that_is_a_path(self, hub, tmp_path, etag):
        hub.files["org/tiny"], hub.etag = {"tiny-Q8_0.gguf": GGUF}, etag
        assert f"'tiny-Q8_0.gguf' of org/tiny the ETag {etag!r}, a path; not fetched" in await self.said("org/tiny")
        assert hub.got("tiny-Q8_0.gguf") == []
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("xet", [False, True])
async def test_a_token_is_sent_to_the_hub_only(hub, monkeypatch, xet):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.files["org/tiny"], hub.xet = {"tiny-Q8_0.gguf": GGUF}, xet
    with serving_hub() as hub.store:
        hub.store.files = hub.files
        engine = opened("org/tiny")
        assert await hello(engine) == HELLO
        await engine.aclose()
        about = [token for token, (_, path, _) in zip(hub.tokens, hub.asked, strict=True) if "org/tiny" in path]
        assert set(about) == {"Bearer hf_secret"}  # huggingface_hub asks once, without it, what agents there are
        assert set(hub.store.tokens) == {None}


async def test_a_file_too_large_for_http_comes_from_the_store_of_its_chunks(hub, monkeypatch):
    def chunks(*, incomplete_path, **_):
        incomplete_path.write_bytes(GGUF)

    monkeypatch.setattr(constants, "MAX_HTTP_DOWNLOAD_SIZE", len(GGUF) - 1)
    monkeypatch.setattr("huggingface_hub.file_download.is_xet_available", lambda: True)
    monkeypatch.setattr("huggingface_hub.file_download.xet_get", chunks)
    hub.files["org/tiny"], hub.xet = {"tiny-Q8_0.gguf": GGUF}, True
    with serving_hub() as hub.store:
        engine = opened("org/tiny")
        assert await hello(engine) == HELLO
        await engine.aclose()
        assert hub.store.asked == []


def arrived():
    """Return the bytes of downloads that were interrupted."""
    return sum(path.stat().st_size for path in Path(constants.HF_HUB_CACHE).rglob("*.resumable"))


async def test_what_has_arrived_counts_as_free_on_the_disk(hub, monkeypatch):
    hub.files["org/tiny"] = {"tiny-Q8_0.gguf": GGUF}
    hub.cut = [100_000] + [0] * 5
    engine = opened("org/tiny")
    with pytest.raises(EngineError, match="what has arrived is kept"):
        await engine.complete(ask("Say hello."))
    needed, usage = len(GGUF) - arrived(), shutil.disk_usage(constants.HF_HUB_CACHE)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed - 1))
    assert 0 < arrived() <= 100_000
    with pytest.raises(EngineError, match=f"org/tiny needs {needed:,} bytes of disk in .*{needed - 1:,} are free"):
        await engine.complete(ask("Say hello."))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed))
    assert await hello(engine) == HELLO
    await engine.aclose()


@pytest.mark.parametrize(
    "make",
    [
        lambda: LlamaCppEngine(tiny_gguf(), threads=1),
        lambda: HuggingFaceEngine(tiny_model(), threads=1),
    ],
    ids=["llamacpp", "hf"],
)
def test_weights_larger_than_the_memory_raise_not_enough_memory_error(make, monkeypatch):
    for module in ("_llamacpp", "_torch_load"):
        monkeypatch.setattr(f"aimu.engines.{module}.available_memory", lambda: 1000)
    with pytest.raises(NotEnoughMemoryError, match="close other programs"):
        make()


async def test_an_hf_model_is_fetched_and_then_taken_from_the_cache(hub, monkeypatch):
    hub.files["org/tiny"] = dict(HF)
    hub.files["org/tiny"] |= {"pytorch_model.bin": b"another format", "onnx/model.onnx": b"and another"}
    engine = HuggingFaceEngine("org/tiny", threads=1, lazy=True)
    assert await hello(engine) == HELLO
    await engine.aclose()
    assert len(hub.got("model.safetensors")) == 1
    assert hub.got("pytorch_model.bin") == hub.got("model.onnx") == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    again = HuggingFaceEngine("org/tiny", threads=1, lazy=True)
    assert await hello(again) == HELLO
    await again.aclose()
    assert hub.asked == []


async def test_a_cancellation_of_an_hf_download_takes_effect_at_once(hub):
    hub.files["org/tiny"] = dict(HF)
    hub.held = Hold()
    engine = HuggingFaceEngine("org/tiny", threads=1, lazy=True)
    with hub.held:
        async with anyio.create_task_group() as group:
            group.start_soon(engine.complete, ask("Say hello."))
            await until(hub.held.reached.is_set)
            group.cancel_scope.cancel()
        assert not hub.held.released.is_set()
    await until(lambda: not [thread for thread in threading.enumerate() if thread.name == "aimu download"])
    hub.held = None
    assert await hello(engine) == HELLO
    await engine.aclose()


async def test_an_async_client_takes_a_name_of_the_hub(hub):
    hub.files["org/tiny"] = {"tiny-Q8_0.gguf": GGUF}
    client = aio.client(opened("org/tiny:Q8_0"))
    assert await client.chat("Say hello.") == HELLO
    await client.aclose()


def test_a_model_string_names_a_file_on_the_hub_in_a_fresh_process(hub, tmp_path):
    hub.files["org/tiny"] = {"tiny-Q8_0.gguf": GGUF}
    code = "import aimu\nwith aimu.client('llamacpp:org/tiny:Q8_0', threads=1) as c: print(c.chat('Say hello.'))"
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_CACHE": str(tmp_path / "other")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=env)
    assert (done.stdout, done.stderr) == (f"{HELLO}\n", "")
    with pytest.raises(EngineError, match="gated"):
        hub.refusals["org/other"] = 403, "GatedRepo"
        aimu.client("llamacpp:org/other", threads=1)


def test_a_terminal_shows_a_progress_bar_and_nothing_else_does(hub, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    hub.files["org/tiny"] = {"tiny-Q8_0.gguf": b"GGUF" + bytes(20_000)}
    hub.files["org/other"] = dict(hub.files["org/tiny"])
    monkeypatch.setattr("tqdm.std.tqdm.monitor_interval", 0)  # no thread that watches over bars
    for name, stream, shown in (("org/tiny", Terminal(), True), ("org/other", io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        _hub.fetch_gguf((name, ""), lambda: False, lambda needed: None)
        assert ("20.0k/20.0k" in stream.getvalue()) == shown
        assert bool(stream.getvalue()) == shown
