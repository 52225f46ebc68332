"""What a GPU would do differently, as far as a CPU can tell, and the program that checks it on one."""

import pytest
import torch

from aimu.engines._torch_model import Sampler, checked
from tests.engines import gpu

pytestmark = pytest.mark.engines


def test_without_a_gpu_the_checks_say_so_and_fail(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main() == 1
    assert "there is no GPU for torch" in capsys.readouterr().out


def test_the_checks_print_a_table_and_succeed_where_all_texts_are_equal(monkeypatch, capsys):
    monkeypatch.setattr(gpu, "FAMILIES", ["llava"])
    assert gpu.main("cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("|---")
    assert [line.split(" | ")[1] for line in lines[2:]] == ["equal"] * 6


def test_a_text_that_differs_fails(monkeypatch, capsys):
    monkeypatch.setattr(gpu, "text_checks", lambda device: [("hf", False, 1.0, 1.0)])
    monkeypatch.setattr(gpu, "vision_checks", lambda device: [])
    assert gpu.main("cpu") == 1
    assert "| hf | DIFFERS |" in capsys.readouterr().out


class OnGPU(torch.Tensor):
    """A tensor that says that it is on a GPU."""

    @property
    def device(self):
        return torch.device("cuda")


class Settings:
    do_sample = True


def drawn(odds, generator):
    sampler = Sampler(Settings(), "cpu")
    sampler._generator = generator
    return int(sampler._drawn(torch.tensor([odds]).as_subclass(OnGPU)))


def test_a_gpu_draws_tokens_by_their_odds():
    generator = torch.Generator().manual_seed(3)
    odds = [0.5, 0.3, 0.2, 0.0]
    counts = torch.bincount(torch.tensor([drawn(odds, generator) for _ in range(4000)]), minlength=4)
    assert counts[3] == 0
    assert torch.allclose(counts / 4000, torch.tensor(odds), atol=0.03)


def test_odds_that_are_no_numbers_are_an_error_without_another_wait():
    assert drawn([float("nan"), 1.0], None) == -1
    with pytest.raises(ValueError, match="not numbers"):
        checked(-1)
    assert checked(3) == 3
