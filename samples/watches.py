"""Watches, seen from the front."""

import math

from samples.canvas import Fill, Layer
from samples.colours import PALETTE, WHITE, Colour, darker, lighter
from samples.shapes import (
    Path,
    box,
    ellipse,
    moved,
    outline,
    ribbon,
    scaled,
    symmetric,
)
from samples.uppers import both


def _spoke(angle: float, inner: float, outer: float, cx: float = 180, cy: float = 240) -> Path:
    """Give a line from the middle of a dial outwards; 0 degrees is twelve o'clock."""
    sin, cos = math.sin(math.radians(angle)), -math.cos(math.radians(angle))
    return [(cx + sin * r, cy + cos * r) for r in (inner, outer)]


def dial(layer: Layer, face: Fill, mark: Colour, radius: float, *, small: bool = False) -> None:
    """Draw a watch's face: marks, hands at ten past ten, and small dials of a chronograph."""
    layer.piece(ellipse(180, 240, radius, radius), face, depth=6, shade=0.45, glow=0)
    for minute in range(60):
        inner, width = (0.84, 2.8) if minute % 5 == 0 else (0.92, 0.8)
        layer.flat(ribbon(_spoke(minute * 6, radius * inner, radius * 0.96), width), mark)
    if small:
        for x, y in ((152, 240), (208, 240), (180, 270)):
            layer.piece(
                ellipse(x, y, 15, 15),
                lighter(mark, 0.1) if mark != WHITE else (66, 70, 84),
                depth=2,
                opacity=0.35 if mark != WHITE else 1,
            )
            layer.seam(ellipse(x, y, 15, 15), mark, 0.8, opacity=0.7)
            layer.flat(ribbon(_spoke(60 + x, 0, 11, x, y), 1.2), mark)
    hands = ((305, 0.52, 5.5), (60, 0.76, 4))
    for angle, length, width in hands:
        hand = ribbon(_spoke(angle, -8, radius * length), width, width * 0.5)
        layer.shadow(moved(hand, 1.5, 2.5), 0.35, blur=1)
        layer.piece(hand, mark, depth=1, rim=0.6)
    layer.flat(ribbon(_spoke(200, -14, radius * 0.82), 1.3), (206, 44, 48))
    layer.piece(ellipse(180, 240, 4, 4), mark, depth=1)
    glare = outline("130,196 160,178 196,174 170,196 140,226")
    layer.gloss(glare, 0.14, blur=4)


def watch_case(layer: Layer, metal: Fill, radius: float) -> None:
    """Draw the case of a round watch, with lugs and a crown."""
    for lug in both(outline("132,150! 150,150! 152,184! 118,206! 122,176")):
        layer.piece(lug, metal, depth=3, glow=0.5, rim=0.6)
        layer.piece([(x, 480 - y) for x, y in lug], metal, depth=3, glow=0.5, rim=0.6)
    layer.piece(box(180 + radius - 2, 231, 180 + radius + 12, 249, 3), metal, depth=2, rim=0.7)
    layer.piece(ellipse(180, 240, radius, radius), metal, depth=6, shade=0.6, glow=0.8, rim=0.6)
    layer.piece(ellipse(180, 240, radius - 9, radius - 9), (90, 92, 98), depth=2, rim=0.5)


def strap_watch(
    strap: Fill, trim: Colour, metal: Fill, face: Fill, mark: Colour, *, small: bool = False
) -> Layer:
    """Draw a round watch on a leather strap."""
    layer = Layer()
    upper = outline("146,170! 150,90 152,24! 164,16 196,16 208,24! 210,90 214,170!")
    lower = outline("146,310! 150,390 154,446! 168,464 192,464 206,446! 210,390 214,310!")
    for part in (upper, lower):
        layer.piece(part, strap, depth=7, shade=0.5, glow=0.35, rim=0.6)
        layer.seam(scaled(part, 0.9, (180, part[0][1])), lighter(trim, 0.5), 0.9, dash=2.8)
    for y in (366, 386, 406, 426):
        layer.flat(ellipse(180, y, 3, 3.6), darker(trim, 0.8))
    layer.piece(box(144, 16, 216, 34, 5), metal, holes=[box(151, 21, 209, 30, 2)], depth=2, rim=0.7)
    layer.piece(box(147, 58, 213, 72, 3), strap, depth=3, glow=0.4, rim=0.8)
    watch_case(layer, metal, 80)
    dial(layer, face, mark, 69, small=small)
    return layer


def steel_watch(metal: Fill, link: Colour, face: Fill, mark: Colour) -> Layer:
    """Draw a round watch on a bracelet of metal links."""
    layer = Layer()
    for i in range(12):
        for sign in (-1, 1):
            y = 240 + sign * (76 + i * 13.2)
            half = 33 - i * 0.7
            for x0, x1 in ((-half, -half * 0.38), (-half * 0.36, half * 0.36), (half * 0.38, half)):
                tone = link if x0 == -half or x1 == half else lighter(link, 0.3)
                layer.piece(
                    box(180 + x0, y - 6.2, 180 + x1, y + 6.2, 2.4),
                    tone,
                    depth=2.4,
                    shade=0.6,
                    glow=0.7,
                    rim=0.7,
                )
    watch_case(layer, metal, 80)
    dial(layer, face, mark, 69)
    layer.piece(box(222, 232, 240, 248, 1), WHITE, depth=1, rim=0.6)
    return layer


SEGMENTS = {"0": "abcdef", "1": "bc", "2": "abged", "4": "fgbc", "5": "afgcd", "8": "abcdefg"}


def digit(layer: Layer, sign: str, x: float, y: float, size: float) -> None:
    """Show a digit of seven segments."""
    w, h = size, size * 0.95
    ends = {
        "a": ((0, 0), (w, 0)),
        "b": ((w, 0), (w, h)),
        "c": ((w, h), (w, 2 * h)),
        "d": ((0, 2 * h), (w, 2 * h)),
        "e": ((0, h), (0, 2 * h)),
        "f": ((0, 0), (0, h)),
        "g": ((0, h), (w, h)),
    }
    for name in SEGMENTS[sign]:
        (ax, ay), (bx, by) = ends[name]
        layer.flat(ribbon([(x + ax, y + ay), (x + bx, y + by)], size * 0.24), (36, 44, 40))


def digital_watch(strap: Fill, trim: Colour, accent: Colour) -> Layer:
    """Draw a digital sports watch on a rubber strap."""
    layer = Layer()
    for part in (
        outline("138,170! 146,90 150,20! 210,20! 214,90 222,170!"),
        outline("138,310! 146,390 152,450! 166,462 194,462 208,450! 214,390 222,310!"),
    ):
        layer.piece(part, strap, depth=8, shade=0.5, glow=0.35, rim=0.6)
    for y in (50, 80, 110, 360, 390, 420):
        layer.flat(box(168, y, 192, y + 8, 4), darker(trim, 0.7), 0.8)
    for x, y in ((98, 204), (98, 264), (254, 204), (254, 264)):
        layer.piece(box(x - 6, y - 10, x + 14, y + 10, 4), PALETTE["Steel"], depth=3, rim=0.7)
    body = symmetric("180,150 130,152 104,176! 100,240 104,304! 130,328 180,330")
    layer.piece(body, strap, depth=10, shade=0.5, glow=0.45, rim=0.7)
    layer.seam(scaled(body, 0.9, (180, 240)), accent, 3, opacity=1)
    layer.piece(box(122, 186, 238, 294, 12), darker(trim, 0.6), depth=4)
    layer.piece(box(130, 204, 230, 282, 6), (186, 200, 180), depth=5, shade=0.35, glow=0)
    for sign, x in zip("1025", (138, 158, 186, 208), strict=True):
        digit(layer, sign, x, 226, 14)
    for y in (233, 247):
        layer.flat(box(178, y - 2, 181, y + 2), (36, 44, 40))
    layer.flat(box(138, 264, 222, 267), (36, 44, 40), 0.6)
    layer.flat(box(140, 211, 176, 217), (36, 44, 40), 0.7)
    layer.gloss(outline("132,206! 186,206! 150,280! 132,280!"), 0.16, blur=2)
    return layer
