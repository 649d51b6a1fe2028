"""Decoding: reduced scale, limits, threads, and files that are no pictures."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from errors import PermanentError
from models.pictures import Limits, decode
from models.transforms import to_pixels
from tests.conftest import SAMPLES
from tests.unit.drawn import FORMATS, MARKS, four_corners, noise, png, save

pytestmark = MARKS


# Reduced scale


@pytest.mark.parametrize("size", [(1600, 1200), (1200, 1600), (3000, 1000)])
@pytest.mark.parametrize("min_side", [72, 128, 300])
def test_a_large_jpeg_is_decoded_at_reduced_scale_but_not_too_small(
    size: tuple[int, int], min_side: int
) -> None:
    picture = decode(save(Image.new("RGB", size, (90, 10, 10)), "JPEG"), min_side)
    assert max(picture.size) < max(size)
    assert min(picture.size) >= min_side
    assert picture.width / picture.height == pytest.approx(size[0] / size[1], rel=0.02)


def test_a_jpeg_that_is_small_already_is_decoded_in_full() -> None:
    assert decode(save(noise(150, 130), "JPEG"), 96).size == (150, 130)


def test_reduced_scale_shows_the_same_picture() -> None:
    data = save(four_corners(1600, 1200), "JPEG", quality=95)
    small = to_pixels(decode(data, 96), 96, 72)
    full = to_pixels(decode(data, 1200), 96, 72)
    assert np.abs(small.astype(int) - full).mean() < 2


def test_a_large_transparent_picture_shrinks_as_if_it_were_converted_at_once() -> None:
    """It is converted band by band; 2011 rows are no whole number of bands."""
    alpha = np.tile(np.linspace(0, 255, 2500).astype(np.uint8), (2011, 1))
    red = np.tile(np.linspace(0, 255, 2011).astype(np.uint8)[:, None], (1, 2500))
    picture = Image.fromarray(np.stack([red, red // 2, 255 - red, alpha], axis=2))
    found = decode(save(picture, "PNG", compress_level=1), 96)
    white = Image.new("RGBA", picture.size, "white")
    expected = Image.alpha_composite(white, picture).convert("RGB")
    assert 192 <= min(found.size) < 2011
    factor = round(2011 / found.height)
    difference = np.asarray(found).astype(int) - np.asarray(expected.reduce(factor))
    assert np.abs(difference).max() <= 1


def test_a_large_sixteen_bit_picture_has_one_scale_from_top_to_bottom() -> None:
    """Its upper rows, dark in themselves, must not be taken for 8-bit grey."""
    ramp = (np.linspace(0, 1, 2011) ** 4 * 65535).astype(np.uint16)
    picture = Image.fromarray(np.tile(ramp[:, None], (1, 2500)))
    found = np.asarray(decode(save(picture, "PNG", compress_level=1), 96))[:, 5, 0]
    factor = round(2011 / len(found))
    middles = np.minimum(np.arange(len(found)) * factor + factor // 2, 2010)
    assert np.abs(found - ramp[middles] / 257).max() <= 3


# Damage


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_cut_anywhere_is_undecodable(file_format: str, share: float) -> None:
    data = save(noise(), file_format)
    with pytest.raises(PermanentError) as caught:
        decode(data[: int(len(data) * share)], 96)
    assert caught.value.code == "undecodable"


def test_a_jpeg_without_its_last_bytes_is_undecodable() -> None:
    data = save(noise(), "JPEG")
    for missing in range(1, 9):
        with pytest.raises(PermanentError) as caught:
            decode(data[:-missing], 96)
        assert caught.value.code == "undecodable"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"Just a note, not a picture.\n" * 40, "not an image in one of the formats"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image in one of the formats"),
        (np.random.default_rng(5).bytes(20_000), "not an image in one of the formats"),
        (b"\xff\xd8\xff\xe0" + np.random.default_rng(6).bytes(5_000), "image"),
        (b"\x89PNG\r\n\x1a\n" + np.random.default_rng(7).bytes(5_000), "image"),
        (b"GIF89a" + b"\0" * 50, "image"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image"),
        (b"II*\0\x08\0\0\0\xff\xff", "image"),
    ],
    ids=["empty", "text", "svg", "garbage", "jpeg", "png", "gif", "webp", "tiff"],
)
def test_what_is_no_picture_is_undecodable_and_says_why(data: bytes, message: str) -> None:
    with pytest.raises(PermanentError, match=message) as caught:
        decode(data, 96)
    assert caught.value.code == "undecodable"


@pytest.mark.parametrize("file_format", FORMATS)
def test_flipped_bytes_give_a_picture_or_a_permanent_error(file_format: str) -> None:
    """Never any other exception, whatever Pillow's plugins raise."""
    rng = np.random.default_rng(11)
    good = save(four_corners(), file_format)
    for _ in range(60):
        data = bytearray(good)
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(0, 256)
        try:
            picture = decode(bytes(data), 40)
        except PermanentError as error:
            assert error.code in ("undecodable", "too_large")
        else:
            assert picture.mode == "RGB"


# Limits


def test_a_file_of_too_many_bytes_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(PermanentError, match="1,001 bytes, 1,000 are allowed") as caught:
        decode(b"x" * 1001, 96, Limits(max_bytes=1000))
    assert caught.value.code == "too_large"


def test_a_file_of_just_the_allowed_bytes_passes() -> None:
    data = save(noise(20, 20), "PNG")
    assert decode(data, 20, Limits(max_bytes=len(data))).size == (20, 20)


@pytest.mark.parametrize("side", [8_001, 9_000, 12_000, 60_000, 2**31 - 1])
def test_a_header_that_claims_too_many_pixels_is_refused(side: int) -> None:
    with pytest.raises(PermanentError, match="pixels") as caught:
        decode(png(side, side, 8, 2, b"\0" * 1000), 96)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_limit_of_pixels_holds_for_every_format(file_format: str) -> None:
    data = save(noise(101, 100), file_format)
    with pytest.raises(PermanentError, match="101×100 pixels, 10,099 are allowed") as caught:
        decode(data, 96, Limits(max_pixels=10_099))
    assert caught.value.code == "too_large"
    assert decode(data, 96, Limits(max_pixels=10_100)).size == (101, 100)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP"])
@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000)])
def test_extreme_shapes_decode(file_format: str, size: tuple[int, int]) -> None:
    picture = decode(save(Image.new("RGB", size, (9, 9, 9)), file_format), 96)
    assert picture.size == size
    assert to_pixels(picture, 128, 96).shape == (128, 96, 3)


# Threads


def test_decoding_in_threads_leaves_the_process_warnings_as_they_were() -> None:
    """`warnings.catch_warnings` in threads would leave its filters behind."""
    together = threading.Barrier(4)
    data = save(noise(600, 800), "JPEG")
    before = list(warnings.filters)

    def work(_: int) -> None:
        together.wait(timeout=30)
        for _ in range(10):
            decode(data, 96)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert list(warnings.filters) == before


@pytest.mark.parametrize("name", ["dress_turquoise_maxi.webp", "backpack_blue.jpg"])
def test_samples_decode_the_same_from_several_threads(name: str) -> None:
    data = (SAMPLES / name).read_bytes()
    expected = np.asarray(decode(data, 96))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: np.asarray(decode(data, 96)), range(8)))
    assert all(np.array_equal(one, expected) for one in found)
