"""A made-up version and data set, whose every answer is known: no network runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.backends import Outputs
from models.card import Card
from models.data import UNKNOWN, Pictures
from models.labels import ATTRIBUTES, DOMAINS, HEAD_ATTRIBUTES, LabelSet
from models.proof.evidence import Answers, Evidence

TREE = {
    "Jeans": ("Bottomwear", "Apparel"),
    "Shirts": ("Topwear", "Apparel"),
    "Tshirts": ("Topwear", "Apparel"),
    "Tops": ("Topwear", "Apparel"),
    "Casual Shoes": ("Shoes", "Footwear"),
    "Heels": ("Shoes", "Footwear"),
    "Watches": ("Watches", "Accessories"),
    "Rare | *thing*": ("Watches", "Accessories"),
}
NAMES = {
    "base_colour": ("Black", "Blue", "White"),
    "gender": ("Men", "Women"),
    "season": ("Summer", "Winter"),
    "usage": ("Casual", "Formal"),
}
HEIGHT, WIDTH = 8, 6


@dataclass(frozen=True)
class World:
    """Pictures, what a network says of each (`outputs`, a row a picture), and its card."""

    pictures: Pictures
    outputs: Outputs
    card: Card

    def infer(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Stand for a network: the first pixel is the picture's place in the data set."""
        first = pixels[:, 0, 0].astype(np.int64)
        rows = first @ np.array([65536, 256, 1])
        return {name: values[rows] for name, values in self.outputs.items()}

    def answers(self, source: str) -> Answers:
        """Collect the answers to one source's test pictures."""
        return Answers.collect(
            self.card, self, self.pictures, self.pictures.indices("test", source)
        )

    def evidence(self, others: Outputs | None = None) -> Evidence:
        """Collect all, as `Evidence.collect` does from files."""
        gallery = self.pictures.indices("train", "catalogue")
        photos = sorted(set(self.pictures.dataset) - {"catalogue"})
        return Evidence(
            card=self.card,
            pictures=self.pictures,
            products=self.answers("catalogue"),
            photos={source: self.answers(source) for source in photos},
            gallery=gallery,
            vectors=self.outputs["embedding"][gallery],
            others=others,
        )


def make_world(
    folder: Path,
    count: int = 4000,
    photos: bool = True,
    types_alone: bool = False,
    thresholds: Mapping[str, float] | None = None,
    skill: float = 6.0,
    seed: int = 0,
) -> World:
    """Make a data set of `count` pictures, and a version that answers with `skill`."""
    random = np.random.default_rng(seed)
    kinds = np.array(list(TREE))
    chances = np.array([0.2, 0.2, 0.2, 0.15, 0.14, 0.06, 0.0499, 0.0001])
    types = random.choice(kinds, count, p=chances / chances.sum())
    types[:12] = kinds[-1]  # known to the version, and in no test picture
    labels = {"article_type": types}
    for level, attribute in enumerate(("sub_category", "master_category")):
        labels[attribute] = np.array([TREE[kind][level] for kind in types])
    labels |= {a: random.choice(np.array(names), count) for a, names in NAMES.items()}
    if types_alone:
        labels |= {a: np.full(count, UNKNOWN) for a in ATTRIBUTES if a != "article_type"}
    label_set = LabelSet.from_rows(labels)
    shares = [0.7, 0.15, 0.15] if photos else [1, 0, 0]
    source = random.choice(["catalogue", "phone", "street"], count, p=shares)
    split = random.choice(["train", "select", "certify", "test"], count, p=[0.2, 0.25, 0.25, 0.3])
    split[:12], source[:12] = "train", "catalogue"
    pictures = _pictures(labels, source, split, random)
    outputs = _outputs(labels, label_set, source, random, skill)
    return World(pictures, outputs, make_card(folder, label_set, pictures, thresholds))


def make_plain(folder: Path, count: int = 3000) -> World:
    """Make a version of article types alone, whose thresholds are found quickly."""
    return make_world(folder, count=count, photos=False, types_alone=True, skill=9)


def make_evidence(folder: Path) -> Evidence:
    """Make a version's evidence with all attributes, photographs and pictures of other things."""
    world = make_world(folder)
    others = {name: values[:50].copy() for name, values in world.outputs.items()}
    others["fashion_similarity"][:] = -3
    return world.evidence(others)


def _pictures(
    labels: dict[str, NDArray[np.str_]],
    source: NDArray[np.str_],
    split: NDArray[np.str_],
    random: np.random.Generator,
) -> Pictures:
    """Photographs keep a coarse label alone: their type or the one beside it."""
    count, kinds = len(source), list(TREE)
    pixels = random.integers(0, 256, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    rows = np.arange(count)
    pixels[:, 0, 0] = np.stack([rows >> 16, rows >> 8 & 255, rows & 255], axis=1)
    photo = source != "catalogue"
    beside = {kind: kinds[(place + 1) % len(kinds)] for place, kind in enumerate(kinds)}
    types = labels["article_type"]
    return Pictures(
        ids=rows.astype(str),
        pixels=pixels,
        labels={a: np.where(photo, UNKNOWN, names) for a, names in labels.items()},
        split=split,
        digest="d" * 64,
        dataset=source,
        coarse=[
            frozenset({types[row], beside[types[row]]}) if photo[row] else None for row in rows
        ],
    )


def _outputs(
    labels: Mapping[str, NDArray[np.str_]],
    label_set: LabelSet,
    source: NDArray[np.str_],
    random: np.random.Generator,
    skill: float,
) -> Outputs:
    """The truth stands out by a margin of its own for each picture; photographs' are smaller."""
    count = len(source)
    photo = source != "catalogue"
    margin = skill * random.random(count) * np.where(photo, 0.7, 1)
    outputs: Outputs = {}
    for attribute in label_set.heads:
        truth = [label_set.index[attribute][name] for name in labels[attribute]]
        logits = random.normal(size=(count, len(label_set.names[attribute])))
        logits[np.arange(count), truth] += margin
        outputs[attribute] = logits.astype(np.float32)
    outputs["domain"] = np.stack([source == d for d in DOMAINS], axis=1).astype(np.float32)
    near = random.random(count) < 0.97  # the others do not look like fashion
    outputs["fashion_similarity"] = np.where(near, 3, -3).astype(np.float32)
    centres = {kind: random.normal(size=256) for kind in TREE}
    vectors = np.stack([centres[kind] for kind in labels["article_type"]])
    vectors += 3 * random.normal(size=(count, 256))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    outputs["embedding"] = vectors.astype(np.float32)
    return outputs


def make_card(
    folder: Path,
    label_set: LabelSet,
    pictures: Pictures,
    thresholds: Mapping[str, float] | None = None,
) -> Card:
    """Write labels and a card into a folder, and load it."""
    folder.mkdir(parents=True, exist_ok=True)
    label_set.save(folder / "labels.json")
    promises = {"article_type": 0.98, "sub_category": 0.98, "master_category": 0.98}
    part = {"accepted": 0, "wrong": 0, "total": 10, "upper": 1.0}
    rules = {
        a: {
            "promise": promises.get(a, 0.85),
            "threshold": (thresholds or {}).get(a, 0.9),
            "select": {"catalogue": part},
            "certify": {"catalogue": part},
        }
        for a in label_set.attributes
    }
    photo = {a: {**rules[a], "promise": 0.95} for a in promises if a in rules}
    names, counts = np.unique(pictures.dataset, return_counts=True)
    raw = {
        "version": folder.name,
        "input": {"height": HEIGHT, "width": WIDTH},
        "backbone": "a made-up one (Apache-2.0)",
        "licence": "Apache-2.0",
        "data": {
            "name": "made-up pictures (MIT)",
            "sha256": pictures.digest,
            "rows": len(pictures.ids),
            "datasets": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        },
        "training": {"seed": 0},
        "temperatures": dict.fromkeys(HEAD_ATTRIBUTES, 1.0),
        "acceptance": {"catalogue": rules, "phone": photo, "street": photo}
        if len(names) > 1
        else {"catalogue": rules},
        "fashion": {"midpoint": 0.0, "scale": 1.0, "threshold": 0.5},
    }
    (folder / "card.json").write_text(json.dumps(raw))
    return Card.load(folder)
