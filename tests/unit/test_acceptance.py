"""The acceptance rule: what counts as right, and the rules of all domains together."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.backends import Outputs
from models.card import NEVER
from models.data import UNKNOWN, Pictures
from models.labels import ATTRIBUTES, DOMAINS, LabelSet
from models.predictor import Chosen
from models.training.acceptance import (
    PHOTO_PROMISES,
    PROMISES,
    correctness,
    fit_rules,
)

TREE = {
    "Handbags": ("Bags", "Accessories"),
    "Heels": ("Shoes", "Footwear"),
    "Shirts": ("Topwear", "Apparel"),
    "Tshirts": ("Topwear", "Apparel"),
}


# What is right


@pytest.fixture
def label_set() -> LabelSet:
    kinds = sorted(TREE)
    rows = {a: [f"{a} 0", f"{a} 1"] * 2 for a in ATTRIBUTES}
    return LabelSet.from_rows(
        {
            **rows,
            "article_type": kinds,
            "sub_category": [TREE[kind][0] for kind in kinds],
            "master_category": [TREE[kind][1] for kind in kinds],
        }
    )


def make_pictures(
    types: list[str | frozenset[str]], split: list[str], source: list[str]
) -> Pictures:
    """Pictures with an exact type or a coarse label; their colour is the first or not known."""
    exact = [kind if isinstance(kind, str) else UNKNOWN for kind in types]
    labels = {a: np.array([f"{a} 0" if kind else UNKNOWN for kind in exact]) for a in ATTRIBUTES}
    labels["article_type"] = np.array(exact)
    for level, attribute in enumerate(("sub_category", "master_category")):
        labels[attribute] = np.array([TREE[k][level] if k else UNKNOWN for k in exact])
    return Pictures(
        ids=np.arange(len(types)).astype(str),
        pixels=np.zeros((len(types), 1, 1, 3), dtype=np.uint8),
        labels=labels,
        split=np.array(split),
        digest="",
        dataset=np.array(source),
        coarse=[None if isinstance(kind, str) else kind for kind in types],
    )


def choose(label_set: LabelSet, kinds: list[str], confidence: NDArray[np.float64]) -> Chosen:
    """Choose types with their categories, and the first label of all else."""
    chosen: Chosen = {a: (np.zeros(len(kinds), dtype=int), confidence) for a in ATTRIBUTES}
    named = {
        "article_type": kinds,
        "sub_category": [TREE[kind][0] for kind in kinds],
        "master_category": [TREE[kind][1] for kind in kinds],
    }
    for attribute, names in named.items():
        numbers = np.array([label_set.index[attribute][name] for name in names])
        chosen[attribute] = (numbers, confidence)
    return chosen


def test_a_coarse_label_makes_its_types_and_their_categories_right(label_set: LabelSet) -> None:
    tops = frozenset({"Shirts", "Tshirts"})
    mixed = frozenset({"Shirts", "Handbags"})
    pictures = make_pictures([tops, tops, mixed, mixed], ["test"] * 4, ["phone"] * 4)
    chosen = choose(label_set, ["Tshirts", "Heels", "Handbags", "Tshirts"], np.ones(4))
    found = correctness(chosen, pictures, label_set, np.arange(4))
    assert found["article_type"][0].tolist() == [True, False, True, False]
    assert found["sub_category"][0].tolist() == [True, False, True, True]
    assert found["master_category"][0].tolist() == [True, False, True, True]
    for attribute in ("article_type", "sub_category", "master_category"):
        assert found[attribute][1].all()


def test_of_a_photograph_nothing_but_type_and_categories_is_known(label_set: LabelSet) -> None:
    pictures = make_pictures(["Heels", frozenset({"Heels"})], ["test"] * 2, ["catalogue", "phone"])
    chosen = choose(label_set, ["Heels", "Heels"], np.ones(2))
    found = correctness(chosen, pictures, label_set, np.arange(2))
    for attribute in ("base_colour", "gender", "season", "usage"):
        right, known = found[attribute]
        assert known.tolist() == [True, False]
        assert right[0]


def test_an_exact_label_makes_nothing_else_right(label_set: LabelSet) -> None:
    pictures = make_pictures(["Shirts", "Shirts"], ["test"] * 2, ["catalogue"] * 2)
    found = correctness(
        choose(label_set, ["Tshirts", "Heels"], np.ones(2)), pictures, label_set, np.array([1, 0])
    )
    assert found["article_type"][0].tolist() == [False, False]
    assert found["sub_category"][0].tolist() == [True, False]


def test_a_picture_of_which_nothing_is_known_counts_nowhere(label_set: LabelSet) -> None:
    pictures = make_pictures([frozenset(), "Heels"], ["test"] * 2, ["phone", "catalogue"])
    found = correctness(
        choose(label_set, ["Heels", "Heels"], np.ones(2)), pictures, label_set, np.arange(2)
    )
    assert [known.tolist() for _, known in found.values()] == [[False, True]] * len(ATTRIBUTES)


# All rules of a version


def looks(names: list[str]) -> Outputs:
    """What the network's domain head says, where it is sure of these."""
    logits = np.array([[name == one for one in DOMAINS] for name in names], dtype=np.float32)
    return {"domain": logits, "embedding": np.zeros((len(names), 256), dtype=np.float32)}


@pytest.fixture
def situation(
    label_set: LabelSet,
) -> tuple[Pictures, dict[str, Chosen], dict[str, Outputs]]:
    """300 products and 300 photographs in each split.

    All answers are right, but those of 30 photographs that are taken for products.
    """
    split = ["select"] * 600 + ["certify"] * 600
    source = (["catalogue"] * 300 + ["phone"] * 300) * 2
    types: list[str | frozenset[str]] = [
        "Heels" if one == "catalogue" else frozenset({"Shirts", "Tshirts"}) for one in source
    ]
    kinds = ["Heels"] * 300 + ["Handbags"] * 30 + ["Shirts"] * 270
    confidence = np.concatenate([np.full(300, 0.9), np.full(30, 0.99), np.full(270, 0.6)])
    seen = ["catalogue"] * 330 + ["phone"] * 270
    chosen = {s: choose(label_set, kinds, confidence) for s in ("select", "certify")}
    outputs = {s: looks(seen) for s in ("select", "certify")}
    return make_pictures(types, split, source), chosen, outputs


def test_each_domain_has_rules_from_the_pictures_that_look_like_it(
    label_set: LabelSet, situation: tuple[Pictures, dict[str, Chosen], dict[str, Outputs]]
) -> None:
    pictures, chosen, outputs = situation
    rules = fit_rules(outputs, chosen, pictures, label_set)
    assert rules["catalogue"]["article_type"]["threshold"] == 0.9
    assert rules["catalogue"]["article_type"]["certify"].keys() == {"catalogue"}
    assert rules["catalogue"]["article_type"]["certify"]["catalogue"]["total"] == 300
    assert rules["phone"]["article_type"]["certify"].keys() == {"phone"}
    assert rules["phone"]["article_type"]["certify"]["phone"]["total"] == 270


def test_rules_hold_for_pictures_that_are_taken_for_another_domain_too(
    label_set: LabelSet, situation: tuple[Pictures, dict[str, Chosen], dict[str, Outputs]]
) -> None:
    """30 photographs are taken for products, published by their threshold, and wrong: too many.

    Their own 270 kept the promise, so that their rule alone was certified; it must go.
    """
    pictures, chosen, outputs = situation
    rule = fit_rules(outputs, chosen, pictures, label_set)["phone"]["article_type"]
    assert (rule["served"]["phone"]["accepted"], rule["served"]["phone"]["wrong"]) == (30, 30)
    assert rule["threshold"] == NEVER
    fewer = {s: looks(["catalogue"] * 302 + ["phone"] * 298) for s in ("select", "certify")}
    kinds = ["Heels"] * 300 + ["Handbags"] * 2 + ["Shirts"] * 298
    confidence = np.concatenate([np.full(300, 0.9), np.full(2, 0.99), np.full(298, 0.6)])
    right = {s: choose(label_set, kinds, confidence) for s in ("select", "certify")}
    rule = fit_rules(fewer, right, pictures, label_set)["phone"]["article_type"]
    assert (rule["served"]["phone"]["accepted"], rule["served"]["phone"]["wrong"]) == (300, 2)
    assert rule["threshold"] == 0.6


def test_only_what_is_labelled_in_photographs_is_promised_for_them(
    label_set: LabelSet, situation: tuple[Pictures, dict[str, Chosen], dict[str, Outputs]]
) -> None:
    pictures, chosen, outputs = situation
    rules = fit_rules(outputs, chosen, pictures, label_set)
    promises = {s: {a: rule["promise"] for a, rule in r.items()} for s, r in rules.items()}
    assert promises == {"catalogue": PROMISES, "phone": PHOTO_PROMISES}
    assert set(PHOTO_PROMISES) == {"article_type", "sub_category", "master_category"}


def test_another_promise_is_that_of_products_type_and_categories(
    label_set: LabelSet, situation: tuple[Pictures, dict[str, Chosen], dict[str, Outputs]]
) -> None:
    pictures, chosen, outputs = situation
    rules = fit_rules(outputs, chosen, pictures, label_set, promise=0.9)
    changed = {a for a, rule in rules["catalogue"].items() if rule["promise"] != PROMISES[a]}
    assert changed == {"article_type", "sub_category", "master_category"}
    assert {rules["catalogue"][a]["promise"] for a in changed} == {0.9}
    assert {a: rule["promise"] for a, rule in rules["phone"].items()} == PHOTO_PROMISES


def test_without_photographs_there_are_no_rules_for_them(label_set: LabelSet) -> None:
    pictures = make_pictures(["Heels"] * 4, ["select", "certify"] * 2, ["catalogue"] * 4)
    chosen = {s: choose(label_set, ["Heels"] * 2, np.ones(2)) for s in ("select", "certify")}
    outputs = {s: looks(["catalogue", "phone"]) for s in ("select", "certify")}
    assert fit_rules(outputs, chosen, pictures, label_set).keys() == {"catalogue"}


@pytest.mark.parametrize("missing", ["select", "certify", "both"])
def test_a_domain_without_pictures_in_a_split_publishes_nothing(
    label_set: LabelSet, missing: str
) -> None:
    """A few senders may all fall into training; that must not end an export."""
    tops = frozenset({"Shirts", "Tshirts"})
    types: list[str | frozenset[str]] = ["Heels", "Heels", tops, tops, tops]
    split = ["select", "certify", "train", "select", "certify"]
    gone = {"select": [3], "certify": [4], "both": [3, 4]}[missing]
    split = ["train" if row in gone else name for row, name in enumerate(split)]
    pictures = make_pictures(types, split, ["catalogue"] * 2 + ["phone"] * 3)
    chosen, outputs = {}, {}
    for name in ("select", "certify"):
        rows = pictures.indices(name)
        kinds = ["Heels" if pictures.dataset[row] == "catalogue" else "Shirts" for row in rows]
        chosen[name] = choose(label_set, kinds, np.full(len(rows), 0.9))
        outputs[name] = looks([str(pictures.dataset[row]) for row in rows])
    rules = fit_rules(outputs, chosen, pictures, label_set)
    assert rules["phone"].keys() == PHOTO_PROMISES.keys()
    assert {rule["threshold"] for rule in rules["phone"].values()} == {NEVER}
