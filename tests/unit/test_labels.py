"""Label sets: collecting names, and one tree of categories over the types."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.labels import ATTRIBUTES, DERIVED_ATTRIBUTES, HEAD_ATTRIBUTES, LabelSet


def rows_of(*paths: tuple[str, str, str]) -> dict[str, list[str]]:
    """Rows with the given (article type, sub-category, master category) paths."""
    kinds, subs, masters = (list(column) for column in zip(*paths, strict=True))
    fill = {a: [f"{a} {i % 2}" for i in range(len(paths))] for a in HEAD_ATTRIBUTES}
    return {**fill, "article_type": kinds, "sub_category": subs, "master_category": masters}


@pytest.fixture
def labels() -> LabelSet:
    return LabelSet.from_rows(
        rows_of(
            ("Tshirts", "Topwear", "Apparel"),
            ("Shirts", "Topwear", "Apparel"),
            ("Jeans", "Bottomwear", "Apparel"),
            ("Heels", "Shoes", "Footwear"),
        )
    )


def test_names_are_sorted_and_hold_each_label_once() -> None:
    rows = rows_of(
        ("Shirts", "Topwear", "Apparel"),
        ("Heels", "Shoes", "Footwear"),
        ("Shirts", "Topwear", "Apparel"),
    )
    labels = LabelSet.from_rows(rows)
    assert labels.names["article_type"] == ("Heels", "Shirts")
    assert labels.names["sub_category"] == ("Shoes", "Topwear")
    assert labels.names["master_category"] == ("Apparel", "Footwear")
    assert labels.names["gender"] == ("gender 0", "gender 1")
    assert set(labels.names) == set(ATTRIBUTES)


def test_a_type_gets_the_path_that_most_of_its_pictures_have() -> None:
    labels = LabelSet.from_rows(
        rows_of(
            ("Scarves", "Accessories", "Accessories"),
            ("Scarves", "Scarves", "Accessories"),
            ("Scarves", "Scarves", "Accessories"),
        )
    )
    assert labels.parents == {"Scarves": ("Scarves", "Accessories")}
    assert labels.names["sub_category"] == ("Scarves",)


@pytest.mark.parametrize("turned", [False, True])
def test_a_tie_goes_to_the_alphabetically_first_path_whatever_the_order(turned: bool) -> None:
    paths = [("Belts", "Belts", "Accessories"), ("Belts", "Apparel Set", "Apparel")]
    labels = LabelSet.from_rows(rows_of(*(reversed(paths) if turned else paths)))
    assert labels.parents["Belts"] == ("Apparel Set", "Apparel")


def test_a_sub_category_has_exactly_one_master_the_one_of_most_pictures() -> None:
    labels = LabelSet.from_rows(
        rows_of(
            ("Tshirts", "Topwear", "Apparel"),
            ("Tshirts", "Topwear", "Apparel"),
            ("Tshirts", "Topwear", "Apparel"),
            ("Shrug", "Topwear", "Accessories"),
            ("Shrug", "Topwear", "Accessories"),
            ("Umbrellas", "Umbrellas", "Accessories"),
        )
    )
    assert labels.parents["Shrug"] == ("Topwear", "Apparel")
    masters: dict[str, set[str]] = {}
    for sub, master in labels.parents.values():
        masters.setdefault(sub, set()).add(master)
    assert masters == {"Topwear": {"Apparel"}, "Umbrellas": {"Accessories"}}


def test_a_sub_category_that_won_no_type_is_no_label() -> None:
    labels = LabelSet.from_rows(
        rows_of(
            ("Ties", "Ties", "Accessories"),
            ("Ties", "Ties", "Accessories"),
            ("Ties", "Stray", "Elsewhere"),
        )
    )
    assert labels.names["sub_category"] == ("Ties",)
    assert labels.names["master_category"] == ("Accessories",)


def test_arrays_are_taken_as_lists_are() -> None:
    rows = rows_of(("Shirts", "Topwear", "Apparel"), ("Heels", "Shoes", "Footwear"))
    arrays = {name: np.array(values) for name, values in rows.items()}
    assert LabelSet.from_rows(arrays) == LabelSet.from_rows(rows)


def test_columns_of_different_length_are_refused() -> None:
    rows = rows_of(("Shirts", "Topwear", "Apparel"), ("Heels", "Shoes", "Footwear"))
    rows["master_category"].pop()
    with pytest.raises(ValueError, match="zip"):
        LabelSet.from_rows(rows)


def test_what_is_saved_is_loaded_again(labels: LabelSet, tmp_path: Path) -> None:
    labels.save(tmp_path / "labels.json")
    assert LabelSet.load(tmp_path / "labels.json") == labels


def test_saving_twice_gives_the_same_bytes(labels: LabelSet, tmp_path: Path) -> None:
    labels.save(tmp_path / "one.json")
    LabelSet.load(tmp_path / "one.json").save(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_index_is_the_place_among_the_names(labels: LabelSet) -> None:
    for attribute in ATTRIBUTES:
        names = labels.names[attribute]
        assert [names[labels.index[attribute][name]] for name in names] == list(names)
        assert len(labels.index[attribute]) == len(names)


def test_summing_puts_each_type_into_its_own_category_and_no_other(labels: LabelSet) -> None:
    for level, attribute in enumerate(DERIVED_ATTRIBUTES):
        matrix = labels.summing[attribute]
        shape = (len(labels.names["article_type"]), len(labels.names[attribute]))
        assert matrix.shape == shape
        assert matrix.sum(axis=1).tolist() == [1.0] * shape[0]
        for row, kind in enumerate(labels.names["article_type"]):
            column = int(matrix[row].argmax())
            assert labels.names[attribute][column] == labels.parents[kind][level]


def test_adding_up_keeps_probabilities_adding_up_to_one(labels: LabelSet) -> None:
    types = np.array([[0.1, 0.2, 0.3, 0.4]], dtype=np.float32)  # Heels Jeans Shirts Tshirts
    found = {a: (types @ labels.summing[a])[0] for a in DERIVED_ATTRIBUTES}
    assert labels.names["sub_category"] == ("Bottomwear", "Shoes", "Topwear")
    assert np.allclose(found["sub_category"], [0.2, 0.1, 0.7])
    assert np.allclose(found["master_category"], [0.9, 0.1])


# Data sets that do not know everything


def known(**columns: list[str]) -> dict[str, list[str]]:
    """Rows of which the named attributes are known."""
    rows = len(columns["article_type"])
    return {a: columns.get(a, [""] * rows) for a in ATTRIBUTES}


def test_an_attribute_that_nobody_named_is_left_out() -> None:
    labels = LabelSet.from_rows(
        known(article_type=["Shirts", "Heels"], base_colour=["Red", ""], gender=["", ""])
    )
    assert labels.attributes == labels.heads == ("article_type", "base_colour")
    assert labels.names["base_colour"] == ("Red",)
    assert labels.names["gender"] == ()
    assert labels.summing == {}


def test_attributes_come_coarse_to_fine_and_heads_without_the_categories(
    labels: LabelSet,
) -> None:
    assert labels.attributes == ATTRIBUTES
    assert labels.heads == HEAD_ATTRIBUTES


def test_rows_without_a_type_have_no_part_in_the_tree() -> None:
    labels = LabelSet.from_rows(
        known(article_type=["Shirts", ""], sub_category=["Topwear", "Stray"], usage=["", "Home"])
    )
    assert labels.names["article_type"] == ("Shirts",)
    assert labels.names["sub_category"] == ("Topwear",)
    assert labels.names["usage"] == ("Home",)


def test_master_categories_without_sub_categories_stay_apart() -> None:
    labels = LabelSet.from_rows(
        known(
            article_type=["Shirts", "Heels", "Heels"],
            master_category=["Apparel", "Footwear", "Footwear"],
        )
    )
    assert labels.parents == {"Shirts": ("", "Apparel"), "Heels": ("", "Footwear")}
    assert labels.attributes == ("master_category", "article_type")
    assert labels.names["article_type"] == ("Heels", "Shirts")
    assert labels.summing["master_category"].tolist() == [[0, 1], [1, 0]]


def test_a_path_with_names_counts_more_than_rows_without() -> None:
    labels = LabelSet.from_rows(
        known(
            article_type=["Heels", "Heels", "Heels"],
            sub_category=["", "", "Shoes"],
            master_category=["", "", "Footwear"],
        )
    )
    assert labels.parents == {"Heels": ("Shoes", "Footwear")}


def test_a_level_of_categories_that_a_type_lacks_is_left_out() -> None:
    """A tag of that type would have no label there."""
    labels = LabelSet.from_rows(
        known(
            article_type=["Shirts", "Heels"],
            sub_category=["Topwear", ""],
            master_category=["Apparel", "Footwear"],
        )
    )
    assert labels.attributes == ("master_category", "article_type")
    assert set(labels.summing) == {"master_category"}


def test_a_label_set_with_gaps_is_loaded_again(tmp_path: Path) -> None:
    labels = LabelSet.from_rows(known(article_type=["Shirts"], usage=["Casual"]))
    labels.save(tmp_path / "labels.json")
    assert LabelSet.load(tmp_path / "labels.json") == labels
