"""Near-duplicates: what is found again, what is not, and where groups lie."""

from __future__ import annotations

import io
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from errors import PermanentError
from models.data import Pictures, decode_rows
from models.datasets.duplicates import (
    Fingerprint,
    fingerprint,
    group_duplicates,
    near_pairs,
    perceptual_hash,
)
from models.datasets.rows import Rows
from models.datasets.splits import split_of
from tests.conftest import SAMPLES

#: Samples that decode, of different products.
NAMES = sorted(
    path.name for path in SAMPLES.glob("*.jpg") if path.name not in ("damaged.jpg", "text.jpg")
)


def picture(name: str) -> Image.Image:
    """Return a sample at 240 pixels, as a service might store it."""
    with Image.open(SAMPLES / name) as opened:
        made = opened.convert("RGB")
    made.thumbnail((240, 240))
    return made


def saved(image: Image.Image, form: str = "JPEG", **options: int) -> bytes:
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


@pytest.fixture(scope="module")
def originals() -> dict[str, Fingerprint]:
    return {name: fingerprint(saved(picture(name), quality=92)) for name in NAMES}


def grouped(prints: list[Fingerprint], embeddings: np.ndarray | None = None) -> list[list[int]]:
    """Return the positions in each group of several."""
    keys = group_duplicates(prints, embeddings).tolist()
    groups: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


CHANGES = {
    "JPEG at 40": lambda image: saved(image, quality=40),
    "JPEG at 75, chroma at full": lambda image: saved(image, quality=75, subsampling=0),
    "PNG": lambda image: saved(image, "PNG"),
    "WebP": lambda image: saved(image, "WEBP", quality=60),
    "half as large": lambda image: saved(image.reduce(2)),
    # Large enough that a JPEG is read at reduced scale.
    "three times as large": lambda image: saved(image.resize([3 * s for s in image.size])),
    "darker": lambda image: saved(ImageEnhance.Brightness(image).enhance(0.85)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_picture_saved_anew_is_found(change: str, originals: dict[str, Fingerprint]) -> None:
    anew = {name: fingerprint(CHANGES[change](picture(name))) for name in NAMES}
    assert not {one.file for one in anew.values()} & {one.file for one in originals.values()}
    keys = group_duplicates([*originals.values(), *anew.values()])
    found = keys[: len(NAMES)] == keys[len(NAMES) :]
    assert found.mean() >= 0.95, [n for n, ok in zip(NAMES, found, strict=True) if not ok]


def test_different_products_are_not_grouped(originals: dict[str, Fingerprint]) -> None:
    assert len(originals) > 60
    assert grouped(list(originals.values())) == []


def test_an_exact_copy_is_grouped_whatever_it_shows() -> None:
    """A blank picture resembles nothing, save itself."""
    blank = [saved(Image.new("RGB", (40, 40), colour)) for colour in ("white", "white", "#eee")]
    prints = [fingerprint(data) for data in blank]
    assert grouped(prints) == [[0, 1]]


def test_pictures_that_are_all_but_blank_resemble_nothing() -> None:
    faint = Image.new("RGB", (64, 64), "white")
    faint.paste((253, 253, 253), (0, 0, 32, 64))
    prints = [fingerprint(saved(image, "PNG")) for image in (faint, faint.resize((96, 96)))]
    assert prints[0].bits == prints[1].bits
    assert grouped(prints) == []


def test_another_shade_is_the_same_product_and_another_colour_is_not() -> None:
    image = picture("watch_black_gold.jpg")
    pixels = np.asarray(image).astype(int)
    face = pixels.copy()
    rows, columns = (slice(side * 45 // 100, side * 55 // 100) for side in pixels.shape[:2])
    face[rows, columns] = (face[rows, columns] + [25, 0, 0]).clip(0, 255)
    whole = np.where(pixels.min(axis=2, keepdims=True) < 230, pixels[..., [2, 0, 1]] // 2, pixels)
    shade, colour = (fingerprint(saved(Image.fromarray(p.astype(np.uint8)))) for p in (face, whole))
    original = fingerprint(saved(image))
    assert grouped([original, shade, colour]) == [[0, 1]]


def test_a_mirrored_picture_is_not_found() -> None:
    """As the module says: who wants that must add mirrored fingerprints."""
    image = picture("running_shoe_blue.jpg")
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert grouped([fingerprint(saved(image)), fingerprint(saved(mirrored))]) == []


# Keys


def test_a_group_s_key_is_its_smallest_file_hash(originals: dict[str, Fingerprint]) -> None:
    names = NAMES[:6]
    anew = [fingerprint(saved(picture(name), quality=60)) for name in names]
    prints = [*originals.values(), *anew]
    keys = group_duplicates(prints)
    for row, name in enumerate(names):
        place = NAMES.index(name)
        assert keys[place] == keys[len(NAMES) + row] == min(originals[name].file, anew[row].file)
    for name, key in list(zip(NAMES, keys, strict=False))[6:]:
        assert key == originals[name].file


def test_the_order_of_the_pictures_plays_no_part(originals: dict[str, Fingerprint]) -> None:
    prints = [*originals.values(), *(fingerprint(saved(picture(n), quality=60)) for n in NAMES[:9])]
    order = np.random.default_rng(0).permutation(len(prints))
    assert (group_duplicates(prints)[order] == group_duplicates([prints[i] for i in order])).all()


def test_groups_are_transitive() -> None:
    """Two pictures that are too far apart belong together where a third lies between."""
    image = picture("handbag_red_satchel.jpg")
    steps = [fingerprint(saved(image.crop((n, n, 240, 240)))) for n in range(12)]
    ends = [steps[0], steps[-1]]
    assert grouped(ends) == []
    assert grouped(steps) == [list(range(12))]


def test_no_pictures_have_no_groups() -> None:
    assert len(group_duplicates([])) == 0


# Embeddings


def shaped(correlation: float) -> list[Fingerprint]:
    """Return two fingerprints of one hash whose thumbnails correlate about so much."""
    random = np.random.default_rng(0)
    one, other = random.normal(size=(2, 16, 16, 3))
    mixed = correlation * one + (1 - correlation**2) ** 0.5 * other
    return [
        Fingerprint(name, 0, (128 + 30 * values).clip(0, 255).astype(np.uint8))
        for name, values in (("a", one), ("b", mixed))
    ]


@pytest.mark.parametrize(
    ("correlation", "cosine", "together"),
    [
        (0.9965, None, True),
        (0.9925, None, False),
        (0.9995, 0.2, True),
        (0.9965, 0.95, False),
        (0.9925, 0.995, True),
        (0.9925, 0.95, False),
        (0.985, 1.0, False),
    ],
)
def test_an_embedding_decides_about_what_is_alike_but_not_the_same(
    correlation: float, cosine: float | None, together: bool
) -> None:
    embeddings = None
    if cosine is not None:
        embeddings = np.array([[1, 0], [cosine, (1 - cosine**2) ** 0.5]], dtype=np.float32)
    assert bool(grouped(shaped(correlation), embeddings)) is together


def test_embeddings_belong_to_the_pictures_in_their_order() -> None:
    one, other = shaped(0.9925)
    near = np.array([1, 0], dtype=np.float32)
    prints = [Fingerprint("c", 1 << 60 | 0xFFFFF, one.thumbnail[::-1]), other, other, one]
    embeddings = np.stack([-near, near, near, near])
    assert grouped(prints, embeddings) == [[1, 2, 3]]


# Hashes


def test_all_near_pairs_are_found_once() -> None:
    """Against every pair compared; many hashes share bands, as catalogue pictures' do."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**64, 40, dtype=np.uint64)
    near = [
        bit ^ np.uint64(sum(1 << int(b) for b in random.choice(64, n)))
        for bit in bits[:20]
        for n in range(7)
    ]
    bits = np.concatenate([bits, np.array(near, dtype=np.uint64), bits[:3]])
    wanted = {
        (i, j)
        for (i, a), (j, b) in combinations(enumerate(bits.tolist()), 2)
        if (a ^ b).bit_count() <= 4
    }
    found = [tuple(pair) for block in near_pairs(bits, 4) for pair in block.tolist()]
    assert set(found) == wanted
    assert len(found) == len(wanted) > 100


def test_half_of_the_hash_s_bits_are_set(originals: dict[str, Fingerprint]) -> None:
    """The brightness in the highest bit, and the 31 frequencies of 63 above the median."""
    assert {one.bits.bit_count() for one in originals.values()} == {32}
    assert {one.bits >> 63 for one in originals.values()} == {1}
    assert perceptual_hash(picture(NAMES[0])) != perceptual_hash(picture(NAMES[0]).rotate(90))


def test_a_damaged_file_has_no_fingerprint() -> None:
    with pytest.raises(PermanentError):
        fingerprint((SAMPLES / "damaged.jpg").read_bytes())


# The grouped split


def paired() -> Rows:
    """Every sample twice: as it is, and saved anew."""
    files = [saved(picture(name), quality=q) for name in NAMES for q in (92, 60)]
    return Rows([f"{i}" for i in range(len(files))], files, {"article_type": ["A"] * len(files)})


@pytest.fixture(scope="module")
def by_kind() -> dict[str, Pictures]:
    return {kind: decode_rows(paired(), 32, 24, kind) for kind in ("random", "grouped")}


def test_the_grouped_split_keeps_a_pair_together_and_the_random_one_does_not(
    by_kind: dict[str, Pictures],
) -> None:
    apart = {kind: (p.split[::2] != p.split[1::2]).mean() for kind, p in by_kind.items()}
    assert apart["random"] > 0.2
    assert apart["grouped"] < 0.02
    assert set(by_kind["grouped"].split) == {"train", "select", "certify", "test"}


def test_pictures_name_their_group(by_kind: dict[str, Pictures]) -> None:
    assert len(set(by_kind["random"].group)) == 2 * len(NAMES)
    sizes = Counter(Counter(by_kind["grouped"].group.tolist()).values())
    assert sizes[2] >= len(NAMES) - 1
    found = by_kind["grouped"]
    assert found.split.tolist() == [split_of(key, 0) for key in found.group]


def test_the_groups_do_not_depend_on_the_network_s_size(by_kind: dict[str, Pictures]) -> None:
    other = decode_rows(paired(), 128, 96, "grouped")
    assert (other.group == by_kind["grouped"].group).all()
    assert other.digest == by_kind["grouped"].digest


def test_rows_that_are_added_move_no_group_that_they_do_not_join(
    by_kind: dict[str, Pictures],
) -> None:
    part = decode_rows(paired().take(range(60)), 32, 24, "grouped")
    assert (part.split == by_kind["grouped"].split[:60]).all()


def test_a_file_that_vanishes_while_it_is_read_is_an_error_and_no_other_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / name for name in ("a.jpg", "b.jpg")]
    for file, name in zip(files, NAMES, strict=False):
        file.write_bytes(saved(picture(name)))
    rows = Rows(["a", "b"], files, {"article_type": ["A", "B"]})

    def vanish(data: bytes) -> Fingerprint:
        files[1].unlink(missing_ok=True)
        return fingerprint(data)

    monkeypatch.setattr("models.data.fingerprint", vanish)
    monkeypatch.setattr("models.datasets.rows.CHUNK", 1)
    with pytest.raises(PermanentError, match=r"b\.jpg: there is no such file"):
        decode_rows(rows, 32, 24, "grouped")
