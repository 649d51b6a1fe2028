"""`hangtag tune`: search hyper-parameters."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.options import DataOption, require_train_extra
from worker.cli.output import note, print_json

if TYPE_CHECKING:
    from models.training.tune import Trial


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(tune)


def tune(
    data: DataOption,
    study: Annotated[
        Path, typer.Option(help="Folder of the study; started again it goes on from there.")
    ] = Path("runs/tune"),
    trials: Annotated[int, typer.Option(min=1, help="Finished trials to come to in all.")] = 20,
    epochs: Annotated[
        str, typer.Option(help="Epochs of each trial, as EPOCHS:HEIGHTxWIDTH,…")
    ] = "3:64x48",
    frozen: Annotated[
        int, typer.Option(min=0, max=7, help="Stages of the backbone that are not retrained.")
    ] = 3,
) -> None:
    """Search learning rates, weight decay, dropout and augmentation; judge them on `select`.

    Prints a JSON line a trial, and at last the best one as options of `hangtag train`.
    Needs the extra `train`: ./run install train

    Example: hangtag tune --data ~/fashion --trials 20 --epochs 3:64x48
    """
    require_train_extra("optuna")
    from models.datasets.photos import load_backgrounds
    from models.recipe import load_all, load_views, parse_stages
    from models.train import TrainSettings
    from models.training.material import Material
    from models.training.tune import tune as search

    stages = parse_stages(epochs)
    height, width = stages[-1].height, stages[-1].width
    pictures, label_set = load_all(data, height, width)
    note(f"{len(pictures.ids):,} pictures; trials take minutes each and can be stopped any time")

    settings = TrainSettings(stages=stages, frozen=frozen)

    def report(trial: Trial) -> None:
        print_json({"trial": trial.number, "score": round(trial.score, 4), **trial.settings})

    best = search(
        Material(
            pictures,
            label_set,
            load_backgrounds(data, height, width),
            views=load_views(data, study, label_set, settings),
        ),
        study,
        settings,
        trials,
        report,
    )
    options = " ".join(f"--{k.replace('_', '-')} {v:.4g}" for k, v in best.settings.items())
    note(f"best: trial {best.number}, {best.score:.2%} right on `select`")
    words = f"hangtag train --data {shlex.quote(str(data))} --run runs/tuned --frozen {frozen}"
    print(f"{words} {options}")
