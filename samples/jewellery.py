"""Sunglasses and jewellery."""

import math

from samples.canvas import Fill, Layer
from samples.colours import PALETTE, Colour, darker, lighter
from samples.patterns import gradient
from samples.shapes import (
    arch,
    box,
    ellipse,
    evenly,
    line,
    moved,
    outline,
    ribbon,
    scaled,
    spaced,
    symmetric,
)
from samples.uppers import both


def wayfarer(frame: Fill, trim: Colour, top: Colour, low: Colour) -> Layer:
    """Draw sunglasses with a thick plastic frame."""
    layer = Layer()
    for arm in both(outline("30,206! 38,200! 86,178! 100,186! 52,216!")):
        layer.piece(arm, darker(trim, 0.2), depth=3, rim=0.6)
    rim = outline(
        "18,196! 40,186 100,186 152,196! 170,206! 168,230 158,262 128,284 84,286 50,272 "
        "34,236 28,214!"
    )
    lens = outline("42,206! 70,200 120,202 152,212! 150,234 142,256 120,270 86,272 60,260 48,234")
    for side, hole in zip(both(rim), both(lens), strict=True):
        layer.piece(hole, gradient_lens(top, low), depth=4, shade=0.3, glow=0.1, rim=0.5)
        layer.piece(side, frame, holes=[hole], depth=5, shade=0.5, glow=0.5, rim=0.7)
    layer.piece(symmetric("180,200 156,196! 160,218! 170,212 180,211"), frame, depth=3, glow=0.5)
    for sheen in ("60,212! 82,208! 66,252! 54,238!", "96,206! 106,206! 84,266! 76,262!"):
        layer.gloss(outline(sheen), 0.28, blur=1.5)
        layer.gloss(moved(outline(sheen), 154, 0), 0.28, blur=1.5)
    for x in (30, 330):
        layer.piece(box(x - 4, 200, x + 4, 205, 2), PALETTE["Silver"], depth=1)
    return layer


def gradient_lens(top: Colour, low: Colour) -> Fill:
    """Give the tint of a lens, darker above."""
    sheet = gradient(top, low)
    return sheet.resize(sheet.size, box=(0, sheet.height * 0.15, sheet.width, sheet.height * 0.85))


def aviator(metal: Colour, top: Colour, low: Colour) -> Layer:
    """Draw sunglasses with drop-shaped lenses in a thin metal frame."""
    layer = Layer()
    for arm in both(line("34,206 60,190 96,182")):
        layer.piece(ribbon(arm, 4), metal, depth=1.5, rim=0.6)
    lens = outline("36,206 66,192 120,192 154,202 160,224 148,266 118,292 82,290 50,264 34,228")
    for path in both(lens):
        layer.piece(path, gradient_lens(top, low), depth=7, shade=0.35, glow=0.1, rim=0)
        layer.piece(ribbon([*path, path[1]], 4.4), metal, depth=1.6, glow=0.7, rim=0.6)
    layer.piece(ribbon(arch("148,198 164,194 180,193"), 4.4), metal, depth=1.6, glow=0.7, rim=0.6)
    layer.piece(ribbon(arch("158,220 168,212 180,211"), 4.4), metal, depth=1.6, glow=0.7, rim=0.6)
    for pad in both(ellipse(160, 240, 4, 9)):
        layer.piece(pad, (236, 236, 232), depth=2, rim=0.6)
    for x in (0, 170):
        layer.gloss(moved(outline("54,208! 84,202! 66,250! 52,236!"), x, 0), 0.3, blur=1.5)
        layer.gloss(moved(outline("98,202! 108,202! 84,270! 76,262!"), x, 0), 0.3, blur=1.5)
    return layer


def bead(layer: Layer, x: float, y: float, radius: float, colour: Colour) -> None:
    """Draw a shiny ball."""
    layer.shadow(ellipse(x + 1, y + 2, radius, radius), 0.3, blur=1.5)
    layer.piece(
        ellipse(x, y, radius, radius), colour, depth=radius * 0.7, shade=0.7, glow=0.5, rim=0.5
    )
    layer.gloss(
        ellipse(x - radius * 0.35, y - radius * 0.4, radius * 0.28, radius * 0.22), 0.9, blur=0.5
    )


def gem(layer: Layer, x: float, y: float, radius: float, colour: Colour) -> None:
    """Draw a cut stone of eight facets."""
    corner = [
        (x + radius * math.sin(math.tau * k / 8), y - radius * math.cos(math.tau * k / 8))
        for k in range(9)
    ]
    table = scaled(corner, 0.52, (x, y))
    for k in range(8):
        facet = [corner[k], corner[k + 1], table[k + 1], table[k]]
        share = (0.6, 0.1, -0.3, -0.5, -0.3, 0.0, 0.4, 0.75)[k]
        tone = lighter(colour, share) if share > 0 else darker(colour, -share)
        layer.piece(facet, tone, depth=1, rim=0.25)
    layer.piece(table[:8], lighter(colour, 0.35), depth=radius * 0.3, glow=0.6, rim=0.3)
    layer.gloss(
        outline(f"{x - radius * 0.4},{y}! {x},{y - radius * 0.45}! {x - radius * 0.1},{y}!"),
        0.8,
        blur=0.5,
    )


def chain_necklace(metal: Colour, stone: Colour) -> Layer:
    """Draw a chain with a pendant."""
    layer = Layer()
    chain = arch("112,50 72,110 74,200 122,286 180,328")
    for i, (x, y) in enumerate(spaced(chain, 5.6)):
        rx, ry = (4.4, 3) if i % 2 else (3, 4.4)
        layer.piece(
            ellipse(x, y, rx, ry),
            metal,
            holes=[ellipse(x, y, rx - 1.6, ry - 1.6)],
            depth=1,
            glow=0.6,
            rim=0.6,
        )
    layer.piece(ellipse(180, 336, 7, 9), metal, holes=[ellipse(180, 336, 4, 6)], depth=1.5, rim=0.7)
    drop = symmetric("180,340! 160,366 148,392 156,416 180,426")
    layer.piece(drop, metal, depth=5, shade=0.6, glow=0.8, rim=0.6)
    gem(layer, 180, 392, 22, stone)
    return layer


def hoop_earrings(metal: Colour, stone: Colour) -> Layer:
    """Draw a pair of earrings: a hook, a ring and a hanging stone."""
    layer = Layer()
    for x in (110, 250):
        layer.seam(
            line(f"{x},132 {x + 2},108 {x + 14},100 {x + 22},112 {x + 22},132"),
            metal,
            2.6,
            opacity=1,
        )
        hook = ribbon(line(f"{x},134 {x + 1},110 {x + 12},98 {x + 23},108 {x + 24},140"), 3)
        layer.piece(hook, metal, depth=1, glow=0.7, rim=0.6)
        bead(layer, x, 140, 7, metal)
        outer = ellipse(x, 206, 52, 58)
        layer.piece(
            outer, metal, holes=[ellipse(x, 205, 45, 51)], depth=3, shade=0.6, glow=0.9, rim=0.7
        )
        layer.seam([(x, 148), (x, 186)], metal, 2, opacity=1)
        drop = [
            (px + x - 180, py - 150)
            for px, py in symmetric("180,334! 162,362 156,384 166,402 180,408")
        ]
        layer.piece([(px, py) for px, py in drop], metal, depth=4, glow=0.8, rim=0.6)
        gem(layer, x, 230, 16, stone)
        for k, dx in enumerate((-30, -16, 0, 16, 30)):
            y = 204 + 58 * math.sqrt(1 - (dx / 52) ** 2)
            layer.seam([(x + dx, y - 2), (x + dx, y + 12)], metal, 1.6, opacity=1)
            bead(layer, x + dx, y + 18, 5.5, stone if k % 2 == 0 else metal)
    return layer


def bead_bracelet(colours: tuple[Colour, ...], metal: Colour) -> Layer:
    """Draw a bracelet of beads lying on a table."""
    layer = Layer()
    points = evenly(ellipse(180, 240, 124, 92, -90, 270), 34)[:-1]
    order = sorted(range(len(points)), key=lambda i: points[i][1])
    for i in order:
        x, y = points[i]
        radius = 11 + (y - 240) / 92 * 1.6
        bead(layer, x, y, radius, metal if i % 5 == 0 else colours[i % len(colours)])
    return layer


def diamond_ring(metal: Fill, tone: Colour, stone: Colour) -> Layer:
    """Draw a ring with a large stone."""
    layer = Layer()
    layer.piece(
        ellipse(180, 280, 102, 106),
        metal,
        holes=[ellipse(180, 282, 86, 89)],
        depth=6,
        shade=0.6,
        glow=0.9,
        rim=0.7,
    )
    layer.seam(ellipse(180, 282, 90, 93), darker(tone, 0.5), 1.4, opacity=0.5)
    for claw in both(outline("140,194! 150,190! 172,168! 166,148! 150,164 138,184")):
        layer.piece(claw, metal, depth=3, glow=0.7, rim=0.6)
    gem(layer, 180, 138, 46, stone)
    for cx, cy in ((139, 120), (221, 120), (139, 158), (221, 158)):
        bead(layer, cx, cy, 5, tone)
    for angle in (-126, -118, -62, -54):
        x, y = ellipse(180, 281, 94, 98, angle, angle + 1)[0]
        gem(layer, x, y, 6, stone)
    return layer
