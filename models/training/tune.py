"""Searching hyper-parameters: `hangtag tune --data DIR`. Resumable; reads the split `select` alone.

Needs torch and optuna (the `train` extra).
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import optuna
import torch

from errors import UsageError
from models.data import Pictures
from models.labels import LabelSet
from models.network import TagNetwork, to_images
from models.train import TrainSettings, train
from models.training.material import Material


@dataclass(frozen=True)
class Trial:
    """One set of settings that was tried; `score` is the accuracy on `select` (0..1)."""

    number: int
    score: float
    settings: dict[str, float]


def tune(
    material: Material,
    folder: Path,
    base: TrainSettings,
    trials: int,
    report: Callable[[Trial], None] | None = None,
) -> Trial:
    """Try settings until `folder` holds `trials` finished ones; return the best.

    The study lies in `folder/study.db`: stopped and started again it goes on. The trial that was
    cut off is tried anew with the same settings, from its last checkpoint. Source of the sampler:
    Bergstra et al., 'Algorithms for hyper-parameter optimization', 2011 (TPE).
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        return _search(material, folder, base, trials, report)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a study's folder. Raises UsageError where another process does."""
    with (folder / "study.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(f"another `hangtag tune` works in {folder}") from error
        yield


def _search(
    material: Material,
    folder: Path,
    base: TrainSettings,
    trials: int,
    report: Callable[[Trial], None] | None,
) -> Trial:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="hangtag",
        storage=f"sqlite:///{(folder / 'study.db').resolve()}",
        direction="maximize",
        load_if_exists=True,
    )
    _claim_study(study, folder, base, material.pictures)
    # The same seed after a stop would draw the first trials again.
    study.sampler = optuna.samplers.TPESampler(seed=base.seed + len(study.trials))
    for cut in _cut_off(study, folder):
        study.enqueue_trial(cut.params, user_attrs={"run": cut.user_attrs["run"]})

    def objective(trial: optuna.Trial) -> float:
        settings = suggest(trial, base)
        name = str(trial.user_attrs.get("run", f"trial-{trial.number}"))
        trial.set_user_attr("run", name)
        network = train(material, folder / name, settings)
        score = accuracy(network, material.pictures, material.label_set)
        if report:
            report(Trial(trial.number, score, trial.params))
        shutil.rmtree(folder / name)
        return score

    done = len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE]))
    study.optimize(objective, n_trials=max(0, trials - done))
    best = study.best_trial
    return Trial(best.number, float(best.value or 0.0), best.params)


def _claim_study(
    study: optuna.Study, folder: Path, base: TrainSettings, pictures: Pictures
) -> None:
    """Write into a study what its scores are of, or see that it is the same.

    Raises UsageError where it is not: scores of other epochs or data cannot be ranked together.
    """
    wanted = json.loads(
        json.dumps(
            {"settings": asdict(base), "data": pictures.digest, "split": pictures.split_digest()}
        )
    )
    made_of = study.user_attrs.get("made_of")
    if made_of is None:
        study.set_user_attr("made_of", wanted)
    elif made_of != wanted:
        raise UsageError(
            f"{folder} holds a study of other data, epochs or settings; name another folder with "
            "--study"
        )


def _cut_off(study: optuna.Study, folder: Path) -> list[optuna.trial.FrozenTrial]:
    """List trials whose run was left behind, and nobody goes on with yet."""
    states = optuna.trial.TrialState
    begun = study.get_trials(states=[states.RUNNING, states.FAIL, states.WAITING])
    # A run that was gone on with and cut off again belongs to several trials: the last counts.
    last = {trial.user_attrs["run"]: trial for trial in begun if "run" in trial.user_attrs}
    left = [t for t in last.values() if t.state != states.WAITING]
    for trial in left:
        if trial.state == states.RUNNING:
            study.tell(trial.number, state=states.FAIL)
    return [trial for trial in left if (folder / trial.user_attrs["run"]).exists()]


def suggest(trial: optuna.Trial, base: TrainSettings) -> TrainSettings:
    """Draw the settings of a trial; what is not drawn is as in `base`."""
    return replace(
        base,
        learning_rate=trial.suggest_float("learning_rate", 2e-4, 4e-3, log=True),
        backbone_rate=trial.suggest_float("backbone_rate", 0.1, 1.0, log=True),
        weight_decay=trial.suggest_float("weight_decay", 0.005, 0.2, log=True),
        dropout=trial.suggest_float("dropout", 0.0, 0.5),
        drop_path=trial.suggest_float("drop_path", 0.0, 0.3),
        strength=trial.suggest_float("strength", 0.3, 1.5),
    )


@torch.inference_mode()
def accuracy(network: TagNetwork, pictures: Pictures, label_set: LabelSet) -> float:
    """Share of the pictures of `select` whose article type is right (any that counts, 0..1)."""
    network.eval()
    rows = pictures.indices("select")
    allowed = pictures.allowed(label_set)[rows]
    right = 0
    for start in range(0, len(rows), 64):
        images = to_images(torch.from_numpy(pictures.pixels[rows[start : start + 64]]))
        best = network(images)["article_type"].argmax(dim=1).numpy()
        right += int(allowed[np.arange(start, start + len(best)), best].sum())
    return right / len(rows)
