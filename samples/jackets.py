"""Jackets, seen from the front."""

from samples.canvas import Fill, Layer
from samples.colours import PALETTE, Colour, darker, lighter
from samples.patterns import ribbed
from samples.shapes import Path, arch, box, ellipse, flipped, line, outline, ribbon, symmetric
from samples.uppers import JUMPER, LONG_SLEEVE, both, button, creases, sleeves

THREAD: Colour = (218, 160, 84)
CUFF = "10,316! 27,324 47,323! 43,350! 25,350 8,343!"


def zipper(layer: Layer, path: Path, tape: Colour, metal: Colour, width: float = 6) -> None:
    """Sew in a zip along a line, with its teeth and slider."""
    layer.piece(ribbon(path, width), tape, depth=1.5, rim=0.6)
    layer.seam(path, metal, width * 0.5, dash=1.6, opacity=1)
    x, y = path[0]
    layer.piece(box(x - 3, y, x + 3, y + 9, 2), metal, depth=1.5, rim=0.7)
    layer.piece(box(x - 1.8, y + 8, x + 1.8, y + 22, 1.5), metal, depth=1, rim=0.7)


def bomber(fill: Fill, trim: Colour, lining: Colour) -> Layer:
    """Draw a bomber jacket: zip, ribbed collar, cuffs and hem, slanted pockets."""
    layer = Layer()
    layer.piece(symmetric("180,66 154,66 138,72! 156,108 180,116"), lining, shade=0.6, glow=0)
    layer.piece(ribbon(arch("138,70 156,73 180,74"), 12), ribbed(trim), depth=3)
    sleeves(layer, LONG_SLEEVE, lambda _: fill, 0)
    for cuff in both(outline(CUFF)):
        layer.piece(cuff, ribbed(trim), depth=5)
    layer.piece(symmetric(JUMPER), fill, depth=13, shade=0.5, glow=0.3)
    creases(layer, 1.5)
    layer.piece(symmetric("180,346 94,344! 99,374! 138,378 180,379"), ribbed(trim), depth=5)
    for collar in both(outline("180,112! 160,100 146,66! 134,70! 138,92 154,112 178,124!")):
        layer.piece(collar, ribbed(trim, angle=20), depth=4, rim=0.6)
    for flap in both(outline("120,246! 130,250! 112,306! 102,302!")):
        layer.piece(flap, fill, depth=3, rim=0.7)
    layer.piece(box(170, 118, 190, 376), fill, depth=2, rim=0.4)
    zipper(layer, [(180, 112), (180, 376)], darker(trim, 0.3), PALETTE["Silver"])
    return layer


def denim_jacket(fill: Fill, trim: Colour) -> Layer:
    """Draw a denim jacket: collar, yoke, flapped pockets, metal buttons, pale stitching."""
    layer = Layer()
    layer.piece(symmetric("180,56 156,57 138,66! 156,96 180,108"), darker(trim, 0.5), glow=0)
    sleeves(layer, LONG_SLEEVE, lambda _: fill, 0)
    for cuff in both(outline(CUFF)):
        layer.piece(cuff, fill, depth=4, rim=0.7)
        layer.seam(
            line("12,320 28,328 46,327")
            if cuff[0][0] < 180
            else flipped(line("12,320 28,328 46,327")),
            THREAD,
            0.9,
            dash=2.4,
        )
    layer.piece(symmetric(JUMPER), fill, depth=12, shade=0.5)
    for worn in both(outline("112,170 106,240 120,320 150,320 160,230 140,170")):
        layer.gloss(worn, 0.2, blur=12)
    creases(layer, 1.1)
    for side in both(line("92,140 130,146 172,146")):
        layer.seam(side, darker(trim, 0.5), 1.2)
        layer.seam([(x, y + 3) for x, y in side], THREAD, 0.9, dash=2.4)
    for text in ("122,186 128,260 136,342", "150,186 152,260 156,342"):
        for path in both(line(text)):
            layer.seam(path, darker(trim, 0.5), 1.1, opacity=0.6)
            layer.seam([(x + 2.5, y) for x, y in path], THREAD, 0.9, dash=2.4)
    for pocket in both(outline("114,148! 160,148! 160,164! 137,176! 114,164!")):
        layer.shadow([(x, y + 3) for x, y in pocket], 0.3, blur=2)
        layer.piece(pocket, fill, depth=3, rim=0.7)
    for x in (137, 223):
        button(layer, x, 166, PALETTE["Steel"], 3.4)
    layer.piece(symmetric("180,346 94,342! 97,370! 138,375 180,376"), fill, depth=4, rim=0.6)
    layer.seam(arch("96,348 138,352 180,353"), THREAD, 0.9, dash=2.4)
    layer.piece(outline("170,104! 190,104! 190,376! 170,376!"), fill, depth=2, rim=0.6)
    for edge in (172.5, 187.5):
        layer.seam([(edge, 120), (edge, 374)], THREAD, 0.8, dash=2.4)
    for y in (132, 180, 228, 276, 324, 364):
        button(layer, 180, y, PALETTE["Steel"], 4)
    for leaf in both(outline("180,104! 160,90 142,58! 128,64 120,78 142,126!")):
        layer.shadow([(x + 1, y + 4) for x, y in leaf], 0.3, blur=2.5)
        layer.piece(leaf, fill, depth=4, rim=0.7)
    return layer


def _bands(one: Path, two: Path, count: int) -> list[Path]:
    """Cut the area between a left and a right line into bulging bands, the lowest first."""
    bands = []
    for i in reversed(range(count)):
        a, b = (round(k * (len(one) - 1) / count) for k in (i, i + 1))
        c, d = (round(k * (len(two) - 1) / count) for k in (i, i + 1))
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = one[a], one[b], two[c], two[d]
        puff = (ax + bx) / 2 - 3, (ay + by) / 2
        other = (cx + dx) / 2 + 3, (cy + dy) / 2
        text = (
            f"{ax},{ay}! {puff[0]},{puff[1]} {bx},{by}! {(bx + dx) / 2},{(by + dy) / 2 + 4} "
            f"{dx},{dy}! {other[0]},{other[1]} {cx},{cy}! {(ax + cx) / 2},{(ay + cy) / 2 + 4}"
        )
        bands.append(outline(text))
    return bands


def puffer(fill: Fill, trim: Colour) -> Layer:
    """Draw a quilted jacket with a high collar."""
    layer = Layer()
    outer, inner = line("86,88 56,120 34,200 14,330"), line("112,150 92,190 72,260 54,336")
    for band in _bands(outer, inner, 7):
        for side in (band, flipped(band)):
            layer.piece(side, fill, depth=7, shade=0.55, glow=0.45, rim=0.5)
    layer.piece(symmetric("180,44 152,46 140,56! 152,90 180,98"), darker(trim, 0.55), glow=0)
    flank = line("88,88 96,150 94,250 92,372")
    for band in _bands(flank, [(180, y) for _, y in flank], 8):
        for side in (band, flipped(band)):
            layer.piece(side, fill, depth=9, shade=0.55, glow=0.45, rim=0.5)
    for wedge in both(line("100,170 112,176 132,176")):
        layer.fold(wedge, 8, 0.4)
    for collar in both(outline("180,104! 150,92 136,84! 138,52! 158,64 180,72!")):
        layer.piece(collar, fill, depth=7, shade=0.55, glow=0.45, rim=0.6)
    for pocket in both(line("124,262 114,312")):
        zipper(layer, pocket, darker(trim, 0.4), PALETTE["Silver"], 4)
    zipper(layer, [(180, 78), (180, 378)], darker(trim, 0.4), PALETTE["Silver"])
    return layer


def biker(fill: Fill, trim: Colour) -> Layer:
    """Draw a leather jacket with wide lapels and a slanted zip."""
    layer = Layer()
    metal = PALETTE["Silver"]
    layer.piece(symmetric("180,58 156,58 138,68! 150,130 180,160"), darker(trim, 0.3), glow=0.1)
    sleeves(layer, LONG_SLEEVE, lambda _: fill, 0)
    for cuff in both(outline(CUFF)):
        layer.piece(cuff, fill, depth=4, glow=0.4, rim=0.7)
    for zip_line in both(line("22,300 16,338")):
        zipper(layer, zip_line, darker(trim, 0.3), metal, 3.5)
    layer.piece(symmetric(JUMPER), fill, depth=13, shade=0.5, glow=0.45)
    creases(layer, 1.8)
    layer.piece(symmetric("180,348 94,342! 96,368! 138,374 180,375"), fill, depth=4, glow=0.4)
    layer.piece(outline("160,100! 204,100! 198,200! 176,376! 160,376!"), fill, depth=5, glow=0.3)
    zipper(layer, line("212,150 198,220 180,374"), darker(trim, 0.3), metal)
    left = outline("176,160! 150,120 140,62! 124,72 112,92! 120,112! 108,122! 138,178 172,232!")
    right = outline("196,176! 206,130 220,62! 236,72 248,92! 240,112! 252,122! 236,170 206,222!")
    for lapel in (left, right):
        layer.shadow([(x + 2, y + 4) for x, y in lapel], 0.4, blur=3)
        layer.piece(lapel, fill, depth=6, glow=0.5, rim=0.7)
    for x, y in ((120, 116), (240, 116), (112, 354), (248, 354)):
        layer.piece(ellipse(x, y, 3, 3), metal, depth=1.5)
    for pocket in (line("118,262 152,292"), line("244,262 214,292"), line("226,196 250,214")):
        zipper(layer, pocket, darker(trim, 0.3), metal, 4)
    for sheen in both(outline("104,120 100,200 104,320 112,320 110,200")):
        layer.gloss(sheen, 0.22, blur=5)
    layer.seam(arch("96,348 138,354 180,355"), lighter(trim, 0.3), 0.8, opacity=0.5)
    return layer
