"""Names of GGUF models: the files that they mean, and what is a path instead."""

from pathlib import Path

import pytest

from aimu.engines._gguf_names import choose_gguf, gguf_name
from aimu.errors import EngineError


def test_a_part_that_is_missing_is_named():
    with pytest.raises(EngineError, match="only 2 of the 3 parts of a-Q8_0.gguf"):
        choose_gguf("org/tiny", ["a-Q8_0-00001-of-00003.gguf", "a-Q8_0-00003-of-00003.gguf"], "Q8_0")


@pytest.mark.parametrize(
    ("wanted", "file"),
    [
        ("A-Q8_0.GGUF", "a-q8_0.gguf"),
        ("sub/b-f16.gguf", "Sub/B-F16.gguf"),
        ("b-f16.gguf", "Sub/B-F16.gguf"),
        ("a-Q4_0.gguf", "a-Q4_0.gguf"),
        ("a-q4_0.gguf", "a-q4_0.gguf"),
    ],
)
def test_a_file_is_found_in_any_case_and_first_as_it_is_written(wanted, file):
    files = ["a-q8_0.gguf", "Sub/B-F16.gguf", "a-Q4_0.gguf", "a-q4_0.gguf"]
    assert choose_gguf("org/tiny", files, wanted) == [file]


def test_a_projector_is_no_model():
    assert choose_gguf("org/tiny", ["a-Q8_0.gguf", "mmproj-a-Q8_0.gguf"], "Q8_0") == ["a-Q8_0.gguf"]


@pytest.mark.parametrize("name", ["./a/b", "/a/b", "a.gguf", "a/b.gguf", "~/a", "a/b/c:Q8", "tests/nothing", "a\\b"])
def test_what_can_only_be_a_path_is_never_looked_up_on_the_hub(name, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    assert gguf_name(name) is None
