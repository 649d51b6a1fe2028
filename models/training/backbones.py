"""Backbones by name: any classification network of timm or torchvision, without its classifier.

Needs torch, timm and torchvision (the `train` extra).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
import torchvision.models as torchvision_models  # type: ignore[import-untyped] # has no types
from timm.models.vgg import VGG
from torch import Tensor, nn
from torch.nn import functional

from errors import UsageError
from models.network import IN_WHEELS, pretrained_backbone
from models.training.backbone_names import resolve

#: Mean and standard deviation (of pixels in 0..1) that most ImageNet weights expect.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

State = dict[str, Tensor]


class Backbone(nn.Module):
    """A network without classifier: images (N, 3, H, W) in -1..1 → pooled features (N, F).

    The normalisation that its weights expect is done inside. `name` is the name to build it by
    again, `num_features` is F, `size` the only (height, width) that the network takes, which
    pictures are scaled to, or None where it takes any.
    """

    gain: Tensor
    offset: Tensor

    def __init__(
        self,
        body: nn.Module,
        name: str,
        num_features: int,
        normalisation: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.body = body
        self.name = name
        self.num_features = num_features
        self.size = size
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in normalisation)
        # ((x + 1) / 2 - mean) / std in one step; they follow from the name and are not saved.
        self.register_buffer("gain", 0.5 / std, persistent=False)
        self.register_buffer("offset", (0.5 - mean) / std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W), scaled to -1..1, to pooled features (N, F)."""
        if self.size and tuple(images.shape[2:]) != self.size:
            images = functional.interpolate(
                images, size=self.size, mode="bilinear", align_corners=False
            )
        pooled: Tensor = self.body(images * self.gain + self.offset)
        return pooled

    @torch.no_grad()
    def check_size(self, height: int, width: int) -> None:
        """Raise UsageError where the network cannot take pictures of height × width."""
        training = self.training
        example = torch.zeros(1, 3, height, width, device=self.gain.device)
        try:
            shape = tuple(self.eval()(example).shape)
        except RuntimeError as error:
            raise UsageError(
                f"{self.name} cannot take pictures of {height}×{width} ({_brief(error)}); "
                "name a larger size"
            ) from error
        finally:
            self.train(training)
        if shape != (1, self.num_features):
            raise UsageError(f"{self.name} has no pooled features, but answers {shape}")


def installed(name: str) -> str | None:
    """Return timm's name of a network whose weights are installed, None for any other.

    These (`models.network.IN_WHEELS`) can keep stages frozen, and training goes on from them.
    Raises UsageError for an unknown name.
    """
    library, _, own = resolve(name)[0].partition("/")
    return own if library == "timm" and own in IN_WHEELS else None


def build_backbone(
    name: str, weights: Path | None = None, download: bool = False
) -> tuple[Backbone, int, str]:
    """Build a network without its classifier; return it, its features F, and a note of one line.

    `name` is a network of timm, with or without the tag of its weights, or of torchvision;
    `timm/` or `torchvision/` before it chooses where both have it, timm comes first. `weights` is
    a file in either library's layout, safetensors or pickled tensors, with the classifier or
    (timm's alone) without. `download` fetches the library's usual weights. Without either the
    network starts from scratch, but for EfficientNet-Lite0 and -Lite2, whose weights are installed.
    Raises UsageError for an unknown name, weights that do not fit, and a failed download.
    """
    if weights is not None and download:
        raise UsageError("--backbone-weights and --download exclude each other; choose one")
    found = resolve(name)
    if weights is not None:
        backbone = _fitting(found, weights)
        note = f"{backbone.name}: weights from {weights}"
    elif download:
        backbone = _downloaded(found[0])
        note = f"{backbone.name}: its usual weights, downloaded"
    elif own := installed(name):
        backbone = _timm_backbone(pretrained_backbone(own), found[0])
        note = f"{backbone.name}: the ImageNet weights that are installed"
    else:
        backbone = _build(found[0], None, False)
        note = (
            f"{backbone.name}: no weights, so it starts from scratch; --backbone-weights FILE or "
            "--download would give it some"
        )
    return backbone, backbone.num_features, note


def _brief(error: BaseException) -> str:
    """Return the telling part of an error in one line; torch says what is wrong in its second."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    detail = " ".join((lines[1:] or lines or [type(error).__name__])[0].split())
    return detail if len(detail) <= 160 else detail[:159] + "…"


def _fitting(found: list[str], weights: Path) -> Backbone:
    """Build the first of some networks that a file of weights fits."""
    state = _read(weights)
    reasons = []
    for name in found:
        try:
            return _build(name, state, False)
        except Exception as error:  # a layout's own conversion may fail in any way
            reasons.append(_brief(error))
    raise UsageError(f"{weights}: these are no weights of {found[0]}: {reasons[0]}")


def _read(weights: Path) -> State:
    """Read a file of weights; nothing in it is executed. Raises UsageError."""
    if not weights.is_file():
        raise UsageError(f"{weights}: no such file; --backbone-weights wants one")
    try:
        state = timm.models.load_state_dict(str(weights), weights_only=True)
    except Exception as error:  # whatever a damaged file leads to
        raise UsageError(
            f"{weights}: cannot be read as safetensors or .pth ({_brief(error)})"
        ) from error
    if not isinstance(state, dict) or not any(isinstance(v, Tensor) for v in state.values()):
        raise UsageError(f"{weights}: holds no tensors by name")
    return state


def _downloaded(name: str) -> Backbone:
    try:
        return _build(name, None, True)
    except Exception as error:  # every library on the way has its own errors
        raise UsageError(
            f"the weights of {name} could not be downloaded ({_brief(error)}); "
            "give a file with --backbone-weights"
        ) from error


def _build(name: str, state: State | None, download: bool) -> Backbone:
    """Build one network, with the weights in `state`, its usual ones, or random ones."""
    library, _, own = name.partition("/")
    if library == "torchvision":
        return _torchvision(own, state, download)
    if state is not None:
        return _timm_backbone(_timm_with(own, state), name)
    body = timm.create_model(own, pretrained=download, **({} if download else {"num_classes": 0}))
    return _timm_backbone(body, name)


def _timm_with(name: str, state: State) -> nn.Module:
    """Build a network of timm with given weights, whatever number of classes they know."""
    layer = getattr(timm.get_pretrained_cfg(name), "classifier", None)
    head = state.get(f"{layer}.weight")
    if head is not None:
        return _timm_loaded(name, state, len(head))
    try:
        return _timm_loaded(name, state, None)  # the layout of another library, which timm knows
    except Exception:  # see _fitting
        return _timm_loaded(name, state, 0)  # no classifier


def _timm_loaded(name: str, state: State, classes: int | None) -> nn.Module:
    size = {} if classes is None else {"num_classes": classes}
    first = {} if classes is None else {"label_offset": 0}
    overlay = {"state_dict": dict(state), **size, **first}
    body: nn.Module = timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay=overlay, **size
    )
    return body


def _timm_backbone(body: Any, name: str) -> Backbone:
    """Take the classifier off a network of timm."""
    cfg = {k: v for k, v in body.pretrained_cfg.items() if k != "state_dict"}
    body.pretrained_cfg = body.default_cfg = cfg
    body.reset_classifier(0)
    features = getattr(body, "head_hidden_size", None) or body.num_features
    if isinstance(body, VGG):
        # Its two large layers are made for 7×7 maps, of pictures of 224×224, and hold nine
        # tenths of its weights: the maps before them are averaged instead.
        body.pre_logits = nn.Identity()
        features = body.num_features
    size = tuple(cfg["input_size"][1:]) if cfg.get("fixed_input_size") else None
    return Backbone(body, name, features, (cfg["mean"], cfg["std"]), size)


def _torchvision(name: str, state: State | None, download: bool) -> Backbone:
    """Build a network of torchvision and take its classifier off."""
    # The two Inceptions warn unless they are told how to begin.
    begin = {"init_weights": True} if name in ("googlenet", "inception_v3") and not download else {}
    whole = torchvision_models.get_model(name, weights="DEFAULT" if download else None, **begin)
    layer = _classifier(whole)
    if state is not None:
        count = len(state.get(f"{layer}.weight", ()))
        if count:
            whole = torchvision_models.get_model(name, num_classes=count, **begin)
        whole.load_state_dict(state)
    features = _take_off(whole, layer)
    for attribute, value in (
        ("aux_logits", False),
        ("AuxLogits", None),
        ("aux1", None),
        ("aux2", None),
    ):
        if hasattr(whole, attribute):
            setattr(whole, attribute, value)
    if hasattr(whole, "transform_input"):
        whole.transform_input = True  # as their published weights were trained
    preset = torchvision_models.get_model_weights(name).DEFAULT.transforms()
    side = getattr(whole, "image_size", 224 if name.startswith("maxvit") else None)
    size = (side, side) if side else None
    normalisation = (tuple(preset.mean), tuple(preset.std))
    return Backbone(whole, f"torchvision/{name}", features, normalisation, size)


def _classifier(network: nn.Module) -> str:
    """Return the name of the layer that answers ImageNet's 1,000 classes: the last one."""
    found = ""
    for name, layer in network.named_modules():
        if 1000 in (getattr(layer, "out_features", 0), getattr(layer, "out_channels", 0)):
            found = name
    return found


def _take_off(network: nn.Module, layer: str) -> int:
    """Take the classifier off a network of torchvision; return the number of features left."""
    final: Any = network.get_submodule(layer)
    if isinstance(final, nn.Conv2d):  # SqueezeNet
        network.classifier = nn.AdaptiveAvgPool2d(1)
        return int(final.in_channels)
    if layer == "classifier.6":  # VGG and AlexNet: as timm's VGG above
        network.avgpool, network.classifier = nn.AdaptiveAvgPool2d(1), nn.Identity()
        return [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)][-1]
    parent = network.get_submodule(layer.rpartition(".")[0])
    setattr(parent, layer.rpartition(".")[2], nn.Identity())
    for child in parent.children():
        if isinstance(child, nn.Dropout):
            child.p = 0.0  # the heads have their own
    return int(final.in_features)
