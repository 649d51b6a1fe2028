"""Fine-tuning: `hangtag train --data DIR`. Seeded and resumable.

Needs torch (the `train` extra).
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from errors import UsageError
from models.data import Pictures
from models.labels import LabelSet
from models.network import (
    BACKBONE,
    TagNetwork,
    head_sizes,
    load_network,
    pretrained_backbone,
)
from models.training.batches import Batches
from models.training.losses import Learner
from models.training.material import Material
from models.training.processes import Processes, current_processes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """Epochs at one picture size (pixels)."""

    epochs: int
    height: int
    width: int


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides a run; written into its card."""

    stages: tuple[Stage, ...] = (Stage(3, 64, 48), Stage(6, 96, 72))
    batch_size: int = 64
    learning_rate: float = 1e-3
    backbone_rate: float = 0.5
    weight_decay: float = 0.05
    warmup_steps: int = 300
    ema_decay: float = 0.998
    #: Stochastic depth in the backbone, and dropout before the heads (0..1).
    drop_path: float = 0.1
    dropout: float = 0.3
    #: Network of timm or torchvision, see `models.training.backbones`.
    backbone: str = BACKBONE
    #: Stages of the backbone that keep their ImageNet weights; EfficientNets alone have some.
    frozen: int = 0
    #: How the data are split, see `models.datasets.splits`.
    split: str = "random"
    #: How much training pictures are changed, see `augment`.
    strength: float = 1.0
    #: Share of each batch that is photographs with coarse labels, where there are any (0..1).
    photos: float = 0.2
    #: Cuts of each street garment, by its box and by boxes that are moved a little; 0 for the box
    #: alone, drawn on as other photographs are.
    views: int = 4
    #: Versions whose beliefs are learnt beside the labels, and their share of the loss (0..1).
    teachers: tuple[str, ...] = ()
    distill: float = 0.5
    #: Version whose weights to start from; None for the backbone's ImageNet weights.
    start_from: str | None = None
    seed: int = 0
    checkpoint_seconds: float = 120.0
    #: Weight of each term of the loss.
    weights: Mapping[str, float] | None = None

    def term_weights(self) -> dict[str, float]:
        """Return the loss weights: the type first, the rest as helpers."""
        default = {
            "article_type": 1.0,
            "base_colour": 0.4,
            "gender": 0.2,
            "season": 0.15,
            "usage": 0.15,
            "domain": 0.1,
            "proxy_article_type": 1.2,
            "proxy_base_colour": 0.7,
        }
        return {**default, **(self.weights or {})}


Progress = Callable[[dict[str, Any]], None]


def train(
    material: Material,
    run: Path,
    settings: TrainSettings,
    progress: Progress | None = None,
    start_from: Path | None = None,
    processes: Processes | None = None,
    backbone: nn.Module | None = None,
) -> TagNetwork:
    """Fine-tune on the `train` split; return the averaged network.

    It starts from `backbone`'s weights, those of a version in the folder `start_from`, or
    EfficientNet-Lite0's of ImageNet.

    `run` receives `checkpoint.pt` every few minutes; a run that is started again with the same
    settings goes on from it. Raises UsageError where the folder belongs to other settings.
    """
    processes = processes or current_processes()
    if processes.first:
        claim_run(run, settings, material.pictures)
    torch.manual_seed(settings.seed)
    sizes = head_sizes(material.label_set)
    network = TagNetwork(
        sizes, backbone or settings.backbone, settings.drop_path, settings.dropout, settings.frozen
    )
    learner = Learner(network, sizes, settings.distill if material.beliefs else 0.0)
    if start_from is None and backbone is None:
        learner.network.backbone.load_state_dict(
            pretrained_backbone(settings.backbone).state_dict()
        )
    elif start_from is not None:
        load_version_into(learner.network, start_from, material.label_set)
    learner.to(processes.device).to(memory_format=torch.channels_last)
    batches = Batches(
        material, settings.batch_size, settings.photos, settings.strength, settings.seed
    )
    trainer = Trainer(learner, batches, settings, processes)
    if (run / "checkpoint.pt").exists():
        trainer.load(run / "checkpoint.pt")
        log.info("going on from step %d of %d", trainer.step, trainer.total_steps)
    trainer.fit(run / "checkpoint.pt", progress if processes.first else None)
    network = trainer.averaged_network().cpu()
    if processes.first:
        save_file(
            {name: tensor.contiguous() for name, tensor in network.state_dict().items()},
            run / "network.safetensors",
        )
    return network


def load_version_into(network: TagNetwork, folder: Path, label_set: LabelSet) -> None:
    """Start from an exported version; heads that it does not have start anew.

    Raises UsageError where it knows other labels.
    """
    if LabelSet.load(folder / "labels.json") != label_set:
        raise UsageError(f"{folder.name} was trained on other labels; train without --from")
    known = load_network(folder).network.state_dict()
    own = network.state_dict()
    fresh = {name: value for name, value in own.items() if name not in known}
    network.load_state_dict({**{n: v for n, v in known.items() if n in own}, **fresh})


class Trainer:
    """Optimizer, schedule, averaging and the place in the run."""

    def __init__(
        self, learner: Learner, batches: Batches, settings: TrainSettings, processes: Processes
    ) -> None:
        self.learner = learner
        self.batches = batches
        self.settings = settings
        self.processes = processes
        self.parallel = processes.wrap(learner)
        self.total_steps = batches.steps_per_epoch * sum(s.epochs for s in settings.stages)
        if self.total_steps == 0:
            raise UsageError("there are no epochs to train for")
        self.step = 0
        trained = [p for p in learner.parameters() if p.requires_grad]
        known = {id(p) for p in learner.network.backbone.parameters()}
        backbone = [p for p in trained if id(p) in known]
        rest = [p for p in trained if id(p) not in known]
        self.rates = [settings.learning_rate * settings.backbone_rate, settings.learning_rate]
        self.optimizer = torch.optim.AdamW(
            [{"params": backbone}, {"params": rest}], weight_decay=settings.weight_decay
        )
        # Batch-norm statistics are averaged too: the average is served as it is.
        self.average = AveragedModel(
            learner,
            multi_avg_fn=averaging(settings.ema_decay),
            use_buffers=True,
        )

    def fit(self, checkpoint: Path, progress: Progress | None) -> None:
        """Run the steps that are left."""
        saved = time.monotonic()
        started, first = time.monotonic(), self.step
        while self.step < self.total_steps:
            epoch = self.step // self.batches.steps_per_epoch
            terms = self._train_step(self._stage_of(epoch))
            self.step += 1
            if progress and (self.step % 20 == 0 or self.step == self.total_steps):
                pace = (time.monotonic() - started) / (self.step - first)
                progress(
                    {
                        "step": self.step,
                        "steps": self.total_steps,
                        "epoch": epoch + 1,
                        "loss": {k: round(float(v), 4) for k, v in terms.items()},
                        "seconds_left": round(pace * (self.total_steps - self.step)),
                    }
                )
            if time.monotonic() - saved > self.settings.checkpoint_seconds:
                self.save(checkpoint)
                saved = time.monotonic()
        self.save(checkpoint)
        self.processes.wait()

    def averaged_network(self) -> TagNetwork:
        """Return the average over the run's weights, which is what is served."""
        learner = self.average.module
        assert isinstance(learner, Learner)  # noqa: S101 (AveragedModel copies what it is given)
        return learner.network

    def save(self, path: Path) -> None:
        """Write the state of the run; a kill in the middle leaves the old file whole."""
        if not self.processes.first:
            return
        state = {
            "step": self.step,
            "learner": self.learner.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),  # decides what dropout leaves out
        }
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Go back to a saved state."""
        state = torch.load(path, map_location=self.processes.device, weights_only=True)
        self.step = state["step"]
        self.learner.load_state_dict(state["learner"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if "random" in state:  # not in the checkpoints of runs begun before this was kept
            torch.set_rng_state(state["random"].cpu())

    def _stage_of(self, epoch: int) -> Stage:
        for stage in self.settings.stages:
            if epoch < stage.epochs:
                return stage
            epoch -= stage.epochs
        return self.settings.stages[-1]

    def _rate(self) -> float:
        """Linear warm-up, then half a cosine down to zero (0..1)."""
        # A tenth of a short run, so that it comes to its full rate.
        steps = max(1, min(self.settings.warmup_steps, self.total_steps // 10))
        warm = min(1.0, (self.step + 1) / steps)
        return warm * 0.5 * (1 + math.cos(math.pi * self.step / self.total_steps))

    def _train_step(self, stage: Stage) -> dict[str, Tensor]:
        self.learner.train()
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self._rate()
        images, targets = self.batches.batch(
            self.step, stage.height, stage.width, self.processes.rank, self.processes.world
        )
        device = self.processes.device
        terms: dict[str, Tensor] = self.parallel(
            images.to(device), {a: t.to(device) for a, t in targets.items()}
        )
        weights = self.settings.term_weights()
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        nn.utils.clip_grad_norm_(self.learner.parameters(), 5.0)
        self.optimizer.step()
        self.average.update_parameters(self.learner)
        return {name: term.detach() for name, term in terms.items()}


def averaging(decay: float) -> Callable[[Any, Any, Any], None]:
    """Return a moving average that is short at first: a short run must forget its first steps."""

    def update(averaged: Any, current: Any, count: Any) -> None:
        steps = int(count)
        rate = min(decay, (1 + steps) / (10 + steps))
        get_ema_multi_avg_fn(rate)(averaged, current, count)  # type: ignore[no-untyped-call] # torch

    return update


def claim_run(run: Path, settings: TrainSettings, pictures: Pictures) -> None:
    """Write the settings into the run's folder, or see that they are the same.

    Raises UsageError where the folder belongs to other settings, data, or another split of them.
    """
    run.mkdir(parents=True, exist_ok=True)
    wanted = json.loads(
        json.dumps(
            {
                "settings": {**asdict(settings), "weights": settings.term_weights()},
                "data": pictures.digest,
                "split": pictures.split_digest(),
            }
        )
    )
    path = run / "run.json"
    if path.exists() and _with_defaults(json.loads(path.read_text()), wanted) != wanted:
        raise UsageError(
            f"{run} holds a run with other settings or data; name another folder with --run"
        )
    written = path.with_suffix(f".{os.getpid()}")
    written.write_text(json.dumps(wanted, indent=1) + "\n")
    written.replace(path)


def _with_defaults(recorded: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Fill in what did not exist when a run began: settings had no effect then."""
    default = json.loads(json.dumps({**asdict(TrainSettings()), "views": 0}))
    return {
        "split": wanted["split"],
        **recorded,
        "settings": {**default, **recorded["settings"]},
    }
