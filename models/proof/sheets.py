"""Contact sheets: what a version finds alike, and its most confident mistakes, to be looked at.

They show pictures of the data set, whose licence may not let anybody publish them: they are
written where somebody asks for them, never beside the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from errors import UsageError
from models.proof.evidence import Answers, Evidence
from models.proof.similarity import nearest

QUERIES, MISTAKES = 16, 40
#: Mistakes a row of the sheet.
ACROSS = 8
#: Pixels around and below a picture, and of a line of its caption.
MARGIN, LINE = 6, 12
RIGHT, WRONG, QUIET = "#0072b2", "#d55e00", "#000000"


@dataclass(frozen=True)
class Tile:
    """A picture uint8 (H, W, 3) with the lines below it and the colour of its frame."""

    pixels: NDArray[np.uint8]
    caption: Sequence[str]
    frame: str = QUIET


def write_sheets(evidence: Evidence, folder: Path, seed: int = 0) -> list[Path]:
    """Write `similarity.jpg`, `mistakes.jpg` and one of mistakes for each kind of photographs.

    Returns the files. A folder that is made here is kept out of git.
    """
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / ".gitignore").write_text("*\n")
    if not folder.is_dir():
        raise UsageError(f"--sheets {folder}: is a file; name a folder")
    sheets = {"similarity": (similarity_tiles(evidence, seed), 11)}
    for dataset, answers in evidence.everything().items():
        name = "mistakes" if dataset == "catalogue" else f"mistakes-{dataset}"
        if tiles := mistake_tiles(evidence, answers):
            sheets[name] = (tiles, ACROSS)
    written = []
    for name, (tiles, across) in sheets.items():
        path = folder / f"{name}.jpg"
        draw_sheet(tiles, across).save(path, quality=88)
        written.append(path)
    return written


def similarity_tiles(evidence: Evidence, seed: int = 0) -> list[Tile]:
    """Return some test pictures, each with its nearest training pictures behind it.

    Those of the query's type are framed blue, the others orange. One query a type, as far as
    the types go.
    """
    pictures, rows = evidence.pictures, evidence.products.rows
    types = pictures.labels["article_type"]
    order = np.random.default_rng(seed).permutation(len(rows))
    _, first = np.unique(types[rows[order]], return_index=True)
    queries = order[np.sort(first)][:QUERIES]
    near = nearest(evidence.products.outputs["embedding"][queries], evidence.vectors)
    tiles = []
    for query, found in zip(rows[queries], evidence.gallery[near], strict=True):
        tiles.append(_tile(evidence, query, "query"))
        tiles += [
            _tile(evidence, row, frame=RIGHT if types[row] == types[query] else WRONG)
            for row in found
        ]
        blank = Tile(np.full_like(pictures.pixels[query], 255), (), "#ffffff")
        tiles += [blank] * (10 - len(found))
    return tiles


def _tile(evidence: Evidence, row: int, note: str = "", frame: str = QUIET) -> Tile:
    labels = evidence.pictures.labels
    caption = (str(labels["article_type"][row]), str(labels["base_colour"][row]), note)
    return Tile(evidence.pictures.pixels[row], caption, frame)


def mistake_tiles(evidence: Evidence, answers: Answers) -> list[Tile]:
    """Return the wrong article types of highest confidence, with true and given label.

    Those that are published are framed orange. Of a coarse label, one of the types that count
    as right is named.
    """
    given, confidence = answers.chosen["article_type"]
    right, known = answers.right["article_type"]
    wrong = np.flatnonzero(known & ~right)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    names = evidence.card.labels().names["article_type"]
    published = answers.published["article_type"]
    return [
        Tile(
            evidence.pictures.pixels[answers.rows[place]],
            (
                f"is {_truth(evidence, int(answers.rows[place]))}",
                f"not {names[given[place]]}",
                f"{confidence[place]:.3f}",
            ),
            WRONG if published[place] else QUIET,
        )
        for place in worst
    ]


def _truth(evidence: Evidence, row: int) -> str:
    coarse = evidence.pictures.coarse[row] if len(evidence.pictures.coarse) else None
    if not coarse:
        return str(evidence.pictures.labels["article_type"][row])
    first, *others = sorted(coarse)
    return f"{first} +{len(others)}" if others else first


def draw_sheet(tiles: Sequence[Tile], across: int) -> Image.Image:
    """Lay tiles of one size out in rows."""
    height, width = tiles[0].pixels.shape[:2]
    lines = max(len(tile.caption) for tile in tiles)
    step = (width + 2 * MARGIN, height + 2 * MARGIN + lines * LINE)
    down = -(-len(tiles) // across)
    sheet = Image.new("RGB", (across * step[0], down * step[1]), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=LINE - 2)
    for number, tile in enumerate(tiles):
        left, top = (number % across) * step[0] + MARGIN, (number // across) * step[1] + MARGIN
        draw.rectangle((left - 2, top - 2, left + width + 1, top + height + 1), fill=tile.frame)
        sheet.paste(Image.fromarray(tile.pixels), (left, top))
        for place, text in enumerate(tile.caption):
            at = (left, top + height + 2 + place * LINE)
            draw.text(at, _fitting(text, font, width + MARGIN), fill="black", font=font)
    return sheet


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Cut a text to a width in pixels."""
    while text and font.getlength(text) > width:
        text = text[:-1]
    return text
