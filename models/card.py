"""Model cards: `card.json` beside the weights holds all that is needed to use them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import UsageError
from models.labels import DOMAINS, LabelSet

#: A threshold that no confidence reaches.
NEVER = 1.01
WEIGHTS = Path(__file__).resolve().parent / "weights"


@dataclass(frozen=True)
class Card:
    """A model version as it is served.

    `temperatures[attribute]` divides logits before the softmax; `thresholds[domain][attribute]`
    is the least calibrated confidence at which a tag is published; `fashion["threshold"]` the
    least fashion score that is not called 'no fashion item'. `precision` is the arithmetic that
    temperatures and thresholds were fitted with. `raw` is the whole file.
    """

    version: str
    folder: Path
    height: int
    width: int
    temperatures: Mapping[str, float]
    thresholds: Mapping[str, Mapping[str, float]]
    fashion: Mapping[str, float]
    raw: Mapping[str, Any]
    precision: str = "f32"

    @classmethod
    def load(cls, folder: Path) -> Card:
        """Read the card in a version's folder. Raises UsageError where it is missing or old."""
        path = folder / "card.json"
        try:
            raw = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise UsageError(f"{path}: no such model version; see `hangtag model list`") from error
        rules = raw.get("acceptance", {})
        if not set(rules) <= set(DOMAINS):
            raise UsageError(
                f"{folder.name} was made by an older Hangtag: train it anew, or use another version"
            )
        return cls(
            version=raw["version"],
            folder=folder,
            height=raw["input"]["height"],
            width=raw["input"]["width"],
            temperatures=raw["temperatures"],
            thresholds={
                domain: {a: rule["threshold"] for a, rule in found.items()}
                for domain, found in rules.items()
            },
            fashion=raw["fashion"],
            raw=raw,
            precision=raw.get("precision", "f32"),
        )

    def thresholds_for(self, domain: str) -> Mapping[str, float]:
        """Thresholds for pictures of a domain; none are published of a domain without any."""
        return self.thresholds.get(domain, {})

    @property
    def coarse(self) -> Mapping[str, Mapping[str, Any]]:
        """The coarse `labels` and the `temperature` of each domain that has such."""
        found: Mapping[str, Mapping[str, Any]] = self.raw.get("coarse", {})
        return found

    def labels(self) -> LabelSet:
        """Read the version's label set."""
        return LabelSet.load(self.folder / "labels.json")


def default_version(weights: Path = WEIGHTS) -> str:
    """Return the version that is served where nobody chose another."""
    path = weights / "default"
    try:
        return path.read_text().strip()
    except FileNotFoundError as error:
        raise UsageError(
            f"{path}: there is no trained model here; set HANGTAG_WEIGHTS to a folder that has "
            "one, unset it for the one that Hangtag ships, or run `hangtag train --data DIR`"
        ) from error


def version_folder(version: str | None = None, weights: Path = WEIGHTS) -> Path:
    """Return the folder of a version, of the default one with None."""
    return weights / (version or default_version(weights))
