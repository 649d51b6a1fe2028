"""Changes to training pictures, and backgrounds behind products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.training.augment import CATALOGUE, PHOTO, Strength, augment, product_masks, put_behind
from models.transforms import Pixels
from tests.unit.tiny import HEIGHT, WIDTH, sample

NOTHING = Strength().scaled(0)
ON_WHITE = ("handbag_tan_tote.jpg", "tshirt_red_striped.jpg", "jeans_blue.jpg", "polo_green.jpg")
#: Drawn as a phone would show them.
IN_A_SCENE = ("backpack_olive.jpg", "shirt_red_flannel.jpg", "watch_black_gold.jpg", "cat.jpg")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def only(**strength: float) -> Strength:
    return Strength(**{**vars(NOTHING), **strength})


def samples(*names: str) -> Pixels:
    return np.stack([np.asarray(sample(name, (WIDTH, HEIGHT))) for name in names])


def grey(value: int, count: int = 8) -> torch.Tensor:
    return torch.full((count, 32, 24, 3), value, dtype=torch.uint8)


@pytest.fixture(scope="module")
def batch() -> torch.Tensor:
    return torch.from_numpy(samples(*ON_WHITE, *IN_A_SCENE))


@pytest.mark.parametrize("size", [(64, 48), (32, 24), (50, 41)])
@pytest.mark.parametrize("white", [True, False])
def test_pictures_come_out_at_the_wanted_size_between_minus_one_and_one(
    batch: torch.Tensor, size: tuple[int, int], white: bool
) -> None:
    found = augment(batch, *size, seeded(), PHOTO.scaled(2), white=white)
    assert found.shape == (len(batch), 3, *size)
    assert found.dtype == torch.float32
    assert found.min() >= -1
    assert found.max() <= 1


def test_the_same_seed_gives_the_same_pictures(batch: torch.Tensor) -> None:
    first, again, other = (
        augment(batch, 64, 48, seeded(seed), CATALOGUE.scaled(2)) for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_pictures_that_are_given_stay_as_they_are(batch: torch.Tensor) -> None:
    before = batch.clone()
    augment(batch, 64, 48, seeded(), Strength(blur=1, jpeg=1, erase=1))
    assert torch.equal(batch, before)


@pytest.mark.parametrize("white", [True, False])
def test_at_strength_zero_a_picture_is_mirrored_at_most(batch: torch.Tensor, white: bool) -> None:
    found = augment(batch, 64, 48, seeded(), NOTHING, white=white)
    original = (batch.permute(0, 3, 1, 2).float() - 127.5) / 127.5
    same = (found - original).abs().amax(dim=(1, 2, 3)) < 1e-3
    mirrored = (found - original.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-3
    assert (same ^ mirrored).all()
    assert same.any()
    assert mirrored.any()


def test_scaling_a_strength_scales_all_of_it() -> None:
    assert set(vars(NOTHING).values()) == {0}
    assert PHOTO.scaled(0.5).turn == PHOTO.turn / 2
    assert PHOTO.scaled(0.5).erase == PHOTO.erase / 2
    assert PHOTO.scaled(1) == PHOTO


def test_what_a_shift_uncovers_is_white_for_the_catalogue_and_mirrored_for_photographs() -> None:
    far = only(shift=0.8)
    assert augment(grey(0), 32, 24, seeded(), far).max() == pytest.approx(1, abs=1e-4)
    inside = augment(grey(0), 32, 24, seeded(), far, white=False)
    assert inside.max() == pytest.approx(-1, abs=1e-4)


def test_light_keeps_white_near_white_and_changes_each_picture_its_own_way() -> None:
    found = augment(grey(100), 32, 24, seeded(), only(light=0.25, tint=0.08))
    spread = found.amax(dim=(2, 3)) - found.amin(dim=(2, 3))
    assert spread.max() < 1e-4  # a flat picture stays flat
    assert len({round(float(value), 3) for value in found[:, 0, 0, 0]}) == len(found)


def test_blur_takes_fine_detail_away() -> None:
    fine = torch.randint(0, 256, (4, 32, 24, 3), generator=seeded(), dtype=torch.uint8)
    sharp, soft = (augment(fine, 32, 24, seeded(), s) for s in (NOTHING, only(blur=1)))
    assert soft.std() < 0.6 * sharp.std()


def test_compression_changes_pictures_little(batch: torch.Tensor) -> None:
    plain, packed = (augment(batch, 64, 48, seeded(), s) for s in (NOTHING, only(jpeg=1)))
    gaps = (packed - plain).abs().mean(dim=(1, 2, 3))
    assert gaps.min() > 0
    assert gaps.max() < 0.2


def test_erasing_covers_one_box_of_one_colour() -> None:
    found = augment(grey(128), 32, 24, seeded(), only(erase=1))
    ground = (128 - 127.5) / 127.5
    for image in found:
        covered = ((image - ground).abs() > 1e-3).any(dim=0)
        rows, columns = covered.any(dim=1).nonzero()[:, 0], covered.any(dim=0).nonzero()[:, 0]
        box = covered[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert box.all()
        assert 0.01 < box.numel() / covered.numel() < 0.25
        inside = image[:, covered]
        assert torch.equal(inside.amin(dim=1), inside.amax(dim=1))


# Masks


def test_the_mask_of_a_product_on_white_covers_it_and_leaves_the_corners() -> None:
    for name, picture, mask in zip(
        ON_WHITE, samples(*ON_WHITE), product_masks(samples(*ON_WHITE)), strict=True
    ):
        corners = mask[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert not corners.any(), name
        assert mask[HEIGHT // 2, WIDTH // 2 - 8 : WIDTH // 2 + 8].sum() > 8, name
        coloured = picture.min(axis=2) < 150
        assert mask[coloured].mean() > 0.85, name  # but for a pixel along the edge
        assert (picture.min(axis=2)[~mask] >= 243).mean() > 0.75, name


def test_a_picture_without_a_white_edge_is_product_everywhere() -> None:
    assert product_masks(samples(*IN_A_SCENE)).all()


def ring() -> Pixels:
    """A dark frame on white with white inside."""
    picture = np.full((40, 40, 3), 255, dtype=np.uint8)
    picture[8:32, 8:32] = 30
    picture[14:26, 14:26] = 255
    return picture


def test_white_inside_a_product_belongs_to_it() -> None:
    (mask,) = product_masks(ring()[None])
    assert mask[20, 20]
    assert mask[9:31, 9:31].all()
    assert mask.sum() == 22 * 22  # a pixel less on each side: the seam that compression leaves


def test_next_to_nothing_on_white_is_left_alone() -> None:
    picture = np.full((1, 40, 40, 3), 255, dtype=np.uint8)
    picture[0, 18:23, 18:23] = 30
    assert product_masks(picture).all()


# Backgrounds


@pytest.fixture
def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures, of which the last two cannot be parted from their ground; masks; grounds."""
    pixels: NDArray[np.uint8] = np.concatenate([samples(*ON_WHITE), samples(*IN_A_SCENE[:2])])
    grounds = torch.stack([torch.full((HEIGHT, WIDTH, 3), v, dtype=torch.uint8) for v in (7, 77)])
    return torch.from_numpy(pixels), torch.from_numpy(product_masks(pixels)), grounds


def test_a_background_changes_the_pixels_behind_the_product_and_no_other(
    scene: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    pixels, masks, grounds = scene
    found, chosen = put_behind(pixels, masks, grounds, seeded(1), chance=1.0)
    assert chosen.tolist() == [True] * 4 + [False] * 2
    assert torch.equal(found[masks], pixels[masks])
    for row in range(4):
        assert len(set(found[row][~masks[row]].flatten().tolist()) & {7, 77}) == 1
        assert len(found[row][~masks[row]].unique()) == 1
    assert torch.equal(found[4:], pixels[4:])


def test_the_backgrounds_are_drawn_from_all(
    scene: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    pixels, masks, grounds = scene
    seen = set()
    for seed in range(6):
        found, _ = put_behind(pixels, masks, grounds, seeded(seed), chance=1.0)
        seen |= {int(found[row, 0, 0, 0]) for row in range(4)}
    assert seen == {7, 77}


@pytest.mark.parametrize(("chance", "grounds_there"), [(0.0, True), (1.0, False)])
def test_without_luck_or_backgrounds_pictures_stay_as_they_are(
    scene: tuple[torch.Tensor, torch.Tensor, torch.Tensor], chance: float, grounds_there: bool
) -> None:
    pixels, masks, grounds = scene
    before = pixels.clone()
    found, chosen = put_behind(
        pixels, masks, grounds if grounds_there else grounds[:0], seeded(), chance
    )
    assert torch.equal(found, before)
    assert not chosen.any()


def test_so_many_pictures_get_a_background_as_the_chance_says() -> None:
    pixels = torch.from_numpy(np.repeat(ring()[None], 400, axis=0))
    masks = torch.from_numpy(np.repeat(product_masks(ring()[None]), 400, axis=0))
    found, chosen = put_behind(pixels, masks, torch.zeros_like(pixels[:1]), seeded(), chance=0.25)
    assert float(chosen.float().mean()) == pytest.approx(0.25, abs=0.06)
    assert torch.equal((found != pixels).flatten(1).any(dim=1), chosen)
