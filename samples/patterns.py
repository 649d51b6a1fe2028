"""Patterns: sheets of cloth, leather and metal that fill the pieces of a garment."""

import math
from functools import cache, lru_cache
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from samples.canvas import SCALE, SHEET
from samples.colours import Colour, darker, lighter
from samples.shapes import ellipse, turned

MARGIN = 400  # pixels beyond the sheet, so that a turned pattern still covers it


@cache
def grain(
    seed: int = 7, cell: int = 2, width: int = SHEET[0], height: int = SHEET[1]
) -> Image.Image:
    """Give grey noise around 128; `cell` is the size of a speck in pixels."""
    small = (width // cell + 1, height // cell + 1)
    rng = Random(seed)  # noqa: S311 - a drawing's seed
    noise = Image.frombytes("L", small, rng.randbytes(small[0] * small[1]))
    large = (small[0] * cell, small[1] * cell)
    return noise.resize(large, Image.Resampling.BICUBIC).crop((0, 0, width, height))


def woven(sheet: Image.Image, strength: float = 0.025, cell: int = 3) -> Image.Image:
    """Give cloth with a faint grain over it."""
    noise = grain(cell=cell, width=sheet.width, height=sheet.height)
    return Image.blend(sheet, ImageChops.overlay(sheet, noise.convert("RGB")), strength * 4)


def _large(colour: Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    sheet = Image.new("RGB", (SHEET[0] + 2 * MARGIN, SHEET[1] + 2 * MARGIN), colour)
    return sheet, ImageDraw.Draw(sheet)


def _cut(sheet: Image.Image, angle: float) -> Image.Image:
    """Turn a large sheet clockwise and cut it to the size of a layer."""
    sheet = sheet.rotate(-angle, Image.Resampling.BICUBIC) if angle else sheet
    return sheet.crop((MARGIN, MARGIN, MARGIN + SHEET[0], MARGIN + SHEET[1]))


@lru_cache(maxsize=6)
def plain(colour: Colour, strength: float = 0.028) -> Image.Image:
    """Give cloth of one colour."""
    return woven(Image.new("RGB", SHEET, colour), strength)


@lru_cache(maxsize=6)
def striped(
    base: Colour, bands: tuple[tuple[Colour, float], ...], *, pitch: float = 24, angle: float = 0
) -> Image.Image:
    """Give stripes across the cloth: in each `pitch` units, a band of each colour and width."""
    sheet, pen = _large(base)
    step = pitch * SCALE
    for i in range(int(sheet.height / step) + 1):
        top = i * step
        for colour, width in bands:
            pen.rectangle((0, top, sheet.width, top + width * SCALE - 1), fill=colour)
            top += (width + 2) * SCALE
    return woven(_cut(sheet, angle))


@lru_cache(maxsize=6)
def checked(
    base: Colour,
    over: tuple[tuple[Colour, float, float], ...],
    *,
    pitch: float = 30,
    angle: float = 0,
) -> Image.Image:
    """Give a tartan: bands of (colour, offset, width) both ways in each square of `pitch` units."""
    down, pen = _large(base)
    across, other = _large(base)
    step = pitch * SCALE
    for i in range(int(down.height / step) + 1):
        for colour, offset, width in over:
            start = i * step + offset * SCALE
            end = start + width * SCALE - 1
            pen.rectangle((0, start, down.width, end), fill=colour)
            other.rectangle((start, 0, end, down.height), fill=colour)
    return woven(_cut(Image.blend(down, across, 0.5), angle))


@lru_cache(maxsize=6)
def dotted(
    base: Colour, dot: Colour, *, pitch: float = 20, radius: float = 4, angle: float = 0
) -> Image.Image:
    """Give dots in staggered rows."""
    sheet, pen = _large(base)
    step = pitch * SCALE
    for row in range(int(sheet.height / step * 2) + 1):
        for column in range(int(sheet.width / step) + 1):
            x, y = (column + row % 2 / 2) * step, row * step / 2
            pen.circle((x, y), radius * SCALE, fill=dot)
    return woven(_cut(sheet, angle))


def _flower(pen: ImageDraw.ImageDraw, x: float, y: float, size: float, petal: Colour) -> None:
    for i in range(5):
        angle = math.tau * i / 5 + x
        centre = (x + size * 0.62 * math.cos(angle), y + size * 0.62 * math.sin(angle))
        pen.circle(centre, size * 0.5, fill=petal)
    pen.circle((x, y), size * 0.34, fill=(250, 214, 90))


@lru_cache(maxsize=6)
def floral(
    base: Colour, petals: tuple[Colour, ...], leaf: Colour, *, pitch: float = 34
) -> Image.Image:
    """Give scattered flowers and leaves."""
    sheet, pen = _large(base)
    rng = Random(11)  # noqa: S311 - a drawing's seed
    step = pitch * SCALE
    for row in range(int(sheet.height / step) + 1):
        for column in range(int(sheet.width / step) + 1):
            x = (column + row % 2 / 2 + rng.uniform(-0.24, 0.24)) * step
            y = (row + rng.uniform(-0.24, 0.24)) * step
            size = pitch * SCALE * rng.uniform(0.17, 0.26)
            lean = rng.uniform(0, 360)
            for side in (0, 150):
                tip = turned([(x + size * 1.5, y)], lean + side, (x, y))[0]
                spot = turned(ellipse(*tip, size * 0.6, size * 0.28), lean + side, tip)
                pen.polygon(spot, fill=leaf)
            _flower(pen, x, y, size, rng.choice(petals))
    return woven(_cut(sheet, 0))


@lru_cache(maxsize=6)
def denim(colour: Colour) -> Image.Image:
    """Give twill: pale specks in steep diagonal lines."""
    speck = grain(seed=3, cell=2).resize((SHEET[0], SHEET[1] * 3)).crop((0, 0, *SHEET))
    noise = speck.rotate(0).filter(ImageFilter.GaussianBlur(0.8))
    sheet = Image.new("RGB", SHEET, colour)
    pen = ImageDraw.Draw(sheet)
    for x in range(-SHEET[1], SHEET[0], 7):
        pen.line((x, SHEET[1], x + SHEET[1] // 2, 0), fill=lighter(colour, 0.12), width=2)
    return Image.blend(sheet, ImageChops.overlay(sheet, noise.convert("RGB")), 0.26)


@lru_cache(maxsize=6)
def knitted(colour: Colour, *, stitch: float = 7, bands: tuple[Colour, ...] = ()) -> Image.Image:
    """Give knitting: columns of small Vs; `bands` colours groups of rows in turn."""
    sheet = Image.new("RGB", SHEET, darker(colour, 0.18))
    pen = ImageDraw.Draw(sheet)
    width = stitch * SCALE
    height = width * 0.8
    for row in range(int(SHEET[1] / height) + 2):
        yarn = bands[(row // 5) % len(bands)] if bands else colour
        for column in range(int(SHEET[0] / width) + 2):
            x, y = column * width, row * height
            for side in (-1, 1):
                arm = [(x, y), (x + side * width / 2, y - height * 0.62)]
                pen.line(arm, fill=darker(yarn, 0.22), width=round(width * 0.46))
                pen.line(arm, fill=lighter(yarn, 0.04), width=round(width * 0.3))
    return sheet.filter(ImageFilter.GaussianBlur(1))


@lru_cache(maxsize=6)
def ribbed(colour: Colour, *, pitch: float = 4, angle: float = 0) -> Image.Image:
    """Give ribbing: thin upright ridges, as at cuffs and hems."""
    sheet, pen = _large(colour)
    step = pitch * SCALE
    for i in range(int(sheet.width / step) + 1):
        left = i * step
        pen.rectangle((left, 0, left + step * 0.36, sheet.height), fill=darker(colour, 0.24))
    return _cut(sheet.filter(ImageFilter.GaussianBlur(2)), angle)


@lru_cache(maxsize=6)
def leather(colour: Colour) -> Image.Image:
    """Give leather: coarse, soft grain."""
    return woven(Image.new("RGB", SHEET, colour), 0.016, cell=4)


@lru_cache(maxsize=6)
def brushed(colour: Colour) -> Image.Image:
    """Give metal that goes from bright to dark and back, left to right."""
    ramp = Image.new("RGB", (9, 1))
    shades = (0.5, 0.1, -0.3, 0.3, 0.7, 0.2, -0.35, 0.1, 0.5)
    for i, share in enumerate(shades):
        tone = lighter(colour, share) if share > 0 else darker(colour, -share)
        ramp.putpixel((i, 0), tone)
    return ramp.resize(SHEET, Image.Resampling.BICUBIC)


def gradient(top: Colour, bottom: Colour) -> Image.Image:
    """Give a smooth change of colour from the top of the sheet to the bottom."""
    ramp = Image.new("RGB", (1, 2))
    ramp.putpixel((0, 0), top)
    ramp.putpixel((0, 1), bottom)
    return ramp.resize(SHEET, Image.Resampling.BILINEAR)
