"""Decoding: formats, modes and orientation."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from errors import PermanentError
from models.pictures import decode, read_open
from tests.conftest import SAMPLES
from tests.unit.drawn import CORNERS, FORMATS, LOSSY, MARKS, chunk, four_corners, noise, png, save

pytestmark = MARKS


def corners_of(picture: Image.Image) -> NDArray[np.int16]:
    """Return the colours in the middle of the four quarters."""
    pixels = np.asarray(picture).astype(np.int16)
    rows, columns = pixels.shape[0] // 4, pixels.shape[1] // 4
    return np.array([pixels[y, x] for y in (rows, -rows) for x in (columns, -columns)])


def colour_of(picture: Image.Image) -> list[int]:
    """Return the colour of a picture that has just one."""
    found = np.unique(np.asarray(picture).reshape(-1, 3), axis=0)
    assert len(found) == 1
    return [int(v) for v in found[0]]


# Formats


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_decodes_to_what_was_saved(file_format: str) -> None:
    options = {"quality": 95} if file_format in LOSSY else {}
    picture = decode(save(four_corners(), file_format, **options), min_side=40)
    assert (picture.mode, picture.size) == ("RGB", (60, 40))
    assert np.abs(corners_of(picture) - CORNERS).max() <= 12


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF", "HEIF"])
def test_of_an_animation_the_first_frame_is_taken(file_format: str) -> None:
    frames = [Image.new("RGB", (40, 30), c) for c in ("#f00000", "#00f000", "#0000f0")]
    options = {"WEBP": {"lossless": True}, "HEIF": {"quality": 100}, "AVIF": {"quality": 100}}
    data = save(
        frames[0],
        file_format,
        save_all=True,
        append_images=frames[1:],
        **options.get(file_format, {}),
    )
    with Image.open(io.BytesIO(data)) as opened:
        assert getattr(opened, "n_frames", 1) == 3
    assert colour_of(decode(data, 30)) == pytest.approx([240, 0, 0], abs=1)


def test_a_phones_multi_picture_file_gives_its_main_picture() -> None:
    """MPO: a JPEG with further pictures (a depth map, a second eye) behind it."""
    data = save(
        four_corners(400, 300),
        "MPO",
        save_all=True,
        append_images=[Image.new("RGB", (400, 300), "white")],
    )
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.format == "MPO"
    picture = decode(data, 300)
    assert picture.size == (400, 300)
    assert np.abs(corners_of(picture) - CORNERS).max() <= 12


@pytest.mark.parametrize("file_format", ["PPM", "ICO", "TGA", "JPEG2000", "PCX"])
def test_formats_that_were_not_named_are_refused(file_format: str) -> None:
    with pytest.raises(PermanentError, match="not an image in one of the formats") as caught:
        decode(save(noise(64, 64), file_format), 64)
    assert caught.value.code == "undecodable"


# Modes


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "BMP"])
def test_grey_becomes_grey_rgb(file_format: str) -> None:
    picture = decode(save(Image.new("L", (30, 20), 100), file_format), 20)
    assert (picture.mode, colour_of(picture)) == ("RGB", [100, 100, 100])


@pytest.mark.parametrize(
    ("alpha", "expected"), [(0, [255, 255, 255]), (255, [40, 80, 120]), (51, [212, 220, 228])]
)
@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_alpha_is_laid_over_white(file_format: str, alpha: int, expected: list[int]) -> None:
    lossless = {"lossless": True, "exact": True}
    options = {"WEBP": lossless, "AVIF": {"quality": 100}, "HEIF": {"quality": 100}}
    data = save(
        Image.new("RGBA", (30, 20), (40, 80, 120, alpha)),
        file_format,
        **options.get(file_format, {}),
    )
    assert np.abs(np.subtract(colour_of(decode(data, 20)), expected)).max() <= 2


@pytest.mark.parametrize(("alpha", "expected"), [(0, 255), (255, 60), (128, 157)])
def test_grey_with_alpha_is_laid_over_white(alpha: int, expected: int) -> None:
    grey = colour_of(decode(save(Image.new("LA", (30, 20), (60, alpha)), "PNG"), 20))
    assert grey == pytest.approx([expected] * 3, abs=1)


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_a_palettes_transparent_colour_becomes_white(file_format: str) -> None:
    picture = Image.new("P", (40, 20), 0)
    picture.putpalette([200, 0, 0, 0, 0, 200] + [0] * 762)
    picture.paste(1, (20, 0, 40, 20))
    pixels = np.asarray(decode(save(picture, file_format, transparency=0), 20))
    assert np.unique(pixels[:, :20].reshape(-1, 3), axis=0).tolist() == [[255, 255, 255]]
    assert np.unique(pixels[:, 20:].reshape(-1, 3), axis=0).tolist() == [[0, 0, 200]]


def test_a_palettes_half_transparent_colour_is_mixed_with_white() -> None:
    picture = Image.new("P", (40, 20), 0)
    picture.putpalette([200, 0, 0] + [0] * 765)
    data = save(picture, "PNG", transparency=bytes([128] + [255] * 255))
    assert colour_of(decode(data, 20)) == pytest.approx([227, 127, 127], abs=1)


def test_an_rgb_pngs_transparent_colour_becomes_white() -> None:
    data = save(Image.new("RGB", (30, 20), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
    assert colour_of(decode(data, 20)) == [255, 255, 255]


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_cmyk_inks_become_the_colours_they_print(file_format: str) -> None:
    options = {"quality": 95} if file_format == "JPEG" else {}
    for inks, expected in [
        ((0, 255, 255, 0), [255, 0, 0]),
        ((0, 0, 0, 0), [255, 255, 255]),
        ((0, 0, 0, 255), [0, 0, 0]),
    ]:
        picture = decode(save(Image.new("CMYK", (32, 32), inks), file_format, **options), 32)
        assert colour_of(picture) == pytest.approx(expected, abs=3)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(file_format: str) -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (32, 1))
    pixels = np.asarray(decode(save(Image.fromarray(ramp), file_format), 32))
    assert pixels.mean() == pytest.approx(127.5, abs=1)
    assert np.abs(pixels[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_sixteen_bit_colour_and_grey_with_alpha_are_scaled_too() -> None:
    ramp = np.linspace(0, 65535, 256).astype(">u2")
    colour = b"".join(b"\0" + np.repeat(ramp, 3).tobytes() for _ in range(8))
    assert np.asarray(decode(png(256, 8, 16, 2, colour), 8)).mean() == pytest.approx(127.5, abs=1)
    opaque = np.stack([ramp, np.full(256, 65535, ">u2")], axis=1).tobytes()
    grey = b"".join(b"\0" + opaque for _ in range(8))
    assert np.asarray(decode(png(256, 8, 16, 4, grey), 8)).mean() == pytest.approx(127.5, abs=1)


def test_sixteen_bit_grey_with_a_transparent_value_decodes() -> None:
    ramp = np.linspace(0, 65535, 256).astype(">u2")
    rows = b"".join(b"\0" + ramp.tobytes() for _ in range(8))
    transparent = chunk(b"tRNS", struct.pack(">H", 0))
    pixels = np.asarray(decode(png(256, 8, 16, 0, rows, transparent), 8))
    assert pixels.mean() == pytest.approx(127.5, abs=2)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP", "GIF"])
def test_one_bit_pictures_are_black_and_white(file_format: str) -> None:
    picture = Image.new("1", (40, 20), 0)
    picture.paste(1, (20, 0, 40, 20))
    pixels = np.asarray(decode(save(picture, file_format), 20))
    assert np.unique(pixels[:, :20]).tolist() == [0]
    assert np.unique(pixels[:, 20:]).tolist() == [255]


# Orientation


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize(
    ("orientation", "stored_by"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_each_exif_orientation_comes_out_upright(
    file_format: str, orientation: int, stored_by: Image.Transpose | None
) -> None:
    lying = four_corners() if stored_by is None else four_corners().transpose(stored_by)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if file_format in LOSSY else {}
    # As bytes, because only these make pillow-heif write the turn where HEIF has it (irot, imir).
    written: Any = exif if file_format == "TIFF" else exif.tobytes()
    picture = decode(save(lying, file_format, exif=written, **options), 40)
    assert picture.size == (60, 40)
    assert np.abs(corners_of(picture) - CORNERS).max() <= 12


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(save(four_corners(), "PNG", exif=exif), 40)
    assert picture.size == (60, 40)
    assert np.abs(corners_of(picture) - CORNERS).max() == 0


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "block",
    [
        b"neither byte order",
        b"MM\0\0\0\0\0\x08",
        b"II*\0\xff\xff\xff\x7f",
        b"MM\0*\0\0\0\x08\0\xff",
    ],
)
def test_a_broken_exif_block_is_no_reason_to_refuse_a_picture(
    file_format: str, block: bytes
) -> None:
    picture = decode(save(four_corners(), file_format, exif=b"Exif\0\0" + block), 40)
    assert picture.size == (60, 40)


def test_the_sample_stored_lying_is_decoded_upright() -> None:
    data = (SAMPLES / "tshirt_teal_bolt_rotated_exif.jpg").read_bytes()
    with Image.open(io.BytesIO(data)) as stored:
        assert stored.width > stored.height
        expected = stored.convert("RGB").transpose(Image.Transpose.ROTATE_270)
    picture = decode(data, min(expected.size))
    assert picture.size == expected.size
    difference = np.asarray(picture).astype(int) - np.asarray(expected)
    assert np.abs(difference).mean() < 1


def test_the_transparent_sample_stands_on_white() -> None:
    data = (SAMPLES / "tshirt_grey_bands_alpha.png").read_bytes()
    with Image.open(io.BytesIO(data)) as stored:
        assert stored.mode == "RGBA"
        clear = np.asarray(stored.getchannel("A")) == 0
    pixels = np.asarray(decode(data, 96))
    assert clear.any()
    assert np.unique(pixels[clear]).tolist() == [255]
    assert pixels[~clear].mean() < 230


def test_a_jpeg_may_shrink_until_its_longer_side_is_as_asked() -> None:
    data = save(Image.new("RGB", (1080, 1440), (9, 99, 9)), "JPEG")
    assert decode(data, 720).size == (1080, 1440)
    assert decode(data, 720, longer=True).size == (540, 720)
    assert decode(data, 730, longer=True).size == (1080, 1440)


def test_a_file_that_is_longer_than_it_said_is_read_to_its_end() -> None:
    """One that grows, or that the kernel makes up: its size is 0. Never more than asked for."""
    most = 3_000
    assert Path("/proc/self/maps").stat().st_size == 0
    assert len(read_open(os.open("/proc/self/maps", os.O_RDONLY), most)) == most
    whole = read_open(os.open("/proc/self/stat", os.O_RDONLY), 1 << 20)
    assert whole.startswith(str(os.getpid()).encode())
    assert whole.endswith(b"\n")
