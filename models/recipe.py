"""The whole way of a model version: data, training, export, evaluation.

Needs torch (the `train` extra).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from errors import UsageError
from models.card import Card
from models.data import SPLITS, Pictures, join
from models.datasets.importers import load_dataset
from models.datasets.photos import load_backgrounds, load_phone, load_street
from models.datasets.rows import Progress as Steps
from models.datasets.views import Views, boxed_views, join_views, tagged_views
from models.evaluate import evaluate, measure_all, table
from models.labels import LabelSet
from models.network import BACKBONE
from models.proof.evidence import Evidence
from models.train import Progress, Stage, TrainSettings, claim_run, train
from models.training.backbones import Backbone
from models.training.export import export_run, write_card
from models.training.material import Material
from models.training.processes import joined_processes
from models.training.promise import changes, with_promise
from models.training.teacher import Beliefs, Witness, ask_teachers

#: Cuts of a garment that a photograph names: a teacher keeps those that show it.
CANDIDATES = 8


def parse_stages(text: str) -> tuple[Stage, ...]:
    """Parse 'EPOCHS:HEIGHTxWIDTH,…'. Raises UsageError."""
    stages = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+):(\d+)x(\d+)", part.strip())
        if not found:
            raise UsageError(f"--epochs {text}: write EPOCHS:HEIGHTxWIDTH, e.g. 3:64x48,6:96x72")
        stages.append(Stage(*map(int, found.groups())))
    return tuple(stages)


def run_recipe(
    data: Path,
    run: Path,
    weights: Path,
    version: str | None,
    settings: TrainSettings,
    progress: Progress | None = None,
    backbone: Backbone | None = None,
    data_name: str | None = None,
    licence: str = "not stated",
) -> tuple[Path, str] | None:
    """Train, export, evaluate; return the version's folder and the table of figures.

    `backbone` takes the place of EfficientNet-Lite0; the card calls the data `data_name`, their
    folder's name if None, and the version's licence `licence`. Of several processes
    (`models.training.processes`) the first exports and evaluates; others get None.
    """
    height, width = settings.stages[-1].height, settings.stages[-1].width
    for stage in settings.stages:
        if backbone is not None:
            backbone.check_size(stage.height, stage.width)
    check_earlier(settings, weights)
    if version and (weights / version).exists() and not (run / "checkpoint.pt").exists():
        raise UsageError(f"there is a version {version} already; name another with --version")
    pictures, label_set = load_all(data, height, width, split=settings.split)
    check_splits(pictures)
    run.mkdir(parents=True, exist_ok=True)
    label_set.save(run / "labels.json")
    start = weights / settings.start_from if settings.start_from else None
    backgrounds = load_backgrounds(data, height, width)
    claim_run(run, settings, pictures)  # before teachers are asked for minutes
    beliefs = None
    if settings.teachers:
        teachers = [weights / name for name in settings.teachers]
        beliefs = _kept_beliefs(
            run / "beliefs.safetensors", teachers, pictures, label_set, progress
        )
    teacher = weights / settings.teachers[0] if settings.teachers else None
    views = load_views(data, run, label_set, settings, teacher, progress)
    material = Material(pictures, label_set, backgrounds, beliefs, views)
    with joined_processes() as processes:
        train(material, run, settings, progress, start, processes, backbone)
    if not processes.first:
        return None
    folder = export_run(
        run,
        weights,
        pictures,
        height,
        width,
        version,
        backbone,
        data_name or data.resolve().name,
        licence,
    )
    card = Card.load(folder)
    figures = evaluate(card, pictures, data)
    write_card(folder, {**card.raw, "commit": current_commit(), "test": figures})
    return folder, table(figures)


def load_views(
    data: Path,
    run: Path,
    label_set: LabelSet,
    settings: TrainSettings,
    teacher: Path | None = None,
    progress: Progress | None = None,
) -> Views | None:
    """Cut street garments for training; a teacher finds those that photographs only name.

    What it found is kept in `run`: a run that is gone on with, and its other processes, see the
    same. None where no views are wanted, or there are no photographs.
    """
    if not settings.photos or not settings.views:
        return None
    height, width = settings.stages[-1].height, settings.stages[-1].width
    boxed = boxed_views(data, label_set, height, width, settings.views, settings.seed)
    if boxed is None or teacher is None:
        return boxed

    def cutting(done: int, total: int) -> None:
        if progress:
            progress({"doing": "finding garments", "step": done, "steps": total})

    path = run / "views.safetensors"
    kept = load_file(path)["rows"] if path.exists() else None
    witness: Witness | None = None
    parts, rows, first = [boxed], [np.empty(0, dtype=np.int64)], 0
    tagged = tagged_views(data, label_set, height, width, CANDIDATES, settings.seed, cutting)
    for part in tagged:
        last = first + len(part.garment)
        if kept is None:
            witness = witness or Witness(teacher, label_set)
            chosen = witness.likely(part)
        else:
            chosen = kept[(kept >= first) & (kept < last)] - first
        parts.append(part.take(chosen))
        rows.append(chosen + first)
        first = last
    if kept is None:
        _save(path, {"rows": np.concatenate(rows)})
    return join_views(parts)


def check_earlier(settings: TrainSettings, weights: Path) -> None:
    """See that the versions which a run starts from or learns from fit it.

    Raises UsageError where one is not there, where its split was another (it has learnt from
    pictures that this run certifies and measures by), or where it is another network to start from.
    """
    for name in [*([settings.start_from] if settings.start_from else []), *settings.teachers]:
        card = Card.load(weights / name)
        data = card.raw.get("data", {})
        if data.get("split", "random") != settings.split:
            raise UsageError(
                f"{name} was trained on the split {data.get('split', 'random')}: it knows pictures "
                f"that --split {settings.split} measures by"
            )
        known = card.raw.get("network", {}).get("backbone", BACKBONE)
        if name == settings.start_from and known != settings.backbone:
            raise UsageError(
                f"{name} is a {known}: --from starts such a network alone, not {settings.backbone}"
            )


def check_splits(pictures: Pictures) -> None:
    """Raise UsageError where a split has no product, before hours are spent on training."""
    empty = [name for name in SPLITS if not len(pictures.indices(name, "catalogue"))]
    if empty:
        raise UsageError(
            f"{len(pictures.ids)} pictures are too few: none falls into {', '.join(empty)}"
        )


def _kept_beliefs(
    path: Path,
    teachers: Sequence[Path],
    pictures: Pictures,
    label_set: LabelSet,
    progress: Progress | None,
) -> Beliefs:
    """Ask teachers once a run: a run that is gone on with reads what they said."""
    if path.exists():
        return load_file(path)

    def asked(done: int, total: int) -> None:
        if progress:
            progress({"doing": "asking teachers", "step": done, "steps": total})

    beliefs = ask_teachers(teachers, pictures, label_set, asked)
    _save(path, beliefs)
    return beliefs


def _save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays in one step: each of several processes asks, and writes the same."""
    temporary = path.with_suffix(f".{os.getpid()}")
    save_file(dict(arrays), temporary)
    temporary.replace(path)


def load_all(
    data: Path,
    height: int,
    width: int,
    label_set: LabelSet | None = None,
    split: str = "random",
    progress: Steps | None = None,
) -> tuple[Pictures, LabelSet]:
    """Read products, and the photographs with coarse labels where their files are there.

    `split` is that of the products, one of `models.datasets.splits.SPLIT_KINDS`.
    """
    products = load_dataset(data, height, width, split, progress)
    label_set = label_set or LabelSet.from_rows(products.labels)
    photos = [load(data, label_set, height, width) for load in (load_phone, load_street)]
    return join(products, *(p for p in photos if p is not None)), label_set


@dataclass(frozen=True)
class Measurement:
    """A version measured: its figures, and all that they were computed from.

    The evidence's card has the thresholds that were measured; `changes` says, a line each, how
    they differ from the version's own. `text` is the table for a terminal.
    """

    evidence: Evidence
    figures: dict[str, Any]
    text: str
    changes: Sequence[str]


def measure(
    card: Card,
    data: Path,
    promise: float | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Measurement:
    """Measure a version on the test split, with another promise's thresholds where one is named.

    `progress` gets what is done, how much of it, and of how much. Changes no file. Notes where
    the data are others.
    """
    split = card.raw["data"].get("split", "random")
    reading, asking = (
        partial(progress, doing) if progress else None
        for doing in ("reading pictures", "asking the model")
    )
    pictures, _ = load_all(data, card.height, card.width, card.labels(), split, reading)
    promised = card if promise is None else with_promise(card, pictures, promise)
    evidence = Evidence.collect(promised, pictures, data, asking)
    figures = measure_all(evidence)
    text = table(figures)
    known = card.raw["data"]
    if pictures.digest != known["sha256"] or (
        known.get("split_sha256", pictures.split_digest()) != pictures.split_digest()
    ):
        text += (
            "\nnote: these are not the data it was trained on, or another split of them; "
            "its test pictures may differ"
        )
    return Measurement(evidence, json.loads(json.dumps(figures)), text, changes(card, promised))


def current_commit() -> str | None:
    """Return the commit that the code is at, or None outside a checkout."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=8"],  # noqa: S607 (git is found on PATH)
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
