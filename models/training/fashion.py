"""What is fashion and what is not: fitting the similarity behind `fashion_score`.

Only pictures of fashion are used. Needs torch and scikit-learn (the `train` extra).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from models.data import Pictures
from models.network import FashionLook, TagNetwork, pretrained_network, to_images

DIMENSIONS = 128
#: Centres of each data set, so that the many catalogue pictures do not outweigh photographs.
CENTRES = 256
#: Pictures of each data set that the centres are fitted to.
PICTURES = 6_000


def fit_fashion_look(network: TagNetwork, pictures: Pictures, seed: int = 0) -> FashionLook:
    """Fit directions and centres to training pictures of all data sets.

    `network` has frozen stages, whose maps the similarity starts from.
    """
    late = pretrained_network(network.frozen, network.name)
    probe = FashionLook(late, 1, 1)
    random = np.random.default_rng(seed)
    features = []
    for dataset in sorted(set(pictures.dataset)):
        rows = random.permutation(pictures.indices("train", dataset))[:PICTURES]
        if not len(rows):
            continue  # a data set so small that all of it fell into other splits
        features.append(_features(network, probe, pictures.pixels, np.sort(rows)))
    _, _, axes = np.linalg.svd(np.concatenate(features), full_matrices=False)
    axes = axes[:DIMENSIONS]
    centres = np.concatenate([_centres(part @ axes.T, seed) for part in features])
    look = FashionLook(late, len(axes), len(centres))
    look.project.weight.copy_(torch.from_numpy(axes))
    look.centres.copy_(torch.from_numpy(centres))
    return look.eval()


def _centres(points: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Return k-means centres of points (N, D), scaled to unit length."""
    count = min(CENTRES, len(points))
    found = MiniBatchKMeans(count, random_state=seed, n_init=1, batch_size=2048).fit(points)
    centres: NDArray[np.float32] = found.cluster_centers_
    scaled: NDArray[np.float32] = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    return scaled


@torch.inference_mode()
def _features(
    network: TagNetwork, look: FashionLook, pixels: NDArray[np.uint8], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    parts = []
    for start in range(0, len(rows), 64):
        images = to_images(torch.from_numpy(pixels[rows[start : start + 64]]))
        parts.append(look.features(network.early(images)).numpy())
    return np.concatenate(parts)
