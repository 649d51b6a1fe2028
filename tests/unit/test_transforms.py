"""Letterboxing and the network's input."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from models.transforms import letterbox, to_pixels

GREEN = (10, 120, 60)
WHITE = [255, 255, 255]


def bounds(picture: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is not white."""
    rows, columns = np.nonzero((np.asarray(picture) != 255).any(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((600, 200), (0, 36, 72, 60)),  # wide: bars above and below
        ((200, 800), (24, 0, 48, 96)),  # high: bars left and right
        ((36, 24), (0, 24, 72, 72)),  # smaller than the target: enlarged
    ],
)
def test_a_picture_is_fitted_and_centred_on_white(
    size: tuple[int, int], expected: tuple[int, int, int, int]
) -> None:
    fitted = letterbox(Image.new("RGB", size, GREEN), 96, 72)
    assert fitted.size == (72, 96)
    assert bounds(fitted) == expected
    assert np.asarray(fitted)[expected[1] : expected[3], expected[0] : expected[2]].reshape(
        -1, 3
    ).tolist() == [list(GREEN)] * ((expected[2] - expected[0]) * (expected[3] - expected[1]))


def test_an_odd_bar_is_at_most_one_pixel_off_the_centre() -> None:
    left, top, right, bottom = bounds(letterbox(Image.new("RGB", (100, 33), GREEN), 96, 72))
    assert (left, right) == (0, 72)
    assert abs(top - (96 - bottom)) <= 1


def test_a_circle_stays_a_circle() -> None:
    picture = Image.new("RGB", (900, 300), (255, 255, 255))
    ImageDraw.Draw(picture).ellipse((300, 0, 599, 299), fill=(0, 0, 0))
    dark = np.asarray(letterbox(picture, 96, 72).convert("L")) < 128
    width, height = dark.any(axis=0).sum(), dark.any(axis=1).sum()
    assert abs(int(width) - int(height)) <= 1
    assert width == pytest.approx(24, abs=1)


def test_a_picture_of_the_exact_size_passes_unchanged() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 72, 3), dtype=np.uint8)
    assert np.array_equal(to_pixels(Image.fromarray(noise), 96, 72), noise)


def test_a_picture_of_the_same_shape_gets_no_bars() -> None:
    pixels = to_pixels(Image.new("RGB", (720, 960), GREEN), 96, 72)
    assert np.unique(pixels.reshape(-1, 3), axis=0).tolist() == [list(GREEN)]


def test_pixels_are_bytes_of_height_width_and_colour() -> None:
    pixels = to_pixels(Image.new("RGB", (50, 90), (255, 0, 0)), 128, 96)
    assert pixels.shape == (128, 96, 3)
    assert pixels.dtype == np.uint8
    assert pixels[64, 48].tolist() == [255, 0, 0]


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    """A fine chequerboard becomes even grey; picking pixels would leave it black and white."""
    board = (np.indices((960, 720)).sum(axis=0) % 2 * 255).astype(np.uint8)
    pixels = to_pixels(Image.fromarray(board).convert("RGB"), 96, 72)
    assert pixels.min() > 110
    assert pixels.max() < 145


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000), (5_000, 3)])
def test_extreme_shapes_keep_at_least_a_line_of_their_colour(size: tuple[int, int]) -> None:
    pixels = to_pixels(Image.new("RGB", size, GREEN), 96, 72)
    assert pixels.shape == (96, 72, 3)
    colours = np.unique(pixels.reshape(-1, 3), axis=0).tolist()
    assert list(GREEN) in colours
    assert [c for c in colours if c not in (list(GREEN), WHITE)] == []
