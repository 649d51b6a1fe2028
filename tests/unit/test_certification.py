"""Certification: promises are kept on every data set, or nothing is accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from models.calibrate import upper_error
from models.card import NEVER
from models.training.acceptance import rule_of
from models.training.certification import Part, certified, error, loosest


def certified_rule(
    select: Mapping[str, Part], certify: Mapping[str, Part], promise: float
) -> dict[str, Any]:
    """Return the rule with the loosest threshold that is certified."""
    threshold = loosest(certified(select, certify, promise))
    return rule_of(promise, threshold, {"select": select, "certify": certify})


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


def test_a_threshold_for_so_few_that_certification_must_fail_is_passed_over() -> None:
    """Twenty right ones bound no error of 5 %; that does not stop the laxer thresholds."""
    confidence = np.concatenate([np.full(20, 0.99), np.full(10, 0.98), np.full(1000, 0.9)])
    part = Part(confidence, confidence != 0.98)
    assert upper_error(0, 20) > 0.05
    assert certified_rule({"phone": part}, {"phone": part}, 0.95)["threshold"] == 0.9


def test_a_step_with_too_few_on_certify_is_passed_over_though_select_has_enough() -> None:
    """By its share on `select` the strictest step would accept 60 of 500; on `certify` 50."""
    select = Part(np.repeat([0.99, 0.9], [120, 880]), np.ones(1000, dtype=bool))
    select.correct[-1] = False
    certify = Part(np.repeat([0.99, 0.9], [50, 450]), np.ones(500, dtype=bool))
    assert upper_error(0, 50) > 0.05
    assert certified_rule({"phone": select}, {"phone": certify}, 0.95)["threshold"] == 0.9


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


def test_a_threshold_of_single_precision_accepts_the_picture_it_came_from() -> None:
    """The threshold goes through JSON as a double; the confidence stays a float32."""
    confidence = np.full(400, np.float32(0.1) * 7, dtype=np.float32)
    part = Part(confidence, np.ones(400, bool))
    [threshold] = certified({"one": part}, {"one": part}, 0.98)
    assert float(confidence[0]) >= threshold


def test_steps_go_on_until_the_promise_breaks_on_certify() -> None:
    """`select` knows two levels; on `certify` it breaks somewhere between."""
    select = {"one": Part(np.repeat([0.9, 0.5], 500), np.repeat([True, True], 500))}
    select["one"].correct[990:] = False
    confidence = np.linspace(1.0, 0.5, 5000)
    certify = {"one": Part(confidence, confidence >= 0.6)}
    passed = certified(select, certify, 0.95)
    assert passed == sorted(passed, reverse=True)
    assert 0.57 < passed[-1] < 0.6  # a twentieth of what is accepted is wrong at 0.579
    assert certify["one"].bounded(passed[-1]).upper <= 0.05


def test_what_certify_lets_pass_but_select_does_not_is_left_out() -> None:
    """`certify` may be lucky too: on `select` half is wrong below 0.7."""
    confidence = np.linspace(1.0, 0.5, 1000)
    certify = {"one": Part(confidence, np.ones(1000, bool))}
    random = np.random.default_rng(0)
    select = {"one": Part(confidence, (confidence >= 0.7) | (random.random(1000) < 0.5))}
    assert certify["one"].bounded(0.5).upper < 0.05
    passed = certified(select, certify, 0.95)
    assert 0.6 < passed[-1] < 0.69
    assert error(passed[-1], select["one"]) <= 0.05 < error(passed[-1] - 0.02, select["one"])


def test_without_pictures_to_choose_by_nothing_is_certified() -> None:
    nothing = Part(np.empty(0), np.empty(0, dtype=bool))
    plenty = Part(np.full(500, 0.99), np.ones(500, dtype=bool))
    assert certified({"one": nothing}, {"one": plenty}, 0.95) == []
    assert certified({"one": plenty}, {"one": nothing}, 0.95) == []
    assert error(0.9, nothing) == 0.0
