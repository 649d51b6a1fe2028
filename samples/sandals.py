"""Sandals: pairs of open shoes, seen from above."""

from samples.canvas import Fill, Layer
from samples.colours import Colour, darker
from samples.shapes import (
    Path,
    box,
    ellipse,
    flipped,
    line,
    moved,
    outline,
    ribbon,
    scaled,
)


def slide_sandals(fill: Fill, trim: Colour, metal: Colour) -> Layer:
    """Draw a pair of cork sandals with two buckled straps, from above."""
    layer = Layer()
    for foot in _pair(footbed(14)):
        layer.piece(scaled(moved(foot, 2, 7), 1.03, (180, 240)), (70, 50, 38), depth=3)
        layer.piece(scaled(foot, 1.03, (180, 240)), (204, 166, 118), depth=3)
        layer.piece(scaled(foot, 0.98, (180, 240)), (226, 200, 164), depth=9, shade=0.5)
    for left in (
        "54,116! 84,100 128,98 166,112! 172,140 172,158! 134,146 90,148 58,166! 54,142",
        "62,184! 92,172 130,170 164,180! 166,204 164,224! 130,214 94,216 68,232! 62,208",
    ):
        for band in _pair(outline(left)):
            layer.shadow(moved(band, 2, 7), 0.45, blur=3.5)
            layer.piece(band, fill, depth=8, shade=0.55, glow=0.4, rim=0.6)
    for x, y in ((80, 132), (86, 202)):
        for cx in (x, 360 - x):
            layer.piece(
                box(cx - 12, y - 9, cx + 26 if cx < 180 else cx + 12, y + 9, 3),
                fill,
                depth=3,
                rim=0.8,
            )
            frame = box(cx - 9, y - 13, cx + 9, y + 13, 4)
            layer.piece(
                frame, metal, holes=[box(cx - 5, y - 8, cx + 5, y + 8, 2)], depth=1.5, rim=0.7
            )
            layer.piece(ribbon([(cx - 8, y), (cx + 6, y)], 2.4), metal, depth=1)
    return layer


def footbed(side: float) -> Path:
    """Give the outline of a left sole seen from above, shifted by `side`."""
    foot = outline(
        "96,76 128,80 148,108 152,150 142,200 138,250 144,310 142,360 122,402 98,408 76,396 66,356 "
        "66,300 62,240 50,180 48,130 64,92"
    )
    return [(x + side, y) for x, y in foot]


def _pair(path: Path) -> tuple[Path, Path]:
    return path, flipped(path)


def flip_flops(sole: Fill, trim: Colour, strap: Colour) -> Layer:
    """Draw a pair of flip-flops from above."""
    layer = Layer()
    for foot in _pair(footbed(14)):
        layer.piece([(x + 3, y + 6) for x, y in foot], darker(trim, 0.35), depth=4)
        layer.piece(foot, sole, depth=7, shade=0.35)
    welt = outline(
        "108,86 138,92 154,118 157,152 148,200 144,250 150,310 147,356 130,394 112,398 94,386 "
        "87,352 87,300 82,240 70,180 68,134 82,102"
    )
    for foot in _pair(welt):
        layer.seam(foot, darker(trim, 0.4), 1, opacity=0.35)
    for text in ("108,132 86,168 76,222", "108,132 138,166 152,224"):
        for band in _pair(line(text)):
            layer.shadow(ribbon([(x + 3, y + 7) for x, y in band], 12), 0.4, blur=3)
            layer.piece(ribbon(band, 10, 15), strap, depth=4, shade=0.5, glow=0.4)
    for x in (108, 252):
        layer.piece(ellipse(x, 130, 9, 9), strap, depth=3, glow=0.5)
    return layer


def strappy_sandals(fill: Fill, trim: Colour, gem: Colour) -> Layer:
    """Draw a pair of flat sandals with thin straps, from above."""
    layer = Layer()
    for foot in _pair(footbed(14)):
        layer.piece([(x + 2, y + 4) for x, y in foot], darker(trim, 0.6), depth=3)
        layer.piece(foot, (224, 194, 158), depth=7, shade=0.4)
    straps = (
        "66,150 92,128 130,126 162,152",
        "64,186 92,166 128,164 158,188",
        "108,106 112,150 112,230 112,270",
        "78,300 96,276 128,272 154,296",
        "78,372 72,330 90,286 112,270 136,286 156,326 152,372",
    )
    for text in straps:
        for band in _pair(line(text)):
            layer.shadow(ribbon([(x + 2, y + 6) for x, y in band], 9), 0.35, blur=2.5)
            layer.piece(ribbon(band, 9), fill, depth=3, shade=0.5, glow=0.5, rim=0.5)
    for y in (127, 165, 198, 232, 270):
        for x in (111, 249):
            layer.piece(ellipse(x, y, 5.5, 5.5), gem, depth=2, glow=0.8, rim=0.6)
    return layer
