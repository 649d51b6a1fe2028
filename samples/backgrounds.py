"""Backgrounds: the studio's white, and the floors, beds and walls of photographs by phone."""

from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw, ImageFilter

from samples.canvas import SCALE, SHEET, faded
from samples.colours import INK, WHITE, Colour, darker, lighter, mixed
from samples.patterns import grain, striped, woven
from samples.shapes import leaf, line

Background = Callable[[Random], Image.Image]


def vignette(sheet: Image.Image, strength: float = 0.25) -> Image.Image:
    """Give a sheet whose corners, the lower right most, lie in shadow."""
    mask = Image.new("L", (18, 24))
    for y in range(24):
        for x in range(18):
            reach = ((x - 7) / 11) ** 2 + ((y - 9) / 15) ** 2
            mask.putpixel((x, y), min(round(reach * 128), 255))
    sheet.paste(INK, mask=faded(mask.resize(SHEET, Image.Resampling.BICUBIC), strength))
    return sheet


def studio(_: Random) -> Image.Image:
    """Give the white of a catalogue."""
    return Image.new("RGB", SHEET, WHITE)


def paper(colour: Colour) -> Background:
    """Give a background of coloured paper, evenly lit."""

    def draw(_: Random) -> Image.Image:
        return vignette(Image.new("RGB", SHEET, colour), 0.12)

    return draw


def wood(rng: Random) -> Image.Image:
    """Give a floor of planks."""
    sheet = Image.new("RGB", SHEET, (120, 82, 52))
    pen = ImageDraw.Draw(sheet)
    board = 64 * SCALE
    for column in range(SHEET[0] // board + 1):
        left, top = column * board, -rng.randrange(0, 250) * SCALE
        while top < SHEET[1]:
            length = rng.randrange(230, 380) * SCALE
            tone = mixed((186, 138, 92), (154, 106, 66), rng.random())
            area = (left, top, left + board - 5, top + length - 5)
            pen.rectangle(area, fill=tone)
            for _ in range(16):
                x = left + rng.randrange(8, board - 12)
                bend = rng.uniform(-6, 6)
                text = (
                    f"{x},{top + 10} {x + bend},{top + length / 2} {x - bend},{top + length - 14}"
                )
                pen.polygon(
                    leaf(line(text), rng.uniform(2, 7)), fill=darker(tone, rng.uniform(0.06, 0.2))
                )
            top += length
    return vignette(woven(sheet.filter(ImageFilter.GaussianBlur(1.6)), 0.03), 0.4)


def tiles(rng: Random) -> Image.Image:
    """Give a floor of square tiles."""
    sheet = Image.new("RGB", SHEET, (176, 172, 164))
    pen = ImageDraw.Draw(sheet)
    side = 92 * SCALE
    for x in range(-side // 2, SHEET[0], side):
        for y in range(-side // 3, SHEET[1], side):
            tone = mixed((226, 222, 212), (206, 202, 194), rng.random())
            pen.rectangle((x + 5, y + 5, x + side - 5, y + side - 5), fill=tone)
            pen.line(
                (x + 6, y + side - 6, x + 6, y + 6, x + side - 6, y + 6), lighter(tone, 0.5), 4
            )
            for _ in range(5):
                a, b = x + rng.randrange(20, side - 90), y + rng.randrange(20, side - 60)
                path = leaf(
                    line(f"{a},{b} {a + 40},{b + rng.randrange(-20, 30)} {a + 80},{b + 20}"), 7
                )
                pen.polygon(path, fill=darker(tone, 0.06))
    return vignette(sheet.filter(ImageFilter.GaussianBlur(1.5)), 0.4)


def linen(rng: Random) -> Image.Image:
    """Give a striped, creased bed sheet."""
    bands = (((176, 196, 220), 9.0), ((198, 210, 226), 4.0))
    sheet = striped((234, 238, 244), bands, pitch=34, angle=68).copy()
    for tone, count in ((INK, 9), (WHITE, 16)):
        mask = Image.new("L", SHEET)
        pen = ImageDraw.Draw(mask)
        for _ in range(count):
            x, y = rng.randrange(SHEET[0]), rng.randrange(SHEET[1])
            dx, dy = rng.randrange(-420, 420), rng.randrange(140, 500)
            text = f"{x},{y} {x + dx / 2 + 60},{y + dy / 2} {x + dx},{y + dy}"
            pen.polygon(leaf(line(text), rng.uniform(26, 64)), fill=255)
        sheet.paste(
            tone,
            mask=faded(mask.filter(ImageFilter.GaussianBlur(18)), 0.16 if tone == INK else 0.5),
        )
    return vignette(sheet, 0.3)


def grass(rng: Random) -> Image.Image:
    """Give a lawn."""
    sheet = Image.new("RGB", SHEET, (52, 92, 40))
    pen = ImageDraw.Draw(sheet)
    for i in range(5200):
        x, y = rng.randrange(-20, SHEET[0] + 20), rng.randrange(-20, SHEET[1] + 60)
        tone = mixed((52, 98, 38), (148, 186, 84), rng.random() * (0.3 + 0.7 * i / 5200))
        lean, tall = rng.uniform(-34, 34), rng.uniform(40, 95)
        pen.polygon([(x - 5, y), (x + 5, y), (x + lean, y - tall)], fill=tone)
    return vignette(sheet.filter(ImageFilter.GaussianBlur(2.6)), 0.4)


def wall(rng: Random) -> Image.Image:
    """Give a plastered wall with a slanting shadow."""
    base = (222, 210, 190)
    sheet = Image.new("RGB", SHEET, base)
    rough = grain(seed=rng.randrange(1000), cell=24).filter(ImageFilter.GaussianBlur(12))
    sheet.paste(darker(base, 0.3), mask=faded(rough, 0.4))
    mask = Image.new("L", SHEET)
    pen = ImageDraw.Draw(mask)
    pen.polygon([(SHEET[0] * 0.62, 0), (SHEET[0], 0), SHEET, (SHEET[0] * 0.3, SHEET[1])], fill=255)
    sheet.paste((84, 80, 100), mask=faded(mask.filter(ImageFilter.GaussianBlur(34)), 0.32))
    return vignette(woven(sheet, 0.02), 0.3)


def concrete(rng: Random) -> Image.Image:
    """Give a grey street with joints and stains."""
    base = (160, 158, 154)
    sheet = Image.new("RGB", SHEET, base)
    for cell, share in ((40, 0.35), (9, 0.3)):
        rough = grain(seed=rng.randrange(1000), cell=cell).filter(
            ImageFilter.GaussianBlur(cell / 3)
        )
        sheet.paste(darker(base, 0.4), mask=faded(rough, share))
    pen = ImageDraw.Draw(sheet)
    for ends in ((0, 380, SHEET[0], 330), (700, 0, 780, SHEET[1])):
        pen.line(ends, fill=darker(base, 0.45), width=9)
        pen.line([v + 6 for v in ends], fill=lighter(base, 0.25), width=4)
    return vignette(sheet.filter(ImageFilter.GaussianBlur(1.2)), 0.4)
