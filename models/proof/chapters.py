"""The chapters of the model card page: tables and plots, each with what prints it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.bootstrap import DRAWS
from models.card import NEVER, Card
from models.labels import ATTRIBUTES, domain_of
from models.proof.markdown import (
    NOTHING,
    bullets,
    cell,
    chapter,
    names,
    number,
    number_within,
    percent,
    percent_within,
    table,
)
from models.training.acceptance import PHOTO_PROMISES

#: A title that others look for.
PUBLISHED = "What is published, and the promise"


def again(command: str, *keys: str) -> str:
    """Say which command prints a chapter's figures again, and under which keys."""
    where = ", ".join(f"`{key}`" for key in keys if key)
    return f"*Printed again by* `{command} --json`*, under* {where}*.*"


def promise_of(card: Card, dataset: str, attribute: str = "article_type") -> float | None:
    """Return what a version promises of an attribute of a data set's pictures, if anything."""
    rules = card.raw["acceptance"].get(domain_of(dataset), {})
    promise = rules.get(attribute, {}).get("promise")
    return None if promise is None else float(promise)


def verdict(promise: float | None, figures: Mapping[str, Any]) -> str:
    """Say whether the test split bears a promise out, by an attribute's figures."""
    if promise is None:
        return "none is given"
    allowed = f"≤ {100 * (1 - promise):g} % wrong"
    if not figures["n_accepted"]:
        return f"{allowed}: kept by publishing nothing"
    if figures["wrong_upper_95"] <= 1 - promise:
        return f"{allowed}: kept, sure at 95 %"
    if figures["n_wrong"] / figures["n_accepted"] <= 1 - promise:
        return f"{allowed}: kept here, on too few pictures to be sure"
    return f"{allowed}: **not kept here**"


def overview(figures: Mapping[str, Any], proof: Mapping[str, Any], command: str) -> str:
    """Return all figures with their intervals."""
    found = proof["intervals"]["catalogue"]
    nine = figures.get("sub_category", {}).get("largest_nine")
    lines = [
        f"macro-F1 over types with at least 10 pictures: "
        f"{number_within(found['article_type']['macro_f1_10'])}",
        *_similarity_lines(found["similarity"]),
    ]
    if nine is not None:
        lines.append(f"sub_category on the nine largest sub-categories: {percent(nine)}")
    photos = [
        f"On {cell(dataset)} photographs, by coarse labels:\n\n{_overview_table(part)}"
        for dataset, part in proof["intervals"].items()
        if dataset != "catalogue" and set(PHOTO_PROMISES) & set(part)
    ]
    groups = ", ".join(
        f"{part['groups']:,} of {(figures if s == 'catalogue' else figures[s])['n_test']:,} "
        f"pictures ({cell(s)})"
        for s, part in proof["intervals"].items()
    )
    return chapter(
        "Figures",
        _overview_table(found),
        bullets(lines),
        *photos,
        f"In brackets: 95 % intervals of {DRAWS:,} bootstrap draws of groups, where the data know "
        f"which pictures belong together (copies, near-duplicates): {groups}. Drawing adds noise, "
        "so those of ECE lie too high; and where no mistake was seen none is drawn, so of what is "
        "published the upper bounds below say more.",
        again(command, "proof.intervals", "sub_category.largest_nine" * (nine is not None)),
    )


def _overview_table(found: Mapping[str, Any]) -> str:
    rows = [_overview_row(a, found[a]) for a in ATTRIBUTES if a in found]
    return table(["", "first guess right", "published", "of those right", "ECE"], rows)


def _overview_row(attribute: str, found: Mapping[str, Any]) -> list[str]:
    shares = [percent_within(found[key]) for key in ("top1", "accepted", "accepted_precision")]
    return [attribute, *shares, number_within(found["ece"])]


def _similarity_lines(found: Mapping[str, Any]) -> list[str]:
    titles = {"p10_type": "same type", "p10_type_and_colour": "same type and colour"}
    return [
        f"similarity P@10, {titles[name]}: {number_within(interval)}"
        for name, interval in found.items()
        if interval is not None
    ]


def published(
    card: Card, figures: Mapping[str, Any], proof: Mapping[str, Any], command: str
) -> str:
    """Return what is promised of each tag, from which confidence on, and what the test says."""
    rows = []
    for dataset in proof["intervals"]:
        part = figures if dataset == "catalogue" else figures[dataset]
        rows += [_published_row(card, dataset, a, part[a]) for a in ATTRIBUTES if a in part]
    header = ["", "confidence from", "published", "wrong", "at most (95 %)", "promise, on test"]
    return chapter(
        PUBLISHED,
        table(header, rows),
        "Thresholds were chosen on the split `select` and certified on `certify`; these figures "
        "are of `test`. A picture is judged by the thresholds of the domain that it is taken "
        "for; the column names those of its own. With a published type its categories are "
        "published too.",
        again(command, *(a for a in ATTRIBUTES if a in figures), *list(proof["intervals"])[1:]),
    )


def _published_row(card: Card, dataset: str, attribute: str, found: Mapping[str, Any]) -> list[str]:
    threshold = card.thresholds_for(domain_of(dataset)).get(attribute, NEVER)
    return [
        f"{cell(dataset)}, {attribute}",
        "never" if threshold > 1 else number(threshold),
        f"{found['n_accepted']:,} of {found['n']:,}",
        f"{found['n_wrong']:,}",
        percent(found["wrong_upper_95"] if found["n_accepted"] else None, 2),
        verdict(promise_of(card, dataset, attribute), found),
    ]


def risk_coverage(proof: Mapping[str, Any], command: str, plots: str) -> str:
    """Return the plot of mistakes over the share that is tagged alone."""
    rows = []
    for dataset, found in proof["risk_coverage"].items():
        at = {round(100 * coverage): risk for coverage, risk in found["curve"]}
        rows.append([cell(dataset), *(percent(at.get(share)) for share in (50, 70, 80, 90, 100))])
    header = ["wrong among the surest", "50 %", "70 %", "80 %", "90 %", "all"]
    return chapter(
        "Fewer mistakes or fewer decisions",
        f"![Share wrong over share tagged alone]({plots}/risk_coverage.png)",
        table(header, rows),
        "The dots are the thresholds chosen. They may lie beside their curve: a picture that does "
        "not look like fashion is never tagged alone, and a product that is taken for a "
        "photograph is judged as one.",
        again(command, "proof.risk_coverage"),
    )


def resembling(card: Card, proof: Mapping[str, Any], command: str) -> str:
    """Return how much of the accuracy is memory: figures with and without near-duplicates."""
    said = {
        "with": "that have a near-duplicate in training",
        "without": "without any, as in a split by groups",
    }
    rows = [
        [
            said[name],
            f"{found['n']:,}",
            percent(found["top1"], 2),
            f"{found['n_accepted']:,}",
            percent(found["accepted_precision"], 2),
        ]
        for name, found in proof["resembling"].items()
    ]
    header = ["test pictures", "", "article_type right", "published", "of those right"]
    return chapter(
        "Is it memory?",
        table(header, rows),
        f"This version's split is `{card.raw['data'].get('split', 'random')}`, on which it is "
        "measured. `hangtag train --split grouped` keeps near-duplicates on one side, and "
        "`--split by_year` tests on the newest years.",
        again(command, "proof.resembling"),
    )


def backoff(proof: Mapping[str, Any], command: str) -> str:
    """Return what becomes of the sub-category where the type goes to review."""
    if not proof["backoff"]:
        return ""
    rows = [
        [
            cell(dataset),
            f"{found['n_review']:,}",
            f"{found['n_published']:,} ({percent(found['published'])})",
            percent(found["precision"]),
            percent(found["wrong_upper_95"] if found["n_published"] else None),
        ]
        for dataset, found in proof["backoff"].items()
    ]
    header = ["", "type to review", "sub_category published", "right", "wrong at most (95 %)"]
    return chapter(
        "Back-off: unsure of the type, sure of the sub-category",
        table(header, rows),
        again(command, "proof.backoff"),
    )


def confidence(command: str, plots: str) -> str:
    """Return the reliability plot."""
    return chapter(
        "Does the confidence mean what it says?",
        f"![Share right over confidence, each attribute]({plots}/reliability.png)",
        "On the dotted line, of tags at 0.9 nine in ten are right. ECE is the mean distance to it.",
        again(command, "proof.reliability", "proof.intervals"),
    )


def types(proof: Mapping[str, Any], command: str) -> str:
    """Return precision, recall and F1 of each type."""
    rows = [
        [
            cell(row["type"]),
            f"{row['n_test']:,}",
            number(row["precision"]),
            number(row["recall"]),
            number(row["f1"]),
        ]
        for row in proof["types"]
    ]
    without = proof["types_without_test"]
    return chapter(
        "Each article type",
        table(["type", "test pictures", "precision", "recall", "F1"], rows),
        f"Without test pictures: {names(without)}." if without else "",
        f"Precision {NOTHING}: the type was never given.",
        again(command, "proof.types", "proof.types_without_test"),
    )


def confusions(proof: Mapping[str, Any], command: str, plots: str) -> str:
    """Return what is taken for what."""
    rows = [
        [cell(row["true"]), cell(row["given"]), f"{row['n']:,}", percent(row["share_of_true"])]
        for row in proof["confusions"]
    ]
    header = ["true type", "taken for", "pictures", "of the true type"]
    return chapter(
        "What is taken for what",
        f"![Confusion matrix of the most frequent types]({plots}/confusion.png)",
        table(header, rows) if rows else "Nothing was taken for anything else.",
        again(command, "proof.confusions", "proof.confusion_matrix"),
    )


def similarity(figures: Mapping[str, Any], proof: Mapping[str, Any], command: str) -> str:
    """Return the embedding's prefixes, and three distances on the same vectors."""
    found = {int(d): hits for d, hits in figures["similarity"].items()}
    whole = found[max(found)]["p10_type"]
    prefixes = [
        [
            f"first {dimensions}" if dimensions < max(found) else f"all {dimensions}",
            number(hits["p10_type"]),
            number(hits["p10_type_and_colour"]),
            f"{100 * (hits['p10_type'] - whole):+.1f} points" if dimensions < max(found) else "",
        ]
        for dimensions, hits in sorted(found.items())
    ]
    distances = [
        [name, number(hits["p10_type"]), number(hits["p10_type_and_colour"])]
        for name, hits in proof["distances"].items()
    ]
    header = ["P@10", "same type", "same type and colour"]
    return chapter(
        "Similar pictures",
        "Of the ten nearest training pictures of a test picture, the share that is alike.",
        table([*header, "against all, type"], prefixes),
        table(header, distances),
        "Vectors have unit length, so cosine and Euclidean distance put neighbours in the same "
        "order. Jaccard compares which dimensions are positive.",
        again(command, "similarity", "proof.distances"),
    )


def non_fashion(figures: Mapping[str, Any], command: str) -> str:
    """Return how well other things are told from fashion."""
    if "non_fashion" not in figures:
        return ""
    found = figures["non_fashion"]
    rows = [
        ["AUROC of `fashion_score`", number(found["auroc"])],
        ["other things that are sent to a person as no fashion", percent(found["others_found"])],
        ["fashion that is kept", percent(found["fashion_kept"])],
    ]
    return chapter("What is no fashion", table(["", ""], rows), again(command, "non_fashion"))


def sheets(command: str) -> str:
    """Say how to see pictures, which the page must not carry."""
    return chapter(
        "See for yourself",
        "The data's pictures are not ours to publish. Queries with their ten nearest, and the "
        "most confident mistakes with true and given label, are drawn as sheets by",
        f"```sh\n{command} --sheets FOLDER\n```",
    )
