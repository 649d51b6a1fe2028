"""What is fashion: the similarity to training pictures that is fitted at export."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.data import Pictures
from models.network import FashionLook, TagNetwork, pretrained_network, to_images
from models.training.fashion import fit_fashion_look
from models.transforms import Pixels


@pytest.fixture(scope="module")
def network() -> TagNetwork:
    return pretrained_network(3)


@pytest.fixture(scope="module")
def look(network: TagNetwork, pictures: Pictures) -> FashionLook:
    return fit_fashion_look(network, pictures)


def ask(network: TagNetwork, look: FashionLook, pixels: Pixels) -> np.ndarray:
    with torch.inference_mode():
        return look(network.early(to_images(torch.from_numpy(pixels)))).numpy()


def noise(count: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 48, 3), dtype=np.uint8)


def test_training_pictures_are_more_similar_than_noise(
    network: TagNetwork, look: FashionLook, pictures: Pictures
) -> None:
    known = ask(network, look, pictures.pixels[pictures.indices("train")])
    strange = ask(network, look, noise(10))
    assert known.max() <= 1 + 1e-5
    assert known.min() > strange.max()


@pytest.mark.parametrize("source", ["catalogue", "phone", "street"])
def test_pictures_of_each_source_are_known_that_were_not_trained_on(
    network: TagNetwork, look: FashionLook, pictures: Pictures, source: str
) -> None:
    held_out = ask(network, look, pictures.pixels[pictures.indices("test", source)])
    assert held_out.min() > ask(network, look, noise(10)).max()


def test_centres_are_fitted_to_training_pictures_alone(
    network: TagNetwork, look: FashionLook, pictures: Pictures
) -> None:
    """Whatever the other splits show, the same similarity comes out."""
    pixels = pictures.pixels.copy()
    rest = pictures.split != "train"
    pixels[rest] = noise(int(rest.sum()))
    again = fit_fashion_look(network, Pictures(**{**vars(pictures), "pixels": pixels}))
    assert torch.equal(again.centres, look.centres)
    assert torch.equal(again.project.weight, look.project.weight)


def test_few_pictures_give_a_similarity_that_half_precision_holds(
    network: TagNetwork, pictures: Pictures
) -> None:
    rows = pictures.indices("train", "catalogue")[:12]
    few = Pictures(
        **{
            **vars(pictures),
            **{name: vars(pictures)[name][rows] for name in ("ids", "pixels", "split", "dataset")},
        }
    )
    look = fit_fashion_look(network, few)
    look.half().float()
    found = ask(network, look, np.concatenate([few.pixels, noise(5)]))
    assert np.isfinite(found).all()
    assert found[:12].min() > found[12:].max()
