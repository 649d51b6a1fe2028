"""Training over several processes, as torchrun starts them."""

from __future__ import annotations

import pytest
import torch

from models.data import Pictures
from models.labels import LabelSet
from models.training.batches import Batches
from models.training.material import Material
from models.training.processes import Processes, current_processes, joined_processes
from tests.unit.tiny import HEIGHT, WIDTH


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with joined_processes() as processes:
        assert (processes.rank, processes.world, processes.first) == (0, 1, True)
        module = torch.nn.Linear(1, 1)
        assert processes.wrap(module) is module


def test_torchrun_s_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert current_processes() == Processes(1, 3, current_processes().device)
    assert not current_processes().first


def test_processes_share_a_batch_out_among_them(pictures: Pictures, label_set: LabelSet) -> None:
    """Together they see what one process would, each its own part."""
    batches = Batches(Material(pictures, label_set), 8, photos=0.25, strength=0.0)
    whole = batches.batch(3, HEIGHT, WIDTH)[1]
    parts = [batches.batch(3, HEIGHT, WIDTH, rank, 2)[1] for rank in range(2)]
    assert [len(part["right"]) for part in parts] == [4, 4]
    for name in ("article_type", "base_colour"):
        together = torch.cat([part[name] for part in parts])
        assert sorted(together.tolist()) == sorted(whole[name].tolist())
