"""The losses of training: what the network and its proxies are asked to get right.

Needs torch (the `train` extra).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.network import EMBEDDING_DIM, TagNetwork


class Proxies(nn.Module):
    """One learned unit vector a label: pulls embeddings of a label together.

    Normalised softmax (Zhai and Wu, 'Classification is a strong baseline for deep metric
    learning', 2019), temperature 0.05 as there.
    """

    temperature = 0.05

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(labels, EMBEDDING_DIM))

    def forward(self, embedding: Tensor, dimensions: int = EMBEDDING_DIM) -> Tensor:
        """Logits (N, labels) of the first dimensions of embeddings (N, 256)."""
        part = functional.normalize(embedding[:, :dimensions], dim=1)
        vectors = functional.normalize(self.vectors[:, :dimensions], dim=1)
        return part @ vectors.T / self.temperature


#: Prefixes of the embedding that must work on their own (Kusupati et al., 'Matryoshka
#: representation learning', 2022).
PREFIXES = (64, 128, EMBEDDING_DIM)


class Learner(nn.Module):
    """The network and the proxies that exist only while training."""

    def __init__(self, network: TagNetwork, sizes: Mapping[str, int], distill: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.distill = distill
        self.proxies = nn.ModuleDict(
            {a: Proxies(sizes[a]) for a in ("article_type", "base_colour") if a in sizes}
        )

    def forward(self, images: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy of each head and each set of proxies.

        `targets[attribute]` (N,) holds label numbers, -1 where none is known; `targets["right"]`
        (N, types) tells which article types count as right. Where there are `taught_{attribute}`
        (N, labels), a teacher's probabilities, they make up the share `distill` of the term of
        the rows that it was asked about.
        """
        outputs = self.network(images)
        terms = {a: _head_loss(a, outputs, targets) for a in outputs if a != "embedding"}
        for attribute in terms:
            if f"taught_{attribute}" in targets:
                terms[attribute] = terms[attribute] + self.distill * _lesson(
                    attribute, outputs, targets
                )
        parts = [proxies_loss(self.proxies, outputs["embedding"], targets, d) for d in PREFIXES]
        for name in parts[0]:
            terms[name] = torch.stack([part[name] for part in parts]).mean()
        return terms


def _head_loss(
    attribute: str,
    outputs: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    rows: Tensor | slice = slice(None),
) -> Tensor:
    """Mean loss of one head by the labels of some rows."""
    logits = outputs[attribute][rows]
    if attribute == "article_type":
        return set_loss(logits, targets["right"][rows])
    return known_cross_entropy(logits, targets[attribute][rows])


def _lesson(attribute: str, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Return what a mean loss gains where a teacher's probabilities replace labels.

    Rows that the teacher was not asked about, photographs, keep the weight of their labels.
    """
    taught = targets[f"taught_{attribute}"]
    asked = taught.sum(dim=1) > 0
    known = targets["right"].any(dim=1) if attribute == "article_type" else targets[attribute] >= 0
    share = asked.sum() / known.sum().clamp(min=1)
    by_teacher = taught_loss(outputs[attribute], taught)
    return share * (by_teacher - _head_loss(attribute, outputs, targets, asked))


def known_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of the rows whose label is known (not -1); 0 where none is."""
    total = functional.cross_entropy(logits, target, ignore_index=-1, reduction="sum")
    return total / (target >= 0).sum().clamp(min=1)


def set_loss(logits: Tensor, right: Tensor) -> Tensor:
    """Mean of -log of the summed probability of the labels that count as right.

    With one right label it is the cross-entropy; rows without any are left out.
    """
    log_p = functional.log_softmax(logits, dim=1).masked_fill(~right, -torch.inf)
    known = right.any(dim=1)
    return -torch.logsumexp(log_p[known], dim=1).sum() / known.sum().clamp(min=1)


def taught_loss(logits: Tensor, taught: Tensor) -> Tensor:
    """Mean cross-entropy (N, labels) to a teacher's probabilities; rows of zeros are left out."""
    asked = taught.sum(dim=1) > 0
    total = -(taught * functional.log_softmax(logits, dim=1)).sum()
    return total / asked.sum().clamp(min=1)


def proxies_loss(
    proxies: nn.ModuleDict, embedding: Tensor, targets: Mapping[str, Tensor], dimensions: int
) -> dict[str, Tensor]:
    """Loss of each set of proxies on the first dimensions of the embedding."""
    types = proxies["article_type"](embedding, dimensions)
    terms = {"proxy_article_type": set_loss(types, targets["right"])}
    if "base_colour" in proxies:
        colours = proxies["base_colour"](embedding, dimensions)
        terms["proxy_base_colour"] = known_cross_entropy(colours, targets["base_colour"])
    return terms
