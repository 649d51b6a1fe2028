"""Nearest neighbours by three distances, and how many of them are alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.data import UNKNOWN
from models.proof.similarity import mean_hits, nearest, neighbour_hits
from tests.unit.made_evidence import make_world


def test_the_three_distances_disagree_where_they_should() -> None:
    query = np.array([[1.0, 0.1, 0.1]])
    gallery = np.array(
        [
            [9.0, -0.1, -0.1],  # the same direction, far away
            [0.9, 0.6, -0.2],  # near
            [0.3, 8.0, 5.0],  # the same signs, another direction and far
        ]
    )
    order = {
        d: nearest(query, gallery, 3, d)[0].tolist() for d in ("cosine", "euclidean", "jaccard")
    }
    assert order["cosine"] == [0, 1, 2]
    assert order["euclidean"] == [1, 0, 2] or order["euclidean"] == [1, 2, 0]
    assert order["euclidean"] == np.argsort(((gallery - query) ** 2).sum(axis=1)).tolist()
    assert order["jaccard"] == [2, 1, 0]


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "jaccard"])
def test_neighbours_are_those_of_comparing_one_by_one(distance: str) -> None:
    random = np.random.default_rng(5)
    queries, gallery = random.normal(size=(300, 40)), random.normal(size=(500, 40))

    def likeness(one: NDArray[Any], two: NDArray[Any]) -> float:
        if distance == "cosine":
            return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))
        if distance == "euclidean":
            return -float(np.linalg.norm(one - two))
        return float(((one > 0) & (two > 0)).sum() / ((one > 0) | (two > 0)).sum())

    near = nearest(queries, gallery, 10, distance)
    assert near.shape == (300, 10)
    for row in (0, 255, 256, 299):  # on both sides of a block's edge
        values = np.array([likeness(queries[row], other) for other in gallery])
        assert values[near[row]] == pytest.approx(np.sort(values)[::-1][:10])


def test_a_gallery_of_fewer_than_ten_gives_all_of_it() -> None:
    vectors = np.eye(3)
    assert nearest(vectors, vectors).tolist()[0][0] == 0
    assert nearest(vectors, vectors).shape == (3, 3)


def test_precision_at_ten_counts_types_and_colours_by_hand(tmp_path: Path) -> None:
    world = make_world(tmp_path / "made", count=100)
    labels = dict(world.pictures.labels)
    labels["article_type"] = np.array(["Tops", "Tops", "Tops", "Jeans", "Jeans"])
    labels["base_colour"] = np.array(["Red", "Red", "Blue", "Red", UNKNOWN])
    pictures = replace(world.pictures, labels=labels)
    neighbours = np.array([[1, 2, 3, 4], [0, 1, 2, 3]])
    hits = neighbour_hits(pictures, np.array([0, 4]), neighbours)
    assert hits["p10_type"].tolist() == [0.5, 0.25]
    assert hits["p10_type_and_colour"][0] == 0.25
    assert np.isnan(hits["p10_type_and_colour"][1])
    assert mean_hits(hits) == {"p10_type": 0.375, "p10_type_and_colour": 0.25}
