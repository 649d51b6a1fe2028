"""From a finished run to a version that is served: weights, labels, card.

Needs torch and openvino (the `train` extra).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from errors import HangtagError, UsageError
from models.backends import OpenVinoBackend, Outputs, import_openvino
from models.calibrate import Floats, choose_threshold, fit_temperature, try_threshold
from models.data import SPLITS, Pictures
from models.labels import ATTRIBUTES, HEAD_ATTRIBUTES, LabelSet
from models.network import ServingNetwork, TagNetwork
from models.predictor import calibrated, choose_labels, energies

#: Share of published tags that are promised to be right. The types and categories carry the
#: product's promise; the rest is published where it is likely and never sent to a person.
PROMISES = {
    "article_type": 0.98,
    "sub_category": 0.98,
    "master_category": 0.98,
    "base_colour": 0.85,
    "gender": 0.95,
    "season": 0.85,
    "usage": 0.95,
}
MAX_VERSION_BYTES = 25 * 1024 * 1024


def export_run(
    run: Path, weights: Path, pictures: Pictures, height: int, width: int, version: str | None
) -> Path:
    """Export `run`'s averaged network; fit temperatures and thresholds; write the card.

    Temperatures and thresholds are chosen on the split `select` and bounded on `certify`, both
    by the exported network itself. Returns the version's folder.
    """
    label_set = LabelSet.load(run / "labels.json")
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in load_file(run / "network.safetensors").items()
    }
    version = version or _version_name(state)
    folder = weights / version
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(run / "labels.json", folder / "labels.json")
    save_file(state, folder / "network.safetensors")
    (folder / "network.safetensors").chmod(0o644)  # written for its owner alone
    _save_openvino(state, label_set, folder, height, width)
    outputs = {
        split: infer_all(OpenVinoBackend(folder, threads=2), pictures, split)
        for split in ("select", "certify")
    }
    card = {
        "version": version,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "licence": "Apache-2.0",
        "backbone": "EfficientNet-Lite0, ImageNet weights (Apache-2.0), fine-tuned",
        "input": {"height": height, "width": width, "layout": "uint8 NHWC RGB"},
        "data": {
            "name": "Kaggle 'Fashion Product Images (Small)' (MIT)",
            "sha256": pictures.digest,
            "rows": len(pictures.ids),
            "dropped": dict(pictures.dropped),
            "splits": {name: len(pictures.indices(name)) for name in SPLITS},
        },
        "training": json.loads((run / "run.json").read_text())["settings"],
        **fit(outputs, pictures, label_set),
    }
    write_card(folder, card)
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > MAX_VERSION_BYTES:
        raise HangtagError(f"{folder} has {size:,} bytes, {MAX_VERSION_BYTES:,} are allowed")
    return folder


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write `card.json`."""
    (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")


def infer_all(backend: OpenVinoBackend, pictures: Pictures, split: str) -> Outputs:
    """Run the exported network on a split, 64 pictures at a time."""
    rows = pictures.indices(split)
    if len(rows) == 0:
        raise UsageError(f"none of the {len(pictures.ids)} pictures falls into the split {split}")
    parts = [backend.infer(pictures.pixels[rows[i : i + 64]]) for i in range(0, len(rows), 64)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def fit(outputs: Mapping[str, Outputs], pictures: Pictures, label_set: LabelSet) -> dict[str, Any]:
    """Fit temperatures, acceptance thresholds and the scale of the fashion score."""
    targets = pictures.targets(label_set)
    known = {s: {a: targets[a][pictures.indices(s)] for a in ATTRIBUTES} for s in outputs}
    temperatures = {
        a: fit_temperature(outputs["select"][a], known["select"][a]) for a in HEAD_ATTRIBUTES
    }
    probabilities = {s: calibrated(o, label_set, temperatures) for s, o in outputs.items()}
    chosen = {s: choose_labels(p, label_set) for s, p in probabilities.items()}
    acceptance: dict[str, Any] = {}
    for attribute, promise in PROMISES.items():
        confidence = {s: c[attribute][1] for s, c in chosen.items()}
        correct = {s: c[attribute][0] == known[s][attribute] for s, c in chosen.items()}
        acceptance[attribute] = certified_rule(confidence, correct, promise)
    return {
        "temperatures": temperatures,
        "acceptance": acceptance,
        "fashion": _fashion_scale(energies(outputs["select"]["article_type"])),
    }


#: Shares of the allowed error that thresholds are chosen for, the strictest first.
STRICTNESS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def certified_rule(
    confidence: Mapping[str, Floats], correct: Mapping[str, NDArray[np.bool_]], promise: float
) -> dict[str, Any]:
    """Choose a threshold on `select` that keeps the promise on `certify` at 95 %.

    Candidates come from `select` alone, each for a share of the allowed error. `certify` tests
    them from the strictest on and stops at the first whose upper bound breaks the promise: tests
    in a fixed order need no correction for their number (Angelopoulos et al., 'Learn then test',
    2021). Where even the strictest fails, nothing is accepted.
    """
    rules = [
        choose_threshold(confidence["select"], correct["select"], 1 - share * (1 - promise))
        for share in STRICTNESS
    ]
    best, certified = rules[0], try_threshold(1.01, confidence["certify"], correct["certify"])
    for rule in rules:
        if rule.accepted == 0:
            continue  # no such strict threshold exists; the next one is the first to be tested
        tried = try_threshold(rule.threshold, confidence["certify"], correct["certify"])
        if tried.upper > 1 - promise:
            break
        best, certified = rule, tried
    return {
        "promise": promise,
        "threshold": certified.threshold,
        "select": asdict(best),
        "certify": asdict(certified),
    }


def _fashion_scale(energy: np.ndarray[Any, Any]) -> dict[str, float]:
    """Put energies of product pictures on 0..1: 99 % of them lie above 0.5.

    Only product pictures are used; pictures of other things are for measuring.
    """
    low, middle = np.quantile(energy, [0.01, 0.5])
    return {
        "midpoint": float(low),
        "scale": max(float(middle - low) / 4, 1e-6),
        "threshold": 0.5,
    }


def _version_name(state: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(state[name].numpy().tobytes())
    today = dt.datetime.now(dt.UTC).strftime("%Y%m%d")
    return f"lite0-{today}-{digest.hexdigest()[:6]}"


def _save_openvino(
    state: Mapping[str, torch.Tensor], label_set: LabelSet, folder: Path, height: int, width: int
) -> None:
    network = TagNetwork({a: len(label_set.names[a]) for a in HEAD_ATTRIBUTES})
    network.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    )
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    openvino = import_openvino()
    with torch.inference_mode():
        exported = openvino.convert_model(ServingNetwork(network).eval(), example_input=example)
    exported.reshape([-1, height, width, 3])
    openvino.save_model(exported, folder / "model.xml", compress_to_fp16=True)
