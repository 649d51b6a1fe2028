"""From a finished run to a version that is served: weights, labels, card.

Needs torch and openvino (the `train` extra).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from errors import UsageError
from models.backends import Backend, OpenVinoBackend, Outputs, import_openvino
from models.calibrate import Floats, fit_temperature
from models.coarse import CoarseDomain, coarse_domains
from models.data import SPLITS, Pictures
from models.datasets.rows import Progress
from models.labels import LabelSet
from models.network import (
    IN_WHEELS,
    ServingNetwork,
    TagNetwork,
    head_sizes,
    load_network,
    network_spec,
    saved_state,
)
from models.predictor import calibrated, choose_labels, domains, familiarity
from models.training.acceptance import fit_rules
from models.training.fashion import fit_fashion_look

log = logging.getLogger(__name__)

#: What the names of the networks that we ship begin with; a version is called by the rest.
FAMILY = "tf_efficientnet_"
#: The splits that temperatures and thresholds are fitted on.
FITTED_ON = ("select", "certify")
#: The share of an attribute's labels that bf16 may cost; a standard error of them is twice that.
MOST_LOSS = 0.002
#: A version that is committed has at most so many bytes.
MAX_VERSION_BYTES = 25 * 1024 * 1024


def export_run(
    run: Path,
    weights: Path,
    pictures: Pictures,
    height: int,
    width: int,
    version: str | None,
    backbone: nn.Module | None = None,
    data_name: str = "pictures without a name",
    licence: str = "not stated",
) -> Path:
    """Export `run`'s averaged network; fit temperatures and thresholds; write the card.

    Temperatures and thresholds are chosen on the split `select` and bounded on `certify`, both
    by the exported network itself. `backbone` is a module of the run's backbone where that is not
    the usual one. The card comes last: a folder without one is no version.
    Returns the version's folder.
    """
    label_set = LabelSet.load(run / "labels.json")
    settings = json.loads((run / "run.json").read_text())["settings"]
    serving = _serving_network(run, label_set, settings, pictures, backbone).cpu()
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in saved_state(serving).items()
    }
    name = settings["backbone"]
    version = version or _version_name(state, name.rpartition("/")[2].removeprefix(FAMILY))
    final, folder = weights / version, weights / f".{version}.new"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(run / "labels.json", folder / "labels.json")
    save_file(state, folder / "network.safetensors")
    (folder / "network.safetensors").chmod(0o644)  # written for its owner alone
    card: dict[str, Any] = {
        "version": version,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "licence": licence,
        "backbone": f"{name}, ImageNet weights (Apache-2.0), fine-tuned"
        if name in IN_WHEELS
        else f"{name}, fine-tuned",
        "network": network_spec(serving),
        "input": {"height": height, "width": width, "layout": "uint8 NHWC RGB"},
        "data": {
            **describe_data(pictures, data_name),
            "split": settings.get("split", "random"),
            "split_sha256": pictures.split_digest(),
        },
        "training": settings,
    }
    _save_openvino(load_network(folder, card["network"]), folder, height, width)
    outputs, arithmetic = choose_precision(folder, pictures, label_set)
    write_card(folder, {**card, **arithmetic, **fit(outputs, pictures, label_set)})
    if final.exists():
        if not _same_weights(final, folder):
            shutil.rmtree(folder)
            raise UsageError(f"there is another version {version}; name this one with --version")
        shutil.rmtree(final)
    folder = folder.rename(final)
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > MAX_VERSION_BYTES:
        log.warning(
            "%s has %.0f MB; versions that are shipped with Hangtag have at most %.0f",
            folder,
            size / 2**20,
            MAX_VERSION_BYTES / 2**20,
        )
    return folder


def _same_weights(first: Path, second: Path) -> bool:
    name = "network.safetensors"
    return (first / name).is_file() and (first / name).read_bytes() == (second / name).read_bytes()


def _serving_network(
    run: Path,
    label_set: LabelSet,
    settings: Mapping[str, Any],
    pictures: Pictures,
    backbone: nn.Module | None,
) -> ServingNetwork:
    network = TagNetwork(
        head_sizes(label_set), backbone or settings["backbone"], frozen=settings["frozen"]
    )
    network.load_state_dict(load_file(run / "network.safetensors"))
    fashion = fit_fashion_look(network.eval(), pictures) if settings["frozen"] else None
    return ServingNetwork(network, fashion)


def describe_data(pictures: Pictures, name: str) -> dict[str, Any]:
    """Describe the data of a run for its card."""
    names, counts = np.unique(pictures.dataset, return_counts=True)
    return {
        "name": name,
        "sha256": pictures.digest,
        "rows": len(pictures.ids),
        "datasets": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "dropped": dict(pictures.dropped),
        "splits": {name: len(pictures.indices(name)) for name in SPLITS},
    }


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write `card.json`."""
    (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")


def infer_all(
    backend: Backend,
    pictures: Pictures,
    rows: NDArray[np.int64],
    progress: Progress | None = None,
) -> Outputs:
    """Run a network on some of the pictures, 64 at a time. Raises UsageError where none are.

    `progress` gets how many are done, and how many there are.
    """
    if len(rows) == 0:
        raise UsageError(f"none of the {len(pictures.ids)} pictures falls into this split")
    parts = []
    for first in range(0, len(rows), 64):
        parts.append(backend.infer(pictures.pixels[rows[first : first + 64]]))
        if progress:
            progress(min(first + 64, len(rows)), len(rows))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def choose_precision(
    folder: Path, pictures: Pictures, label_set: LabelSet
) -> tuple[dict[str, Outputs], dict[str, Any]]:
    """Run an exported network on `select` and `certify`, in bf16 where that costs next to nothing.

    Returns its outputs there and, for the card, the `precision` with the share of labels that each
    attribute loses by it. It is fp32 where bf16 loses MOST_LOSS of one, or this processor has none.
    """
    found: dict[str, dict[str, Outputs]] = {}
    for precision in ("f32", "bf16"):
        backend = OpenVinoBackend(folder, 2, precision)
        if backend.precision != precision:
            return found["f32"], {"precision": "f32"}
        found[precision] = {
            split: infer_all(backend, pictures, pictures.indices(split)) for split in FITTED_ON
        }
    targets = pictures.targets(label_set)
    rows = np.concatenate([pictures.indices(split) for split in FITTED_ON])
    losses = {}
    for attribute in label_set.heads:
        known = targets[attribute][rows] >= 0
        if not known.any():
            continue
        right = {
            p: np.concatenate([outputs[s][attribute] for s in FITTED_ON])[known].argmax(axis=1)
            == targets[attribute][rows][known]
            for p, outputs in found.items()
        }
        losses[attribute] = float(right["f32"].mean() - right["bf16"].mean())
    chosen = "bf16" if max(losses.values(), default=0.0) < MOST_LOSS else "f32"
    return found[chosen], {"precision": chosen, "bf16_loss": losses}


def fit(outputs: Mapping[str, Outputs], pictures: Pictures, label_set: LabelSet) -> dict[str, Any]:
    """Fit temperatures, acceptance thresholds and the scale of the fashion score."""
    targets = pictures.targets(label_set)
    rows = pictures.indices("select")
    temperatures = {}
    for attribute in label_set.heads:
        known = targets[attribute][rows] >= 0
        temperatures[attribute] = fit_temperature(
            outputs["select"][attribute][known], targets[attribute][rows][known]
        )
    plain = calibrated(outputs["select"], label_set, temperatures)
    entries = fit_coarse(outputs["select"], plain["article_type"], pictures, label_set)
    coarse = coarse_domains(entries, label_set)
    chosen = {
        s: choose_labels(
            calibrated(o, label_set, temperatures, coarse), label_set, domains(o), coarse
        )
        for s, o in outputs.items()
    }
    return {
        "coarse": entries,
        "temperatures": temperatures,
        "acceptance": fit_rules(outputs, chosen, pictures, label_set),
        "fashion": _fashion_scale(familiarity(outputs["select"])),
    }


def fit_coarse(
    outputs: Outputs, types: Floats, pictures: Pictures, label_set: LabelSet
) -> dict[str, dict[str, Any]]:
    """Describe the coarse labels of each domain for the card, and fit its temperature.

    `outputs` and the calibrated probabilities `types` (N, types) are those of the split `select`.
    """
    rows = pictures.indices("select")
    looks, best = domains(outputs), types.argmax(axis=1)
    allowed = pictures.allowed(label_set)[rows]
    found = {}
    for domain, labels in pictures.coarse_labels().items():
        used = (looks == domain) & (pictures.dataset[rows] == domain) & allowed.any(axis=1)
        right = allowed[used, best[used]]
        known = CoarseDomain.of({"labels": labels}, label_set).fitted(
            types[used], best[used], right
        )
        found[domain] = {"labels": labels, "temperature": known.temperature}
    return found


def _fashion_scale(familiar: NDArray[np.floating[Any]]) -> dict[str, float]:
    """Put familiarity of fashion pictures on 0..1: 99 % of them lie above 0.5.

    Only pictures of fashion are used; pictures of other things are for measuring.
    """
    low, middle = np.quantile(familiar, [0.01, 0.5])
    return {
        "midpoint": float(low),
        "scale": max(float(middle - low) / 4, 1e-6),
        "threshold": 0.5,
    }


def _version_name(state: Mapping[str, torch.Tensor], backbone: str) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(state[name].numpy().tobytes())
    today = dt.datetime.now(dt.UTC).strftime("%Y%m%d")
    return f"{backbone}-{today}-{digest.hexdigest()[:6]}"


def _save_openvino(network: ServingNetwork, folder: Path, height: int, width: int) -> None:
    """Convert the weights as they were saved, at half precision; name the outputs."""
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    openvino = import_openvino()
    with torch.inference_mode():
        exported = openvino.convert_model(network, example_input=example)
    exported.reshape([-1, height, width, 3])
    for output, name in zip(exported.outputs, network.names, strict=True):
        output.get_tensor().set_names({name})
    openvino.save_model(exported, folder / "model.xml", compress_to_fp16=True)
