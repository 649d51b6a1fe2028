"""Near-duplicates: the same photograph again, and the same product in another shade.

A picture of the test split that also lies in training, saved anew or with another lipstick's
colour, measures memory. Groups of such pictures go to one side of a split.

What is compared of two pictures:

1. the perceptual hash: which of the 64 lowest frequencies of the grey picture's cosine transform
   lie above their median (after the DCT method of C. Zauner, 'Implementation and Benchmarking of
   Perceptual Image Hash Functions', Hagenberg 2010). It finds candidates quickly, and is too
   coarse to decide: of 1.4 million pairs of catalogue pictures within 8 bits nearly all show
   different products of one outline.
2. a thumbnail of 16×16 colours, compared by correlation. It decides.
3. an embedding, where there is one, between thumbnails that are alike but not the same.

The bounds come from `fashion_products.parquet`: 39,679 pictures of 60×80 pixels, 653 of them
exact copies. Other pairs within 4 bits, judged by eye on sheets of them:

| correlation | pairs | what they show |
|---|---|---|
| ≥ 0.999 | 390 | one photograph, or one product in two shades |
| 0.998–0.999 | 253 | the same, and some wallets |
| 0.995–0.998 | 647 | two of three the same; plain wallets, ties and briefs that look alike |
| 0.99–0.995 | 1,479 | mostly different shoes, ties and wallets |

So many of 300 pictures are found again after they were saved anew:

| | without embeddings | with |
|---|---|---|
| JPEG at quality 75, PNG; two or five times as large; a tenth darker | 100 % | 100 % |
| JPEG at 50; at 30 | 97 %; 92 % | 80 %; 66 % |
| WebP at 70 | 97 % | 90 % |
| half as large | 92 % | 69 % |
| cropped by a pixel on each side | 34 % | 45 % |

Of 90 pairs drawn from those that are found, about 70 are one product, 80 with embeddings: those
of a model trained for type and colour tell shades apart, but not one black shoe from the next,
and change where a small file is saved badly. To a split a pair too many does no harm and a pair
too few does, so splits are made without. Not found are mirrored pictures, tighter crops, and
other views of a product.

Needs scipy (the `train` extra).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from models.pictures import decode

#: Side of the grey picture that is transformed, of the frequencies kept, of the thumbnail.
GREY_SIDE, FREQUENCIES, THUMBNAIL_SIDE = 32, 8, 16
#: Fingerprints are drawn from pictures decoded at least so large, whatever the network wants.
#: At 64 a JPEG of 540×720 pixels is read at an eighth, and no longer resembles itself at 240.
DECODE_SIDE = 128
#: Most bits in which the hashes of near-duplicates differ. See the module's docstring.
MAX_BITS = 4
#: Least correlation of the thumbnails without embeddings.
ALONE = 0.995
#: With them: the correlation that decides whatever they say, and the one that wants the cosine.
SAME, ALIKE, COSINE = 0.998, 0.99, 0.99
#: Correlation from which two photographs show one scene. Of 1,574 street photographs nine pairs
#: lie above 0.91, all one photograph cut or saved twice; the next has 0.88 and shows two people.
SAME_SCENE = 0.9
#: Contrast (standard deviation, of 255) under which a picture is blank and resembles nothing.
BLANK = 2.0
#: Pairs compared at once: bounds the memory.
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Fingerprint:
    """What is compared of a picture.

    `file` SHA-256 of the file in hex, `bits` perceptual hash of 64 bits, `thumbnail` RGB uint8
    (16, 16, 3).
    """

    file: str
    bits: int
    thumbnail: NDArray[np.uint8]


def file_hash(data: bytes) -> str:
    """Return the SHA-256 of a file in hex."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(data: bytes, picture: Image.Image | None = None) -> Fingerprint:
    """Draw the fingerprint of an image file. Raises PermanentError as `decode` does.

    `picture` is the file decoded at `DECODE_SIDE`, where that is at hand. The size at which a
    network sees it plays no part, so that groups do not depend on it.
    """
    picture = picture or decode(data, DECODE_SIDE)
    return Fingerprint(file_hash(data), perceptual_hash(picture), _thumbnail(picture))


def perceptual_hash(picture: Image.Image) -> int:
    """Return the 64-bit DCT hash of an RGB picture, lowest frequency in the highest bit."""
    # Hamming's window: box resampling lets a picture of twice the size differ in 8 bits.
    size = (GREY_SIDE, GREY_SIDE)
    grey = np.asarray(picture.convert("L").resize(size, Image.Resampling.HAMMING), dtype=float)
    low = dctn(grey, norm="ortho")[:FREQUENCIES, :FREQUENCIES].ravel()
    above = low > np.median(low[1:])  # the first is the mean brightness
    return int.from_bytes(np.packbits(above).tobytes(), "big")


def group_duplicates(
    prints: Sequence[Fingerprint], embeddings: NDArray[np.float32] | None = None
) -> NDArray[np.str_]:
    """Return the group key (N,) of each picture: the smallest file hash in its group.

    Where `embeddings` (N, D) of unit length are given, they decide about pairs that are alike
    but not the same. Groups are transitive. Exact copies always belong together; a picture
    without a duplicate has its own file's hash, so that `split_of` puts it where the random
    split does. Rows added later move a group only where one joins it with a smaller hash, or
    joins two groups to one.
    """
    files, first, back = np.unique(
        np.array([one.file for one in prints], dtype=str), return_index=True, return_inverse=True
    )
    bits = np.array([prints[row].bits for row in first], dtype=np.uint64)
    thumbnails = np.array([prints[row].thumbnail for row in first])
    vectors = None if embeddings is None else embeddings[first]
    found = [np.empty((0, 2), dtype=np.int64)]
    for pairs in near_pairs(bits, MAX_BITS):
        alike = _products(_standardised, thumbnails, pairs)
        if vectors is None:
            found.append(pairs[alike >= ALONE])
        else:
            near = _products(np.asarray, vectors, pairs) >= COSINE
            found.append(pairs[(alike >= SAME) | (alike >= ALIKE) & near])
    left, right = np.concatenate(found).T
    links = coo_array((np.ones(len(left)), (left, right)), shape=(len(files), len(files)))
    groups = connected_components(links, directed=False)[1]
    # `files` is sorted, so the first of a group is its smallest.
    smallest = np.unique(groups, return_index=True)[1]
    keys: NDArray[np.str_] = files[smallest[groups]][back]
    return keys


def same_scenes(prints: Sequence[Fingerprint]) -> NDArray[np.int64]:
    """Return pairs (M, 2) of photographs that show one scene, however they were cut or saved.

    Each is compared with each: for some thousands. Photographs of places differ more than
    products on white do, so that thumbnails alone decide, and may differ more.
    """
    if not prints:
        return np.empty((0, 2), dtype=np.int64)
    vectors = _standardised(np.array([one.thumbnail for one in prints]))
    found = []
    for start in range(0, len(vectors), 1024):
        left, right = np.nonzero(vectors[start : start + 1024] @ vectors.T >= SAME_SCENE)
        found.append(np.stack([left + start, right], axis=1))
    pairs: NDArray[np.int64] = np.concatenate(found)
    return pairs[pairs[:, 0] < pairs[:, 1]]


def near_pairs(bits: NDArray[np.uint64], most: int) -> Iterator[NDArray[np.int64]]:
    """Yield, in blocks, all pairs (M, 2) of hashes (N,) that differ in at most `most` bits.

    Hashes are cut into `most + 1` bands: two that differ in fewer places than there are bands
    agree in one of them, so only hashes that share a band are compared.
    """
    edges = np.linspace(0, 64, most + 2).astype(int).tolist()
    bands = [np.uint64((1 << high) - (1 << low)) for low, high in pairwise(edges)]
    for number, band in enumerate(bands):
        order = np.argsort(bits & band, kind="stable")
        starts = np.flatnonzero(np.diff(bits[order] & band)) + 1
        shared = [members for members in np.split(order, starts) if len(members) > 1]
        for members in shared:
            for pairs in _compare(bits, members, most):
                differ = bits[pairs[:, 0]] ^ bits[pairs[:, 1]]
                # A pair that shares an earlier band has come already.
                new = np.all([differ & earlier != 0 for earlier in bands[:number]], axis=0)
                yield pairs[new & (pairs[:, 0] < pairs[:, 1])]


def _compare(
    bits: NDArray[np.uint64], members: NDArray[np.int64], most: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the near pairs among some hashes, each both ways; a block against all at a time."""
    step = max(1, _BLOCK // len(members))
    for start in range(0, len(members), step):
        block = members[start : start + step]
        near = np.bitwise_count(bits[block, None] ^ bits[None, members]) <= most
        left, right = np.nonzero(near)
        yield np.stack([block[left], members[right]], axis=1)


def _thumbnail(picture: Image.Image) -> NDArray[np.uint8]:
    small = picture.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.HAMMING)
    return np.asarray(small, dtype=np.uint8)


def _products(
    vectors_of: Callable[[NDArray[Any]], NDArray[np.float32]],
    values: NDArray[Any],
    pairs: NDArray[np.int64],
    step: int = 8192,
) -> NDArray[np.float32]:
    """Return the scalar products (M,) of the vectors of pairs (M, 2), some at a time."""
    products = np.empty(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), step):
        left, right = (vectors_of(values[pairs[start : start + step, side]]) for side in (0, 1))
        products[start : start + step] = np.einsum("nd,nd->n", left, right)
    return products


def _standardised(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return thumbnails as vectors (N, 768) whose products are correlations.

    Each colour's mean is removed. Of unit length, save that blank ones are shorter.
    """
    colours = thumbnails.reshape(len(thumbnails), -1, 3).astype(np.float32)
    flat = (colours - colours.mean(axis=1, keepdims=True)).reshape(len(colours), -1)
    blank = np.float32(BLANK * flat.shape[1] ** 0.5)
    scaled: NDArray[np.float32] = flat / np.maximum(np.linalg.norm(flat, axis=1), blank)[:, None]
    return scaled
