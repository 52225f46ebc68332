"""What several tests of skills begin with."""

import os

import pytest

from aimu.skills import Skill
from tests.skills.written import write


@pytest.fixture
def bundle(tmp_path):
    """A skill with files, beside a secret that several links lead to."""
    folder = write(tmp_path / "root")
    (tmp_path / "secret").write_text("SECRET")
    (tmp_path / "root" / "secret").write_text("SECRET")
    (folder / "scripts").mkdir()
    (folder / "scripts" / "run.py").write_text("print()")
    (folder / "logo.png").write_bytes(b"\x89PNG\xff")
    (folder / ".hidden").write_text("x")
    (folder / "same").symlink_to("logo.png")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    (folder / "scripts" / "out").symlink_to("../../secret")
    os.mkfifo(folder / "pipe")
    return Skill.load(folder)
