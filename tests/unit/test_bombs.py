"""What a file may cost before its pixels are decoded."""

from __future__ import annotations

import io
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from errors import PermanentError
from models import heif, pictures
from models.bombs import MOST_SCANS, count_scans, has_one_scan, webp_size
from models.pictures import decode
from tests.conftest import SAMPLES
from tests.inputs.damaged import bombs
from tests.unit.drawn import MARKS, chunk, four_corners, noise, png, save

pytestmark = MARKS


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", list(bombs()), ids=lambda case: case.name.decode())
def test_no_bomb_takes_longer_than_seconds(case) -> None:  # type: ignore[no-untyped-def]
    """The scans alone would take a minute here, and hours at the largest allowed file."""
    start = time.process_time()
    try:
        decode(case.data, 120)
    except PermanentError as error:
        assert error.code == case.outcome
    assert time.process_time() - start < 5


def test_every_sample_is_known_to_have_one_scan() -> None:
    """So that the hottest path pays nothing for counting."""
    for path in SAMPLES.glob("*.jpg"):
        assert has_one_scan(path.read_bytes()) or path.name == "damaged.jpg"


def test_scans_are_counted_to_the_end_of_the_first_picture() -> None:
    progressive = save(noise(), "JPEG", progressive=True)
    assert not has_one_scan(progressive)
    scans = count_scans(progressive)
    assert 2 < scans < MOST_SCANS
    assert count_scans(progressive + progressive) == scans
    assert count_scans(progressive + b"\xff\xda" * 1000) == scans


def test_a_progressive_picture_with_a_film_behind_it_is_decoded() -> None:
    """A phone's moving picture: the film's bytes look like many scans by chance."""
    data = save(noise(), "JPEG", progressive=True) + b"\xff\xda" * 1000
    assert decode(data, 96).mode == "RGB"


@pytest.mark.parametrize("options", [{"lossless": True}, {}, {"exif": b"Exif\0\0MM\0*"}])
def test_the_canvas_of_a_webp_is_read_from_its_head(options: dict[str, object]) -> None:
    assert webp_size(save(noise(301, 202), "WEBP", **options)) == (301, 202)
    assert webp_size(save(noise(301, 202), "PNG")) == (0, 0)
    assert webp_size(b"RIFF\0\0\0\0WEBPVP8 " + bytes(100)) == (0, 0)


@pytest.mark.parametrize(("side", "piece"), [(1550, 512), (3100, 512), (3100, 1024)])
def test_a_png_in_small_pieces_is_no_bomb(side: int, piece: int) -> None:
    """7 and 29 MB of pixels in pieces as small as programs write them."""
    whole = save(noise(side, side), "PNG", compress_level=0)
    picture = Image.open(io.BytesIO(whole))
    rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(picture))
    packed = zlib.compress(rows, 0)
    pieces = [chunk(b"IDAT", packed[i : i + piece]) for i in range(0, len(packed), piece)]
    data = whole[:33] + b"".join(pieces) + chunk(b"IEND", b"")
    assert len(pieces) > 14_000
    assert decode(data, side).tobytes() == picture.tobytes()


def test_of_large_pictures_one_is_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_LARGE_PIXELS", 1000)
    together, most = 0, 0
    lock = threading.Lock()
    real = pictures.to_rgb

    def counting(picture: Image.Image, reduction: int = 1) -> Image.Image:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.05)
        with lock:
            together -= 1
        return real(picture, reduction)

    monkeypatch.setattr(pictures, "to_rgb", counting)
    data = save(noise(200, 200), "PNG")
    threads = [threading.Thread(target=decode, args=(data, 100)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 1


def test_a_codec_without_memory_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture may be tried again; a dead letter would be final."""

    def fail(*_: object) -> None:
        raise OSError("out of memory when reading image file")

    monkeypatch.setattr(pictures, "to_rgb", fail)
    with pytest.raises(MemoryError):
        decode(save(noise(), "PNG"), 96)


def test_without_pillow_heif_a_heic_file_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heif, "HEIF", False)
    monkeypatch.setattr(pictures, "FORMATS", tuple(f for f in pictures.FORMATS if f != "HEIF"))
    with pytest.raises(PermanentError, match=r"pip install 'pillow-heif>=1.7'") as caught:
        decode(save(four_corners(), "HEIF"), 40)
    assert caught.value.code == "unsupported_format"
    assert decode(save(four_corners(), "AVIF"), 40).size == (60, 40)


def test_a_heic_file_is_decoded_in_full_though_a_thumbnail_lies_in_it() -> None:
    """An operator must see what was tagged."""
    data = save(noise(800, 600), "HEIF", thumbnails=[128])
    assert decode(data, 96).size == (800, 600)


def test_a_decoder_s_reason_fits_into_a_line() -> None:
    data = png(10, 10, 8, 0, bytes(110)).replace(b"IDAT", b"\0\n\xff\0")
    with pytest.raises(PermanentError) as caught:
        decode(data, 96)
    assert caught.value.code == "undecodable"
    assert np.all([c.isprintable() for c in str(caught.value)])
