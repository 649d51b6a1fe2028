"""Another promise for a version: thresholds chosen and certified anew, its weights untouched.

Needs the `train` extra.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from errors import UsageError
from models.backends import Backend, OpenVinoBackend
from models.card import Card
from models.coarse import coarse_domains
from models.data import Pictures
from models.predictor import calibrated, choose_labels, domains
from models.training.acceptance import fit_rules
from models.training.export import FITTED_ON, infer_all

Rules = dict[str, dict[str, dict[str, Any]]]


def check_promise(promise: float) -> None:
    """Raise UsageError where a promise is no share of right answers."""
    if not 0.5 <= promise < 1:
        raise UsageError(f"--promise {promise:g}: write a share from 0.5 to below 1, e.g. 0.99")


def with_promise(
    card: Card, pictures: Pictures, promise: float, backend: Backend | None = None
) -> Card:
    """Return a card whose thresholds keep another promise; no file is changed.

    `promise` is that of the article type and its categories for products on white; thresholds of
    the other tags and of photographs are chosen anew for their own promises. What these pictures
    have no labels for stays as it was.
    """
    check_promise(promise)
    backend = backend or OpenVinoBackend.of(card, threads=2)
    label_set = card.labels()
    outputs = {s: infer_all(backend, pictures, pictures.indices(s)) for s in FITTED_ON}
    coarse = coarse_domains(card.coarse, label_set)
    chosen = {
        s: choose_labels(
            calibrated(o, label_set, card.temperatures, coarse), label_set, domains(o), coarse
        )
        for s, o in outputs.items()
    }
    fitted = fit_rules(outputs, chosen, pictures, label_set, promise=promise)
    rules = _merged(card.raw["acceptance"], fitted)
    thresholds = {s: {a: r["threshold"] for a, r in found.items()} for s, found in rules.items()}
    return replace(card, thresholds=thresholds, raw={**card.raw, "acceptance": rules})


def _merged(old: Mapping[str, Any], new: Rules) -> Rules:
    """Return new rules, and the old ones for what no picture could certify."""
    rules: Rules = {domain: dict(found) for domain, found in old.items()}
    for domain, found in new.items():
        for attribute, rule in found.items():
            measured = all(sum(part["total"] for part in rule[s].values()) for s in FITTED_ON)
            if measured or attribute not in rules.get(domain, {}):
                rules.setdefault(domain, {})[attribute] = rule
    return rules


def changes(before: Card, after: Card) -> list[str]:
    """Say, a line each, which thresholds differ, what they promise, and what `certify` found."""
    lines = []
    for domain, rules in after.raw["acceptance"].items():
        for attribute, rule in rules.items():
            old = before.raw["acceptance"].get(domain, {}).get(attribute, {})
            if (old.get("threshold"), old.get("promise")) == (rule["threshold"], rule["promise"]):
                continue
            parts = rule["certify"].values()
            accepted, wrong = (sum(part[key] for part in parts) for key in ("accepted", "wrong"))
            lines.append(
                f"{domain} {attribute}: {_said(old)} → {_said(rule)}; "
                f"certify: {wrong} wrong of {accepted} published"
            )
    return lines


def _said(rule: Mapping[str, Any]) -> str:
    if not rule:
        return "no rule"
    threshold = rule["threshold"]
    level = "never published" if threshold > 1 else f"from {threshold:.3f}"
    return f"{level} for {100 * rule['promise']:g} % right"


def store_promise(card: Card, pictures: Pictures, figures: Mapping[str, Any]) -> None:
    """Write a card's thresholds into its file, with what they were certified on.

    The figures of the test split depend on them and are replaced too, where these are the data
    that the version was trained on. Workers that run have read the card already.
    """
    raw = {**card.raw, "certified_on": {"sha256": pictures.digest, "rows": len(pictures.ids)}}
    if pictures.digest == raw["data"]["sha256"]:
        raw["test"] = dict(figures)
    path = card.folder / "card.json"
    # In one step: a worker that starts now reads the old card or the new one.
    written = path.with_suffix(".json.new")
    written.write_text(json.dumps(raw, indent=1) + "\n")
    written.replace(path)
