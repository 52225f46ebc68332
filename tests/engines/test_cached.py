"""What `aimu.models.local()` lists of a cache."""

import json
import shutil
import struct
from pathlib import Path

import pytest

import aimu
from aimu.engines._gguf_header import read_header
from aimu.models import HuggingFaceModel, LocalModel, local
from aimu.testing import tiny_gguf, tiny_model

pytestmark = pytest.mark.engines

COMMIT = "c" * 40


@pytest.fixture
def cached(tmp_path):
    """Writes files of a repository into a cache, and returns the folder with them."""

    def write(repository, **files):
        folder = tmp_path / f"models--{repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(COMMIT)
        snapshot = folder / "snapshots" / COMMIT
        for name, content in files.items():
            path = snapshot / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return snapshot

    return write


def listed(tmp_path):
    return {str(model): model for model in local(tmp_path)}


def test_an_hf_model_is_listed_with_what_its_files_show(cached, tmp_path):
    snapshot = cached("org/tiny-model")
    shutil.copytree(tiny_model(), snapshot)
    found = listed(tmp_path)
    model = found["hf:org/tiny-model"]
    assert found == {"hf:org/tiny-model": model}
    assert isinstance(model, LocalModel)
    assert (model.path, model.bytes) == (snapshot, (snapshot / "model.safetensors").stat().st_size)
    assert (model.spec.tools, model.spec.vision) == (True, False)
    with aimu.client(f"hf:{model.path}", threads=1) as client:
        assert client.chat("Say hello.") == "Hello! How can I help you today?"


def test_gguf_files_are_listed_one_by_one_and_split_ones_once(cached, tmp_path):
    parts = {f"big/big-Q4_K_M-0000{number}-of-00002.gguf": b"GGUF" + bytes(10) for number in (1, 2)}
    lacking = {"lacking-Q4_K_M-00001-of-00002.gguf": b"GGUF"}
    files = {"tiny-Q8_0.gguf": tiny_gguf().read_bytes(), "mmproj-tiny.gguf": b"GGUF", **parts, **lacking}
    snapshot = cached("org/tiny", **files)
    found = listed(tmp_path)
    assert list(found) == ["llamacpp:org/tiny:big/big-Q4_K_M.gguf", "llamacpp:org/tiny:tiny-Q8_0.gguf"]
    assert found["llamacpp:org/tiny:big/big-Q4_K_M.gguf"].bytes == 28
    model = found["llamacpp:org/tiny:tiny-Q8_0.gguf"]
    assert (model.spec.tools, model.spec.vision, model.path) == (True, False, snapshot / "tiny-Q8_0.gguf")


def test_a_model_of_the_catalog_has_the_facts_of_the_catalog(cached, tmp_path):
    cached("Qwen/Qwen3-8B", **{"config.json": {}, "model.safetensors": b"1234"})
    assert listed(tmp_path)["hf:Qwen/Qwen3-8B"].spec == HuggingFaceModel.QWEN_3_8B.spec


@pytest.mark.parametrize(
    ("config", "vision"),
    [
        ({"architectures": ["LlavaForConditionalGeneration"], "vision_config": {}}, True),
        ({"architectures": ["LlamaForCausalLM"]}, False),
        ({"architectures": ["FuyuForConditionalGeneration"]}, None),
        ({}, None),
        ([], None),
    ],
)
def test_vision_is_what_the_configuration_tells(cached, tmp_path, config, vision):
    cached("org/model", **{"config.json": config, "model.safetensors": b"1234"})
    spec = listed(tmp_path)["hf:org/model"].spec
    assert (spec.vision, spec.tools, spec.thinking) == (vision, None, None)


def test_what_is_not_complete_or_broken_is_not_listed_and_does_no_harm(cached, tmp_path):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    files = {"config.json": {}, "model.safetensors.index.json": index, "model-00001-of-00002.safetensors": b"1"}
    cached("org/half", **files)
    cached("org/broken", **{"config.json": b"{", "model.safetensors.index.json": b"["})
    cached("org/other", **{"README.md": b"Hi"})
    (tmp_path / "models--org--empty").mkdir()
    cached("org/file", **{"a-Q8_0.gguf": b"GGUF\x03\0\0\0"})
    assert [(str(model), model.spec.tools) for model in local(tmp_path)] == [("llamacpp:org/file:a-Q8_0.gguf", None)]


MODEL = {path.name: path.read_bytes() for path in Path(tiny_model()).iterdir() if path.is_file()}
WITHOUT_WEIGHTS = {name: content for name, content in MODEL.items() if name != "model.safetensors"}


@pytest.mark.parametrize(
    ("files", "count"),
    [
        (MODEL | {"chat_template.jinja": b"\xff\xfe{{"}, 1),
        (MODEL | {"chat_template.jinja": b"{% if %}"}, 1),
        (MODEL | {"config.json": b"[" * 100_000}, 1),
        (MODEL | {"config.json": b"\xff"}, 1),
        (WITHOUT_WEIGHTS | {"model.safetensors.index.json": b"[" * 100_000}, 0),
        (WITHOUT_WEIGHTS | {"model.safetensors.index.json": b"\xff"}, 0),
        (WITHOUT_WEIGHTS | {"model.safetensors.index.json": {"weight_map": {"a": 3}}}, 0),
        ({"m.gguf": b""}, 0),
        ({"m.gguf": b"<html>"}, 0),
    ],
)
def test_an_odd_file_hides_no_other_model(cached, tmp_path, files, count):
    shutil.copytree(tiny_model(), cached("org/good"))
    cached("org/odd", **files)
    assert len(local(tmp_path)) == 1 + count


@pytest.mark.parametrize("commit", [b"\xff\xfe\0", b"a" * 5000, b"../..", b"", None])
def test_an_odd_reference_hides_no_other_model(cached, tmp_path, commit):
    shutil.copytree(tiny_model(), cached("org/good"))
    named = cached("org/odd", **MODEL).parents[1] / "refs" / "main"
    named.unlink()
    if commit is not None:
        named.write_bytes(commit)
    assert list(listed(tmp_path)) == ["hf:org/good"]


def test_links_to_nothing_and_in_circles_do_no_harm(cached, tmp_path):
    shutil.copytree(tiny_model(), cached("org/good"))
    odd = cached("org/odd", **WITHOUT_WEIGHTS)
    (odd / "model.safetensors").symlink_to("/nowhere/at-all")
    (odd / "circle").symlink_to("circle")
    (odd / "folder").symlink_to(".")
    (odd / "a.gguf").symlink_to("/nowhere/at-all")
    assert list(listed(tmp_path)) == ["hf:org/good"]


def test_a_folder_that_may_not_be_read_hides_no_other_model(cached, tmp_path, monkeypatch):
    shutil.copytree(tiny_model(), cached("org/good"))
    odd = cached("org/odd", **MODEL)
    read = Path.rglob

    def refused(path, pattern):
        if path == odd:
            raise PermissionError(13, "no", str(path))
        return read(path, pattern)

    monkeypatch.setattr(Path, "rglob", refused)
    assert "hf:org/good" in listed(tmp_path)


def test_there_may_be_no_cache_and_no_hub(tmp_path, monkeypatch):
    assert local(tmp_path / "nothing") == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert local(tmp_path) == []


def test_the_header_of_a_file_is_what_llama_cpp_reads():
    header = read_header(tiny_gguf())
    assert header["general.architecture"] == "qwen3"
    assert "<|im_start|>" in header["tokenizer.chat_template"]
    assert "tokenizer.ggml.tokens" not in header


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGUF",
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60),
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 60),
        b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 77),
        b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 4, 1 << 60),
    ],
)
def test_a_file_that_breaks_off_or_lies_is_refused(content, tmp_path):
    path = Path(tmp_path) / "a.gguf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"GGUF|breaks off|values|unknown type"):
        read_header(path)
