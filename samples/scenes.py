"""Scenes: pictures that show no garment, for which a tagger should ask a person."""

import math
from random import Random

from samples.canvas import Layer
from samples.colours import INK, WHITE, Colour, darker, lighter
from samples.patterns import gradient
from samples.shapes import box, ellipse, line, moved, outline, ribbon, symmetric
from samples.uppers import both

FULL = box(-20, -20, 380, 500)


def _sky(layer: Layer, top: Colour = (104, 168, 226), low: Colour = (222, 238, 248)) -> None:
    layer.piece(FULL, gradient(top, low), depth=1, shade=0, glow=0, rim=0)


def _cloud(layer: Layer, x: float, y: float, size: float) -> None:
    for dx, dy, r in ((-26, 4, 16), (-8, -6, 22), (16, -2, 19), (34, 6, 13)):
        layer.flat(ellipse(x + dx * size, y + dy * size, r * size * 1.2, r * size), WHITE, 0.85, 2)


def _crown(layer: Layer, x: float, y: float, size: float, green: Colour, rng: Random) -> None:
    """Draw the leaves of a tree as a heap of round tufts."""
    for i in range(26):
        angle, far = rng.uniform(0, math.tau), size * math.sqrt(rng.random()) * 0.8
        cx, cy = x + far * math.cos(angle), y + far * math.sin(angle) * 0.85
        tone = lighter(green, 0.25 * rng.random()) if i > 12 else darker(green, 0.2 * rng.random())
        layer.piece(ellipse(cx, cy, size * 0.34, size * 0.32), tone, depth=6, rim=0)


def fruit_bowl() -> Layer:
    """Draw a bowl of apples, oranges and a banana on a table."""
    layer = Layer()
    layer.piece(FULL, gradient((206, 220, 222), (238, 240, 234)), depth=1, shade=0, glow=0, rim=0)
    layer.piece(box(-20, 330, 380, 500), gradient((120, 80, 50), (190, 134, 86)), depth=2, rim=0)
    layer.shadow(ellipse(190, 416, 120, 18), 0.5, blur=8)
    layer.piece(ellipse(180, 268, 136, 32), (60, 96, 130), depth=5)
    banana = outline(
        "70,250! 84,196 128,156 186,142 232,150! 236,160! 196,170 150,196 122,232 110,262!"
    )
    layer.piece(banana, (246, 210, 72), depth=10, shade=0.5)
    layer.piece(outline("230,148! 244,142! 248,152! 236,162!"), (110, 84, 40), depth=2)
    fruits = (
        (236, 214, (238, 142, 40)),
        (128, 234, (206, 46, 44)),
        (190, 218, (128, 178, 60)),
        (252, 250, (206, 46, 44)),
        (164, 260, (238, 142, 40)),
        (214, 262, (206, 46, 44)),
    )
    for x, y, colour in fruits:
        layer.shadow(ellipse(x + 3, y + 6, 38, 38), 0.4, blur=5)
        layer.piece(ellipse(x, y, 38, 36), colour, depth=18, shade=0.6, glow=0.35)
        layer.gloss(ellipse(x - 13, y - 14, 7, 5), 0.6, blur=2)
        if colour[1] < 100 or colour[0] < 150:
            layer.shadow(ellipse(x, y - 30, 9, 4), 0.4, blur=2)
            layer.piece(
                ribbon(line(f"{x},{y - 28} {x + 3},{y - 40} {x + 8},{y - 48}"), 4),
                (96, 66, 40),
                depth=1,
            )
            layer.piece(
                outline(
                    f"{x + 4},{y - 40}! {x + 16},{y - 54} {x + 32},{y - 50}! {x + 20},{y - 38}"
                ),
                (84, 140, 60),
                depth=3,
            )
    bowl = symmetric("180,292 110,288 44,268! 52,330 86,384 132,410! 180,414")
    layer.piece(bowl, (92, 140, 180), depth=20, shade=0.6, glow=0.4)
    layer.seam(line("52,300 110,322 180,327 250,322 308,300"), WHITE, 5, opacity=0.8)
    return layer


def house() -> Layer:
    """Draw a house with a tree on a meadow."""
    layer = Layer()
    rng = Random(5)  # noqa: S311 - a drawing's seed
    _sky(layer)
    _cloud(layer, 90, 80, 1.1)
    _cloud(layer, 280, 120, 0.8)
    layer.piece(
        outline("-20,330! 80,300 220,306 380,290! 380,500! -20,500!"),
        (122, 172, 84),
        depth=6,
        rim=0,
    )
    layer.shadow(outline("60,392! 270,392! 330,412! 90,412!"), 0.3, blur=6)
    layer.piece(box(66, 250, 256, 396), (238, 224, 196), depth=8, shade=0.4)
    layer.piece(box(206, 160, 230, 230), (150, 82, 66), depth=4)
    layer.piece(outline("46,258! 96,170! 226,170! 276,258!"), (176, 74, 58), depth=8)
    for y in range(184, 258, 12):
        layer.seam(
            [(100 - (y - 170) * 0.56, y), (222 + (y - 170) * 0.56, y)],
            (90, 34, 30),
            1.2,
            opacity=0.5,
        )
    for x in (86, 196):
        layer.piece(box(x, 282, x + 42, 330), WHITE, depth=2)
        layer.piece(box(x + 4, 286, x + 38, 326), gradient((60, 90, 120), (160, 200, 220)), depth=3)
        layer.flat(box(x + 19.5, 284, x + 22.5, 328), WHITE)
        layer.flat(box(x + 2, 304, x + 40, 307), WHITE)
    layer.piece(box(142, 306, 182, 396, 3), (110, 66, 44), depth=4)
    layer.piece(ellipse(174, 354, 3, 3), (230, 190, 90), depth=1)
    layer.piece(outline("142,396! 182,396! 216,490! 120,490!"), (206, 190, 158), depth=4, rim=0.2)
    layer.piece(
        outline("300,300! 316,300! 318,380 328,420! 286,420! 298,380"), (104, 74, 50), depth=5
    )
    _crown(layer, 308, 236, 62, (70, 134, 62), rng)
    return layer


def cat() -> Layer:
    """Draw a ginger cat that sits and looks at you."""
    layer = Layer()
    fur, dark = (226, 148, 72), (176, 98, 44)
    layer.piece(FULL, gradient((150, 176, 190), (214, 222, 220)), depth=1, shade=0, glow=0, rim=0)
    layer.piece(box(-20, 376, 380, 500), (150, 96, 88), depth=2, rim=0)
    layer.shadow(ellipse(190, 434, 120, 18), 0.5, blur=8)
    tail = line("250,410 312,418 332,370 306,316 318,284")
    layer.piece(ribbon(tail, 32, 22), fur, depth=10, shade=0.5)
    layer.piece(
        symmetric("180,210 140,220 104,300 92,390 112,434! 180,440"), fur, depth=20, shade=0.5
    )
    layer.piece(
        symmetric("180,230 152,240 144,300 158,360 180,372"), (248, 228, 200), depth=10, rim=0
    )
    for paw in both(outline("142,330! 172,330! 174,420 170,438 134,440 124,426 138,400")):
        layer.piece(paw, fur, depth=8, shade=0.5)
    for ear in both(outline("112,138! 98,60! 104,56 164,104!")):
        layer.piece(ear, fur, depth=7)
        layer.piece(
            [(x * 0.62 + (47 if x < 180 else 90), y * 0.62 + 44) for x, y in ear],
            (240, 168, 160),
            depth=4,
            rim=0,
        )
    head = symmetric("180,92 136,98 100,130 92,176 112,216 148,238 180,242")
    layer.shadow(moved(head, 0, 8), 0.35, blur=6)
    layer.piece(head, fur, depth=18, shade=0.45)
    for text in (
        "180,94 180,128",
        "164,96 166,122",
        "96,180 122,178",
        "100,198 124,192",
        "110,300 140,306",
        "104,340 136,346",
        "100,376 130,380",
    ):
        for path in both(line(text)):
            layer.flat(ribbon(path, 8, 3), dark, 0.75, 0.8)
    layer.piece(ellipse(160, 206, 25, 20), (250, 236, 214), depth=5, rim=0)
    layer.piece(ellipse(200, 206, 25, 20), (250, 236, 214), depth=5, rim=0)
    for eye in both(ellipse(142, 168, 17, 16)):
        layer.piece(eye, (150, 190, 80), depth=5, rim=0.9)
    for x in (143, 217):
        layer.flat(ellipse(x, 168, 5, 14), INK)
        layer.flat(ellipse(x - 4, 161, 3.6, 4), WHITE)
    layer.piece(outline("170,190! 180,187 190,190! 180,201!"), (222, 118, 118), depth=2)
    layer.seam(line("160,214 170,218 180,202! 190,218 200,214"), INK, 1.8)
    for text in ("150,204 110,198 72,200", "150,210 112,212 76,222"):
        for path in both(line(text)):
            layer.seam(path, WHITE, 1.2, opacity=0.9)
    return layer


def car() -> Layer:
    """Draw a car on a street."""
    layer = Layer()
    _sky(layer, (150, 190, 220), (234, 240, 240))
    for x, top, tone in ((-10, 150, 176), (70, 110, 190), (170, 160, 168), (262, 90, 184)):
        layer.piece(box(x, top, x + 96, 330), (tone, tone - 8, tone - 20), depth=4)
        for wx in range(x + 12, x + 84, 22):
            for wy in range(top + 14, 290, 28):
                layer.flat(box(wx, wy, wx + 12, wy + 16), (104, 124, 144), 0.8)
    layer.piece(box(-20, 318, 380, 500), gradient((70, 72, 78), (116, 118, 122)), depth=2, rim=0)
    for x in range(-10, 380, 80):
        layer.flat(outline(f"{x},436! {x + 44},436! {x + 40},446! {x - 6},446!"), WHITE, 0.85)
    layer.shadow(ellipse(180, 384, 168, 14), 0.6, blur=6)
    body = outline(
        "14,356! 12,320 24,304 84,288 122,250 150,238 226,238 258,252 290,288 334,298 348,320 "
        "348,360! 180,366"
    )
    layer.piece(body, (206, 44, 44), depth=14, shade=0.55, glow=0.4)
    glass = gradient((40, 60, 80), (170, 206, 226))
    layer.piece(outline("104,286! 132,256 152,248 180,247! 180,288!"), glass, depth=4)
    layer.piece(outline("190,247! 224,247 248,258 274,288! 190,288!"), glass, depth=4)
    layer.seam(line("185,246 186,300 182,356"), (90, 14, 20), 1.5)
    layer.seam(line("24,322 180,312 346,322"), (255, 160, 150), 1.6, opacity=0.6)
    for x in (160, 250):
        layer.piece(box(x, 302, x + 18, 307, 2), (230, 230, 230), depth=1)
    layer.piece(outline("16,312! 30,306! 40,314! 34,326! 14,328!"), (255, 240, 190), depth=3)
    layer.piece(outline("338,306! 346,312! 348,326! 334,324!"), (255, 120, 90), depth=2)
    for x in (86, 276):
        layer.piece(ellipse(x, 360, 35, 35), INK, depth=5)
        layer.piece(ellipse(x, 360, 21, 21), (196, 200, 206), depth=5, glow=0.6)
        for k in range(5):
            angle = math.tau * k / 5
            layer.flat(
                ellipse(x + 12 * math.cos(angle), 360 + 12 * math.sin(angle), 4, 4), (70, 74, 80)
            )
    return layer


def landscape() -> Layer:
    """Draw mountains behind a lake."""
    layer = Layer()
    rng = Random(9)  # noqa: S311 - a drawing's seed
    _sky(layer, (246, 170, 110), (255, 234, 190))
    layer.gloss(ellipse(250, 148, 60, 60), 0.5, blur=16)
    layer.flat(ellipse(250, 148, 27, 27), (255, 246, 214), 1, 1)
    layer.piece(
        outline("-20,270! 40,180! 84,224! 150,120! 216,212! 260,176! 380,280! 380,330! -20,330!"),
        (126, 122, 160),
        depth=10,
        rim=0.1,
    )
    for text in (
        "150,120! 172,151! 160,160! 150,150! 140,162! 130,152!",
        "40,180! 54,194! 44,204! 36,196! 27,200!",
    ):
        layer.flat(outline(text), (255, 244, 238), 0.9)
    layer.piece(
        outline("-20,300! 60,262 140,292 230,256 320,288 380,262! 380,340! -20,340!"),
        (78, 98, 106),
        depth=8,
        rim=0.1,
    )
    layer.piece(box(-20, 326, 380, 500), gradient((250, 196, 140), (86, 120, 160)), depth=1, rim=0)
    for _ in range(70):
        x, y = rng.uniform(-20, 360), rng.uniform(330, 430)
        long = rng.uniform(10, 46)
        layer.seam([(x, y), (x + long, y)], rng.choice((WHITE, (120, 110, 150))), 1.4, opacity=0.35)
    layer.gloss(outline("232,328! 268,328! 284,430! 214,430!"), 0.35, blur=7)
    layer.piece(
        outline("-20,430! 80,408 180,430 280,446 380,432! 380,500! -20,500!"),
        (52, 74, 52),
        depth=6,
        rim=0,
    )
    for x, base, tall in ((40, 430, 150), (76, 436, 110), (330, 450, 170), (296, 454, 116)):
        for k in range(6):
            y, half = base - tall * k / 6.5, tall * 0.2 * (1 - k / 6.6)
            layer.piece(
                outline(f"{x},{y - tall * 0.3}! {x + half},{y}! {x},{y + 5} {x - half},{y}!"),
                (36, 62, 48),
                depth=3,
                rim=0,
            )
    return layer
