"""Backbones by name: names, pooled features, normalisation, and files of weights.

Shapes of large networks are worked out on torch's `meta` device, which computes nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from errors import UsageError
from models.network import IN_WHEELS, pretrained_backbone
from models.training import backbones
from models.training.backbone_names import resolve
from models.training.backbones import Backbone, build_backbone, installed

#: Networks of a few hundred thousand weights, with a timm classifier of 1,000 classes.
TINY, OTHER_TINY = "test_resnet", "test_efficientnet"
TINY_TORCHVISION = "torchvision/squeezenet1_1"


def images(height: int = 64, width: int = 48, count: int = 2) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def one_line(error: pytest.ExceptionInfo[UsageError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


# Names


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("VGG-16", ["timm/vgg16", "torchvision/vgg16"]),
        ("ResNet-50", ["timm/resnet50", "torchvision/resnet50"]),
        ("Xception", ["timm/legacy_xception"]),
        ("MobileNet", ["timm/mobilenetv1_100"]),
        ("MobileNetV2", ["torchvision/mobilenet_v2"]),
        ("efficientnet_v2_s", ["torchvision/efficientnet_v2_s", "timm/efficientnetv2_s"]),
        ("torchvision/vgg16", ["torchvision/vgg16"]),
        ("resnet50.a1_in1k", ["timm/resnet50.a1_in1k"]),
    ],
)
def test_a_network_is_found_by_what_people_call_it(name: str, found: list[str]) -> None:
    assert resolve(name) == found


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("restnet50", "did you mean resnet50"),
        ("vgg-61", "vgg16"),
        ("torchvision/xception", "no such network"),
        ("resnet50.a9_in1k", "of resnet50 it has a1_in1k"),
        ("qqqqqqqq", "timm and torchvision have no such network"),
    ],
)
def test_an_unknown_name_is_reported_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        build_backbone(name)
    message = one_line(error)
    assert message.startswith(f"--backbone {name}: ")
    assert hint in message


# Features


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("vgg16", 512),
        ("resnet50", 2048),
        ("Xception", 2048),
        ("mobilenet", 1024),
        ("mobilenetv3_large_100", 1280),
        ("densenet121", 1024),
        ("convnext_atto", 320),
        ("vit_tiny_patch16_224", 192),
        ("torchvision/vgg16", 512),
        ("torchvision/alexnet", 256),
        ("torchvision/squeezenet1_1", 512),
        ("torchvision/resnet50", 2048),
        ("torchvision/mobilenet_v2", 1280),
        ("torchvision/mobilenet_v3_large", 1280),
        ("torchvision/efficientnet_b0", 1280),
        ("torchvision/googlenet", 1024),
        ("torchvision/vit_b_16", 768),
    ],
)
def test_images_of_any_size_become_pooled_features(name: str, features: int) -> None:
    with torch.device("meta"):
        backbone, width, note = build_backbone(name)
        pooled = backbone.train()(torch.empty(2, 3, 96, 72))
    assert pooled.shape == (2, width) == (2, features)
    assert backbone.num_features == features
    assert "starts from scratch" in note and "\n" not in note


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_of_vgg_the_convolutions_alone_are_kept(library: str) -> None:
    """14.7 million weights of 138: the large layers are made for 7×7 maps."""
    with torch.device("meta"):
        backbone, _, _ = build_backbone(f"{library}/vgg16")
    assert sum(p.numel() for p in backbone.parameters()) == 14_714_688


def test_the_name_that_is_kept_builds_the_same_network_again() -> None:
    backbone, _, _ = build_backbone("TEST-ResNet")
    again, _, _ = build_backbone(backbone.name)
    again.load_state_dict(backbone.state_dict())
    with torch.no_grad():
        assert torch.equal(backbone.eval()(images()), again.eval()(images()))


class Seen(nn.Module):
    """Stands for a network; hands on what reaches it."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs


def test_images_reach_the_network_as_its_weights_expect_them() -> None:
    mean, std = (0.2, 0.4, 0.6), (0.1, 0.2, 0.5)
    seen = Backbone(Seen(), "seen", 3, (mean, std))(images())
    for channel in range(3):
        wanted = ((images()[:, channel] + 1) / 2 - mean[channel]) / std[channel]
        assert torch.allclose(seen[:, channel], wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("test_resnet", 0.5, 0.5),
        ("test_vit", 0.5, 0.5),
        ("mobilenetv3_small_050", 0.485, 0.229),
        ("torchvision/squeezenet1_1", 0.485, 0.229),
        ("tf_efficientnet_lite0", 0.5, 0.5),
    ],
)
def test_each_network_has_its_own_normalisation(name: str, mean: float, std: float) -> None:
    backbone, _, _ = build_backbone(name)
    backbone.body, backbone.size = Seen(), None
    red = backbone(torch.tensor([2 * mean - 1, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1))[:, 0]
    assert red.flatten().tolist() == pytest.approx([0, (1 - mean) / std], abs=1e-5)


def published_normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Read a network's normalisation as it is published."""
    library, _, own = resolve(name)[0].partition("/")
    if library == "torchvision":
        preset = torchvision.models.get_model_weights(own).DEFAULT.transforms()
        return tuple(preset.mean), tuple(preset.std)
    cfg = timm.get_pretrained_cfg(own)
    return cfg.mean, cfg.std


def test_a_network_of_one_size_gets_pictures_of_that_size() -> None:
    backbone, features, _ = build_backbone("test_vit")
    assert backbone.size == timm.get_pretrained_cfg("test_vit").input_size[1:]
    seen = Backbone(Seen(), "seen", 3, size=(20, 10))(images())
    assert seen.shape == (2, 3, 20, 10)
    with torch.no_grad():
        assert backbone(images()).shape == (2, features)


def test_a_size_that_a_network_cannot_take_is_reported() -> None:
    backbone, _, _ = build_backbone(TINY_TORCHVISION)
    backbone.train()
    backbone.check_size(64, 48)
    assert backbone.training
    with pytest.raises(UsageError, match="cannot take pictures of 8×6") as error:
        backbone.check_size(8, 6)
    assert "name a larger size" in one_line(error)


# Weights


def same_features(backbone: Backbone, body: nn.Module) -> bool:
    """Tell whether a backbone has a network's weights, by what both make of pictures."""
    own = Backbone(body, "", 0, published_normalisation(backbone.name))
    with torch.no_grad():
        return torch.allclose(backbone.eval()(images()), own.eval()(images()), atol=1e-5)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("classes", [1000, 7, 0])
def test_weights_of_timm_are_loaded_from_a_file(tmp_path: Path, suffix: str, classes: int) -> None:
    """With ImageNet's classifier, with another, or without one."""
    path = tmp_path / f"weights.{suffix}"
    original = timm.create_model(TINY, num_classes=classes)
    if suffix == "pth":
        torch.save({"state_dict": original.state_dict()}, path)
    else:
        save_file(original.state_dict(), path)
    backbone, features, note = build_backbone(TINY, path)
    original.reset_classifier(0)
    assert same_features(backbone, original)
    assert features == backbone.num_features
    assert note == f"timm/{TINY}: weights from {path}"


@pytest.mark.parametrize("classes", [1000, 7])
def test_weights_of_torchvision_are_loaded_from_a_file(tmp_path: Path, classes: int) -> None:
    path = tmp_path / "weights.pth"
    original = torchvision.models.squeezenet1_1(num_classes=classes)
    torch.save(original.state_dict(), path)
    backbone, features, _ = build_backbone("SqueezeNet1_1", path)
    original.classifier = nn.AdaptiveAvgPool2d(1)
    assert features == 512
    assert same_features(backbone, original)


def test_where_both_libraries_have_a_network_a_file_of_either_fits(tmp_path: Path) -> None:
    """They name the layers of EfficientNet-B0 differently."""
    path = tmp_path / "weights.pth"
    original = torchvision.models.efficientnet_b0(num_classes=5)
    torch.save(original.state_dict(), path)
    backbone, _, _ = build_backbone("EfficientNet-B0", path)
    assert backbone.name == "torchvision/efficientnet_b0"
    original.classifier = nn.Identity()
    assert same_features(backbone, original)
    torch.save(timm.create_model("efficientnet_b0", num_classes=5).state_dict(), path)
    assert build_backbone("EfficientNet-B0", path)[0].name == "timm/efficientnet_b0"


def test_weights_of_the_other_library_that_timm_can_convert_are_converted() -> None:
    with torch.device("meta"):
        state = torchvision.models.vgg11().state_dict()
        assert "classifier.6.weight" in state
        assert backbones._build("timm/vgg11", state, False).num_features == 512
        del state["classifier.6.weight"], state["features.0.bias"]
        with pytest.raises(RuntimeError):
            backbones._build("timm/vgg11", state, False)


@pytest.mark.parametrize("content", ["other", "part", "more", "text", "empty", "list"])
def test_weights_that_do_not_fit_are_reported_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "weights.pth"
    fitting = timm.create_model(TINY).state_dict()
    if content == "text":
        path.write_text("these are no weights")
    else:
        torch.save(
            {
                "other": timm.create_model(OTHER_TINY).state_dict(),
                "part": dict(list(fitting.items())[:-6]),
                "more": {**fitting, "layer9.0.conv1.weight": torch.zeros(3)},
                "empty": {},
                "list": [1, 2],
            }[content],
            path,
        )
    with pytest.raises(UsageError) as error:
        build_backbone(TINY, path)
    assert one_line(error).startswith(str(path))


def test_a_file_of_weights_executes_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (mark,)  # type: ignore[return-value] # any callable will do

    torch.save({"weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UsageError, match="cannot be read"):
        build_backbone(TINY, tmp_path / "evil.pth")
    assert not mark.exists()


def test_missing_files_and_two_sources_at_once_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        build_backbone(TINY, tmp_path / "nothing.pth")
    with pytest.raises(UsageError, match="exclude each other"):
        build_backbone(TINY, tmp_path / "nothing.pth", download=True)


def test_the_usual_weights_are_those_of_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lie in torch's cache, where the download would leave them."""
    original = torchvision.models.squeezenet1_1()
    name = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[2]
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(original.state_dict(), tmp_path / "hub" / "checkpoints" / name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    backbone, _, note = build_backbone(TINY_TORCHVISION, download=True)
    original.classifier = nn.AdaptiveAvgPool2d(1)
    assert same_features(backbone, original)
    assert note == f"{TINY_TORCHVISION}: its usual weights, downloaded"


@pytest.mark.parametrize("name", [f"timm/{TINY}", TINY_TORCHVISION])
def test_a_download_that_fails_is_reported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockets are blocked in these tests."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="could not be downloaded") as error:
        build_backbone(name, download=True)
    assert "--backbone-weights" in one_line(error)


@pytest.mark.parametrize("name", sorted(IN_WHEELS))
def test_the_weights_that_are_installed_are_used_without_being_asked_for(name: str) -> None:
    backbone, features, note = build_backbone(name)
    assert features == 1280
    assert "installed" in note
    with torch.no_grad():
        wanted = pretrained_backbone(name).eval()(images())
        assert torch.allclose(backbone.eval()(images()), wanted, atol=1e-5)
    assert backbone.name == f"timm/{name}"


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("tf_efficientnet_lite2", "tf_efficientnet_lite2"),
        ("timm/TF-EfficientNet-Lite0", "tf_efficientnet_lite0"),
        ("resnet50", None),
        ("torchvision/resnet50", None),
    ],
)
def test_it_is_known_whose_weights_are_installed(name: str, own: str | None) -> None:
    assert installed(name) == own
