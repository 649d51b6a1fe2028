"""Decoding: formats, modes, orientation, limits, and files that are no pictures."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from errors import PermanentError
from models.pictures import Limits, decode
from models.transforms import to_pixels
from tests.conftest import SAMPLES

# models.pictures sets these for the process; pytest takes them back for each test.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),
    pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning"),
]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
#: Top left red, top right green, bottom left blue, bottom right black.
CORNERS = [[255, 0, 0], [0, 200, 0], [0, 0, 255], [0, 0, 0]]


def save(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    data = io.BytesIO()
    picture.save(data, file_format, **options)
    return data.getvalue()


def four_corners(width: int = 60, height: int = 40) -> Image.Image:
    picture = Image.new("RGB", (2, 2))
    picture.putdata([tuple(c) for c in CORNERS])
    return picture.resize((width, height), Image.Resampling.NEAREST)


def corners_of(picture: Image.Image) -> NDArray[np.int16]:
    """Return the colours in the middle of the four quarters."""
    pixels = np.asarray(picture).astype(np.int16)
    rows, columns = pixels.shape[0] // 4, pixels.shape[1] // 4
    return np.array([pixels[y, x] for y in (rows, -rows) for x in (columns, -columns)])


def noise(width: int = 300, height: int = 200) -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def colour_of(picture: Image.Image) -> list[int]:
    """Return the colour of a picture that has just one."""
    found = np.unique(np.asarray(picture).reshape(-1, 3), axis=0)
    assert len(found) == 1
    return [int(v) for v in found[0]]


def png(width: int, height: int, depth: int, kind: int, rows: bytes, extra: bytes = b"") -> bytes:
    """Put a PNG together from its parts, for what Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


# Formats


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_decodes_to_what_was_saved(file_format: str) -> None:
    options = {"quality": 95} if file_format in ("JPEG", "WEBP") else {}
    picture = decode(save(four_corners(), file_format, **options), min_side=40)
    assert (picture.mode, picture.size) == ("RGB", (60, 40))
    assert np.abs(corners_of(picture) - CORNERS).max() <= 12


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(file_format: str) -> None:
    frames = [Image.new("RGB", (40, 30), c) for c in ("#f00000", "#00f000", "#0000f0")]
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = save(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    with Image.open(io.BytesIO(data)) as opened:
        assert getattr(opened, "n_frames", 1) == 3
    assert colour_of(decode(data, 30)) == [240, 0, 0]


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


@pytest.mark.parametrize("file_format", ["PPM", "ICO", "TGA", "JPEG2000", "AVIF", "PCX"])
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
@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_over_white(file_format: str, alpha: int, expected: list[int]) -> None:
    options = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
    data = save(Image.new("RGBA", (30, 20), (40, 80, 120, alpha)), file_format, **options)
    assert np.abs(np.subtract(colour_of(decode(data, 20)), expected)).max() <= 1


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


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
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
    options = {"quality": 95} if file_format in ("JPEG", "WEBP") else {}
    picture = decode(save(lying, file_format, exif=exif, **options), 40)
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
