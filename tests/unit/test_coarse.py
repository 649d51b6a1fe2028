"""Confidence by coarse labels: the chance that a label admits the chosen tag."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.coarse import CoarseDomain, by_admission, soften
from models.data import Pictures
from models.labels import LabelSet
from models.predictor import choose_labels

LABELS = LabelSet(
    names={
        "master_category": ("Apparel", "Footwear"),
        "sub_category": ("Shoes", "Topwear"),
        "article_type": ("Shirts", "Shoes", "Tops", "Tshirts"),
        "base_colour": (),
        "gender": (),
        "season": (),
        "usage": (),
    },
    parents={
        "Shirts": ("Topwear", "Apparel"),
        "Shoes": ("Shoes", "Footwear"),
        "Tops": ("Topwear", "Apparel"),
        "Tshirts": ("Topwear", "Apparel"),
    },
)
#: `top` admits two types and has six times as many pictures as `t-shirt`.
COARSE = [
    {"types": ["Tops", "Tshirts"], "pictures": 60},
    {"types": ["Tshirts"], "pictures": 10},
    {"types": ["Not known here"], "pictures": 5},
]
SHIRTS, SHOES, TOPS, TSHIRTS = range(4)
DOMAIN = CoarseDomain.of({"labels": COARSE}, LABELS)


def test_a_type_stands_for_the_labels_that_admit_it() -> None:
    """A T-shirt was labelled `top` with 30 of 40 pictures: so often Tops are right."""
    chance = DOMAIN.admitted["article_type"]
    assert chance[TOPS, TSHIRTS] == pytest.approx(30 / 40)
    assert chance[TSHIRTS, TOPS] == 1
    assert chance[TOPS, TOPS] == chance[TSHIRTS, TSHIRTS] == 1
    assert not chance[:2, [TOPS, TSHIRTS]].any()


def test_it_is_known_which_tags_a_label_admits() -> None:
    """Shirts are no type of any label, but their category is one of Tops."""
    assert DOMAIN.known["article_type"].tolist() == [False, False, True, True]
    assert DOMAIN.known["sub_category"].tolist() == [False, True]
    assert DOMAIN.known["master_category"].tolist() == [True, False]


def test_categories_are_admitted_with_any_of_their_types() -> None:
    assert DOMAIN.admitted["sub_category"][1].tolist() == [1, 0, 1, 1]
    assert DOMAIN.admitted["master_category"][0].tolist() == [1, 0, 1, 1]


def test_belief_spread_over_types_that_no_label_tells_apart_is_confidence() -> None:
    types = np.array([[0.1, 0.0, 0.5, 0.4], [0.1, 0.0, 0.5, 0.4]])
    probabilities = {"article_type": types, **{a: types @ m for a, m in LABELS.summing.items()}}
    looks = np.array(["street", "catalogue"])
    chosen = choose_labels(probabilities, LABELS, looks, {"street": DOMAIN})
    labels, confidence = chosen["article_type"]
    assert labels.tolist() == [TOPS, TOPS]
    assert confidence == pytest.approx([0.5 + 0.4 * 30 / 40, 0.5])
    assert chosen["sub_category"][1] == pytest.approx([1.0, 1.0])


def test_attributes_that_coarse_labels_say_nothing_of_keep_their_probability() -> None:
    colours = np.array([[0.7, 0.3]])
    types = np.array([[0.2, 0.0, 0.8, 0.0]])
    probabilities = {"article_type": types, "base_colour": colours}
    chosen = {"article_type": np.array([TOPS]), "base_colour": np.array([0])}
    found = by_admission(probabilities, chosen, np.array(["phone"]), {"phone": DOMAIN})
    assert found["base_colour"].tolist() == [0.7]
    assert found["article_type"] == pytest.approx([0.8])


def test_confidences_by_coarse_labels_are_probabilities() -> None:
    random = np.random.default_rng(0)
    types = random.dirichlet(np.full(4, 0.3), 200)
    probabilities = {"article_type": types, **{a: types @ m for a, m in LABELS.summing.items()}}
    looks = np.full(200, "phone")
    chosen = choose_labels(probabilities, LABELS, looks, {"phone": DOMAIN})
    known = np.isin(chosen["article_type"][0], [TOPS, TSHIRTS])
    assert (chosen["article_type"][1] >= types.max(axis=1) - 1e-6)[known].all()
    assert (chosen["article_type"][1][~known] <= 0.5).all()
    assert (~known).any()
    for _, confidence in chosen.values():
        assert (confidence <= 1 + 1e-6).all()
    # The coarser the tag, the surer.
    assert (chosen["sub_category"][1] >= chosen["article_type"][1] - 1e-6).all()


def test_a_card_lists_the_labels_of_training_photographs(pictures: Pictures) -> None:
    """With how many pictures each; the catalogue's labels are exact."""
    found = pictures.coarse_labels()
    assert set(found) == {"phone", "street"}
    for domain, labels in found.items():
        assert sum(label["pictures"] for label in labels) == len(pictures.indices("train", domain))
    assert {tuple(label["types"]) for label in found["street"]} == {
        ("Tshirts",),
        ("Backpacks", "Handbags"),
    }


def test_the_temperature_of_a_domain_makes_its_confidence_honest() -> None:
    """The network is surer than it is right; on a split of its own that is put straight."""
    random = np.random.default_rng(1)
    logits = random.normal(0, 2, (4000, 4))
    logits[:, [SHIRTS, SHOES]] -= 3
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    sharp = np.exp(3 * logits) / np.exp(3 * logits).sum(axis=1, keepdims=True)
    chosen = sharp.argmax(axis=1)
    known = DOMAIN.known["article_type"][chosen]
    chance = np.where(known, DOMAIN.confidence(honest, "article_type", chosen), 0)
    right = random.random(4000) < chance
    fitted = DOMAIN.fitted(sharp, chosen, right)
    assert fitted.temperature == pytest.approx(3, rel=0.15)
    found = fitted.confidence(fitted.softened(sharp), "article_type", chosen)
    assert np.abs(found - chance)[known].mean() < 0.02
    assert DOMAIN.fitted(sharp[:9], chosen[:9], np.ones(9, bool)).temperature == 1.0


def test_only_pictures_of_a_domain_are_softened() -> None:
    types = np.array([[0.7, 0.1, 0.1, 0.1]] * 2)
    warm = replace(DOMAIN, temperature=2.0)
    found = soften(types, np.array(["phone", "catalogue"]), {"phone": warm})
    assert found[1].tolist() == types[1].tolist()
    assert found[0] == pytest.approx(np.sqrt(types[0]) / np.sqrt(types[0]).sum())
