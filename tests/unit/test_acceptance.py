"""The acceptance rule: promises are kept on every data set, or nothing is accepted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.backends import Outputs
from models.calibrate import upper_error
from models.card import NEVER
from models.data import UNKNOWN, Pictures
from models.labels import ATTRIBUTES, DOMAINS, LabelSet
from models.predictor import Chosen
from models.training.acceptance import (
    PHOTO_PROMISES,
    PROMISES,
    Part,
    certified_rule,
    correctness,
    fit_rules,
    lowest_threshold,
)

TREE = {
    "Handbags": ("Bags", "Accessories"),
    "Heels": ("Shoes", "Footwear"),
    "Shirts": ("Topwear", "Apparel"),
    "Tshirts": ("Topwear", "Apparel"),
}


def draw(seed: int, power: float) -> Part:
    """Draw confidences, of which the higher are right the more often.

    They come in fiftieths: the work is in the number of different ones.
    """
    random = np.random.default_rng(seed)
    confidence = random.integers(1, 51, 20_000) / 50
    return Part(confidence, random.random(20_000) < confidence**power)


def splits(*parts: tuple[str, float]) -> tuple[dict[str, Part], dict[str, Part]]:
    """Draw data sets with the given powers for `select` and `certify`."""
    return (
        {name: draw(10 + i, power=power) for i, (name, power) in enumerate(parts)},
        {name: draw(20 + i, power=power) for i, (name, power) in enumerate(parts)},
    )


@pytest.mark.parametrize("promise", [0.9, 0.95, 0.98])
def test_the_promise_is_kept_on_each_data_set_for_itself(promise: float) -> None:
    """`street` is harder than `phone`: together they would keep a promise that it breaks."""
    select, certify = splits(("phone", 0.05), ("street", 0.3))
    rule = certified_rule(select, certify, promise)
    assert rule["threshold"] < 1
    for name, part in certify.items():
        accepted = part.confidence >= rule["threshold"]
        bound = upper_error(int((accepted & ~part.correct).sum()), int(accepted.sum()))
        assert bound <= 1 - promise
        assert rule["certify"][name]["upper"] == bound
        assert rule["certify"][name]["accepted"] == accepted.sum() > 0


def test_a_harder_data_set_raises_the_threshold_for_all() -> None:
    select, certify = splits(("phone", 0.05), ("street", 0.3))
    both = certified_rule(select, certify, 0.95)["threshold"]
    alone = {
        name: certified_rule({name: select[name]}, {name: certify[name]}, 0.95)["threshold"]
        for name in select
    }
    assert alone["phone"] < alone["street"] <= both <= 1


def test_a_higher_promise_never_lowers_the_threshold() -> None:
    select, certify = splits(("catalogue", 0.15))
    found = [certified_rule(select, certify, p)["threshold"] for p in (0.8, 0.9, 0.95, 0.98)]
    assert found == sorted(found)
    assert found[0] < found[-1] <= 1


def test_the_rule_says_what_it_promises_and_what_it_did() -> None:
    select, certify = splits(("phone", 0.1), ("street", 0.1))
    rule = certified_rule(select, certify, 0.9)
    assert set(rule) == {"promise", "threshold", "select", "certify"}
    assert rule["promise"] == 0.9
    for part, given in (("select", select), ("certify", certify)):
        assert rule[part].keys() == given.keys()
        for name, measured in rule[part].items():
            accepted = given[name].confidence >= rule["threshold"]
            assert measured["threshold"] == rule["threshold"]
            assert measured["total"] == len(accepted)
            assert measured["accepted"] == accepted.sum()
            assert measured["wrong"] == (accepted & ~given[name].correct).sum()


def test_a_rule_that_breaks_its_promise_on_certify_is_made_stricter() -> None:
    """`select` was lucky: on `certify` the pictures between 0.5 and 0.9 are wrong more often."""
    confidence = np.concatenate([np.full(3000, 0.95), np.full(1000, 0.7)])
    lucky = np.ones(4000, dtype=bool)
    honest = lucky.copy()
    honest[3000:3200] = False
    certify = {"catalogue": Part(confidence, honest)}
    rule = certified_rule({"catalogue": Part(confidence, lucky)}, certify, 0.98)
    assert rule["threshold"] == NEVER  # all candidates are the same threshold, and it fails
    lucky[3000:3060] = False  # now stricter candidates leave the doubtful ones out
    rule = certified_rule({"catalogue": Part(confidence, lucky)}, certify, 0.98)
    assert rule["threshold"] == 0.95
    assert rule["certify"]["catalogue"]["upper"] <= 0.02


def test_after_the_first_broken_promise_no_laxer_threshold_is_tried() -> None:
    """The tests are few and in order; trying on until one passes would need a correction."""
    confidence = np.concatenate([np.full(3000, 0.95), np.full(9000, 0.7)])
    select = np.ones(12_000, dtype=bool)
    select[3000:3120] = False
    certify = np.ones(12_000, dtype=bool)
    certify[:90] = False  # 3 % of the surest; of all together less than 1 %
    assert upper_error(90, 12_000) < 0.02
    rule = certified_rule(
        {"catalogue": Part(confidence, select)},
        {"catalogue": Part(confidence, certify)},
        0.98,
    )
    assert rule["threshold"] == NEVER


def test_the_lowest_threshold_is_where_so_many_may_be_wrong() -> None:
    confidence = np.array([0.7, 0.9, 0.5, 0.8, 0.6])
    correct = confidence != 0.7
    assert lowest_threshold(confidence, correct, 0.2) == 0.5
    assert lowest_threshold(confidence, correct, 0.19) == 0.8
    assert lowest_threshold(confidence, ~correct, 0.2) == NEVER


def test_the_lowest_threshold_does_not_part_equal_confidences() -> None:
    """Of the two at 0.6 the first is right: it alone would do no harm."""
    confidence, correct = np.array([0.9, 0.6, 0.6]), np.array([True, True, False])
    assert lowest_threshold(confidence, correct, 0.1) == 0.9


def test_a_threshold_for_so_few_that_certification_must_fail_is_passed_over() -> None:
    """Twenty right ones bound no error of 5 %; that does not stop the laxer thresholds."""
    confidence = np.concatenate([np.full(20, 0.99), np.full(10, 0.98), np.full(1000, 0.9)])
    part = Part(confidence, confidence != 0.98)
    assert lowest_threshold(part.confidence, part.correct, 0.005) == 0.99
    assert upper_error(0, 20) > 0.05
    assert certified_rule({"phone": part}, {"phone": part}, 0.95)["threshold"] == 0.9


@pytest.mark.parametrize("rows", [0, 20])
def test_where_too_little_is_known_nothing_is_accepted(rows: int) -> None:
    sure = Part(np.full(rows, 0.99), np.ones(rows, dtype=bool))
    plenty = Part(np.full(500, 0.99), np.ones(500, dtype=bool))
    for select, certify in ((sure, sure), (plenty, sure)):
        rule = certified_rule({"phone": select}, {"phone": certify}, 0.95)
        assert rule["threshold"] == NEVER > 1
        assert rule["certify"]["phone"]["accepted"] == 0


def test_few_pictures_may_choose_what_many_certify() -> None:
    """The guarantee is the certification's; without any picture there is nothing to choose."""
    plenty = Part(np.full(500, 0.99), np.ones(500, dtype=bool))
    for rows, threshold in ((20, 0.99), (0, NEVER)):
        few = Part(np.full(rows, 0.99), np.ones(rows, dtype=bool))
        assert certified_rule({"phone": few}, {"phone": plenty}, 0.95)["threshold"] == threshold


def test_one_data_set_that_cannot_be_certified_stops_all() -> None:
    sure = Part(np.full(500, 0.99), np.ones(500, dtype=bool))
    wrong = Part(np.full(500, 0.99), np.zeros(500, dtype=bool))
    assert certified_rule({"phone": sure}, {"phone": sure}, 0.95)["threshold"] == 0.99
    both = {"phone": sure, "street": wrong}
    assert certified_rule(both, both, 0.95)["threshold"] == NEVER


def test_pictures_of_one_sender_count_for_less_than_as_many_of_many() -> None:
    """Ten of 400 are wrong. One sender's ten might come again: the bound must say so."""
    confidence, correct = np.full(400, 0.99), np.arange(400) >= 10
    alone = Part(confidence, correct, np.arange(400).astype(str)).bounded(0.9)
    senders = Part(confidence, correct, (np.arange(400) // 20).astype(str)).bounded(0.9)
    assert alone.upper == upper_error(10, 400)
    assert senders.upper > alone.upper
    assert (senders.accepted, senders.wrong) == (400, 10)
    scattered = Part(confidence, correct, (np.arange(400) % 20).astype(str)).bounded(0.9)
    assert scattered.upper == alone.upper  # never less than the bound by pictures


def test_nothing_published_bounds_nothing() -> None:
    part = Part(np.full(40, 0.5), np.ones(40, dtype=bool), (np.arange(40) // 20).astype(str))
    assert part.bounded(0.9).upper == 1.0


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
