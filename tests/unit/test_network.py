"""The network: frozen stages, what it is built from, its served form."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from errors import UsageError
from models.labels import DOMAINS, HEAD_ATTRIBUTES, LabelSet
from models.network import (
    BACKBONE,
    IN_WHEELS,
    FashionLook,
    ServingNetwork,
    TagNetwork,
    head_sizes,
    load_network,
    network_spec,
    pretrained_network,
    saved_state,
    to_images,
)

SIZES = {"article_type": 3, "source": 2}
FROZEN = ("backbone.conv_stem.", "backbone.bn1.", "backbone.blocks.0.", "backbone.blocks.1.")


def random_images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 3, 32, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_a_step_changes_all_but_the_frozen_stages_also_after_training_was_switched_on() -> None:
    network = TagNetwork(SIZES, frozen=2).eval().train()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    outputs = network(random_images())
    (outputs["article_type"].square().sum() + outputs["embedding"][:, 0].sum()).backward()
    optimizer.step()
    after = network.state_dict()
    statistics = {name for name in before if name.endswith("running_mean")}
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert not [name for name in changed if name.startswith(FROZEN)]
    assert {name for name in statistics if not name.startswith(FROZEN)} <= changed
    assert {"backbone.blocks.2.0.conv_pw.weight", "heads.article_type.weight"} <= changed


def test_switching_to_training_leaves_the_frozen_modules_as_they_serve() -> None:
    network = TagNetwork(SIZES, frozen=2, drop_path=0.2)
    network.train()
    training = {
        f"{name}.": module.training
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    }
    assert all(on is not name.startswith(FROZEN) for name, on in training.items())
    assert {True, False} == set(training.values())
    network.eval()
    assert not any(module.training for module in network.modules())


def test_a_network_without_frozen_stages_trains_all_of_them() -> None:
    network = TagNetwork(SIZES).train()
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("frozen", [1, 3, 7])
def test_frozen_stages_compute_what_unfrozen_ones_do(frozen: int) -> None:
    """The way in two parts gives what the whole backbone gives."""
    torch.manual_seed(0)
    plain = TagNetwork(SIZES).eval()
    parts = TagNetwork(SIZES, frozen=frozen).eval()
    parts.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        whole, split = plain(random_images()), parts(random_images())
    assert whole.keys() == split.keys()
    assert all(torch.allclose(whole[name], split[name], atol=1e-5) for name in whole)


def test_heads_are_the_attributes_that_have_labels_and_the_source() -> None:
    rows = {a: ["", ""] for a in ("sub_category", "master_category", *HEAD_ATTRIBUTES)}
    alone = LabelSet.from_rows({**rows, "article_type": ["Shirts", "Heels"]})
    assert head_sizes(alone) == {"article_type": 2, "domain": len(DOMAINS)}
    coloured = LabelSet.from_rows(
        {**rows, "article_type": ["Shirts", "Heels"], "base_colour": ["Red", ""]}
    )
    assert head_sizes(coloured) == {"article_type": 2, "base_colour": 1, "domain": len(DOMAINS)}


def test_pixels_become_images_between_minus_one_and_one() -> None:
    pixels = torch.tensor([0, 255, 51], dtype=torch.uint8).reshape(1, 1, 1, 3)
    images = to_images(pixels)
    assert images.shape == (1, 3, 1, 1)
    assert torch.allclose(images.flatten(), torch.tensor([-1.0, 1.0, -0.6]))


# The fashion look


def test_the_similarity_is_the_cosine_to_the_nearest_centre() -> None:
    look = FashionLook(pretrained_network(3), dimensions=1280, centres=2)
    look.project.weight.copy_(torch.eye(1280))
    maps = pretrained_network(3).early(random_images(2))
    with torch.inference_mode():
        features = look.features(maps)
        assert torch.allclose(features.norm(dim=1), torch.ones(2), atol=1e-5)
        look.centres.copy_(torch.stack([features[0], -features[1]]))
        found = look(maps)
    assert float(found[0]) == pytest.approx(1, abs=1e-5)
    assert float(found[1]) == pytest.approx(float(features[0] @ features[1]), abs=1e-5)


def test_the_fashion_look_learns_nothing_in_training() -> None:
    look = FashionLook(pretrained_network(3), dimensions=8, centres=4)
    assert not any(parameter.requires_grad for parameter in look.parameters())


# What a version keeps


def test_a_version_is_built_again_as_its_card_describes_it(exported: Path) -> None:
    card = json.loads((exported / "card.json").read_text())
    network = load_network(exported)
    assert network_spec(network) == card["network"]
    assert network.names == (*card["network"]["heads"], "embedding", "fashion_similarity")
    assert card["network"]["frozen"] == network.network.frozen == 3
    assert not any(module.training for module in network.modules())


def test_a_version_does_not_keep_what_the_wheel_has(exported: Path) -> None:
    """The look's later stages are ImageNet's, and are there when the version is loaded."""
    saved = load_file(exported / "network.safetensors")
    loaded = load_network(exported)
    left_out = loaded.state_dict().keys() - saved.keys()
    assert left_out
    assert all(name.startswith("fashion.late.") for name in left_out)
    assert loaded.fashion is not None
    name = "backbone.conv_head.weight"
    wheel = pretrained_network(3).state_dict()[name]
    assert torch.equal(loaded.fashion.late.state_dict()[name], wheel)


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_weights_that_do_not_fit_the_card_are_refused(
    exported: Path, tmp_path: Path, change: str
) -> None:
    shutil.copy(exported / "card.json", tmp_path / "card.json")
    state = load_file(exported / "network.safetensors")
    if change == "missing":
        del state["network.embed.bias"]
    else:
        state["network.heads.fabric.bias"] = torch.zeros(3)
    save_file(state, tmp_path / "network.safetensors")
    with pytest.raises(UsageError, match="its weights do not fit its card"):
        load_network(tmp_path)


def test_a_network_without_a_look_is_served_without_a_similarity() -> None:
    serving = ServingNetwork(TagNetwork(SIZES)).eval()
    assert serving.names == ("article_type", "source", "embedding")
    assert network_spec(serving) == {"heads": SIZES, "frozen": 0, "fashion": None}
    pixels = torch.from_numpy(np.zeros((2, 32, 24, 3), dtype=np.uint8))
    with torch.inference_mode():
        outputs = serving(pixels)
    assert [tuple(value.shape) for value in outputs] == [(2, 3), (2, 2), (2, 256)]


@pytest.mark.parametrize("name", sorted(IN_WHEELS))
def test_a_backbone_of_a_wheel_is_built_again_by_its_name(name: str, tmp_path: Path) -> None:
    """Its frozen stages, and the look's later ones, are those of the wheel."""
    network = pretrained_network(3, name)
    serving = ServingNetwork(
        TagNetwork(SIZES, name, frozen=3), FashionLook(network, dimensions=8, centres=4)
    ).eval()
    serving.network.backbone.load_state_dict(network.backbone.state_dict())
    spec = network_spec(serving)
    assert spec.get("backbone", BACKBONE) == name
    save_file(saved_state(serving), tmp_path / "network.safetensors")
    (tmp_path / "card.json").write_text(json.dumps({"network": spec}))
    again = load_network(tmp_path)
    pixels = torch.randint(0, 256, (2, 64, 48, 3), dtype=torch.uint8)
    with torch.inference_mode():
        for one, other in zip(serving(pixels), again(pixels), strict=True):
            assert torch.allclose(one, other, atol=1e-5)
