"""Lowers: jeans, trousers, shorts and skirts, laid flat and seen from the front."""

from samples.canvas import Fill, Layer
from samples.colours import PALETTE, Colour, darker, lighter
from samples.shapes import arch, box, ellipse, line, outline, symmetric
from samples.uppers import both, button

THREAD: Colour = (214, 150, 74)
LEGS = "180,54 128,50! 112,110 103,190 101,320 99,438! 126,444 155,445! 164,330 172,230 180,176!"
SLIM = "180,54 132,50! 116,110 110,190 111,320 112,438! 132,443 154,444! 162,330 171,230 180,176!"
BRIEF = "180,54 124,50! 106,120 92,196 78,282! 112,294 160,298! 170,240 180,180!"


def waist(layer: Layer, fill: Fill, trim: Colour, *, left: float = 128) -> None:
    """Paint a waistband with belt loops; the back of it shows above the front."""
    back = symmetric(f"180,42 150,42 {left},49! 150,60 180,62")
    layer.piece(back, darker(trim, 0.5), depth=3, glow=0)
    band = symmetric(f"180,58 150,56 {left},48! {left - 4},66! 150,75 180,77")
    layer.piece(band, fill, depth=3, rim=0.6)


def loops(layer: Layer, fill: Fill) -> None:
    """Sew on the belt loops."""
    for path in both(box(143, 53, 149, 79, 1.5)):
        layer.shadow([(x + 1.5, y + 1) for x, y in path], 0.3, blur=1)
        layer.piece(path, fill, depth=1.5, rim=0.7)


def jeans(cloth: Fill, trim: Colour, *, faded: float = 0.35) -> Layer:
    """Draw five-pocket jeans with orange stitching and worn thighs."""
    layer = Layer()
    layer.piece(symmetric(LEGS), cloth, depth=12, shade=0.5)
    for thigh in both(outline("138,130 128,190 126,290 138,330 148,290 150,190")):
        layer.gloss(thigh, faded, blur=10)
    for text, width, dark in (
        ("178,172 160,178 136,176", 8, 0.34),
        ("176,180 158,196 132,198", 8, 0.26),
        ("116,130 134,142 158,140", 7, 0.2),
        ("106,300 124,310 150,304", 9, 0.26),
        ("158,318 140,330 116,328", 8, 0.2),
        ("102,410 120,420 148,414", 9, 0.24),
    ):
        for path in both(line(text)):
            layer.fold(path, width, dark)
    layer.shadow(line("180,170 174,240 164,330 156,444 178,444 180,300"), 0.16, blur=5)
    stitches(layer)
    waist(layer, cloth, trim)
    layer.seam(arch("128,53 150,60 180,62"), THREAD, 0.9, dash=2.6)
    layer.seam(arch("126,62 150,71 180,73"), THREAD, 0.9, dash=2.6)
    loops(layer, cloth)
    button(layer, 180, 68, PALETTE["Steel"], 4.4)
    return layer


def stitches(layer: Layer) -> None:
    """Stitch the pockets, the fly, the rivets and the hems of a pair of jeans."""
    for depth in (0, 3.5):
        for pocket in both(line(f"{152 - depth},76 {146 - depth},102 {118 - depth},{116 - depth}")):
            layer.seam(pocket, THREAD, 1, dash=2.6)
    for hem in both(line("100,429 126,435 155,436")):
        layer.seam(hem, THREAD, 1, dash=2.6)
    for side in both(line("122,84 110,130 106,200 105,320 103,430")):
        layer.seam(side, THREAD, 0.8, dash=2.6, opacity=0.5)
    layer.seam(line("180,78 180,176"), (20, 24, 48), 1.2, opacity=0.6)
    layer.seam(line("197,78 196,120 192,138 181,150"), THREAD, 1, dash=2.6)
    layer.seam(line("194,78 193,118 189,135 181,146"), THREAD, 1, dash=2.6)
    for x, y in ((150, 80), (121, 112), (210, 80), (239, 112)):
        layer.piece(ellipse(x, y, 1.8, 1.8), THREAD, depth=1)


def trousers(cloth: Fill, trim: Colour) -> Layer:
    """Draw slim trousers with slanted pockets and a pressed crease."""
    layer = Layer()
    layer.piece(symmetric(SLIM), cloth, depth=12, shade=0.45)
    for text, width, dark in (
        ("178,174 160,182 138,180", 8, 0.28),
        ("174,184 158,204 138,214", 7, 0.2),
        ("114,304 128,312 148,306", 8, 0.16),
        ("114,418 128,424 148,420", 8, 0.18),
    ):
        for path in both(line(text)):
            layer.fold(path, width, dark)
    layer.shadow(line("180,170 172,240 162,330 154,444 178,444 180,300"), 0.18, blur=5)
    for crease in both(line("148,90 140,200 136,320 133,440")):
        layer.fold(crease, 5, 0.3, blur=1.2)
    for pocket in both(line("142,76 134,100 120,124")):
        layer.seam(pocket, darker(trim, 0.6), 1.3, opacity=0.7)
    layer.seam(line("180,78 180,176"), darker(trim, 0.6), 1.2, opacity=0.7)
    layer.seam(line("195,78 194,124 181,146"), darker(trim, 0.6), 0.9, opacity=0.5)
    waist(layer, cloth, trim, left=132)
    loops(layer, cloth)
    layer.piece(outline("176,58! 190,58! 194,67! 190,76! 176,76!"), cloth, depth=1.5, rim=0.6)
    button(layer, 186, 67, darker(trim, 0.3), 2.8)
    return layer


def shorts(cloth: Fill, trim: Colour, *, cord: Colour | None = None) -> Layer:
    """Draw shorts with a button, or with a drawn cord as swimmers wear them."""
    layer = Layer()
    layer.piece(symmetric(BRIEF), cloth, depth=11)
    for text, width, dark in (
        ("178,176 158,190 128,194", 9, 0.3),
        ("172,190 154,220 144,260", 9, 0.22),
        ("112,130 106,190 98,260", 9, 0.18),
        ("130,200 124,244 120,286", 10, 0.18),
    ):
        for path in both(line(text)):
            layer.fold(path, width, dark)
    layer.shadow(line("180,172 171,240 160,297 178,297"), 0.2, blur=4)
    for hem in both(line("81,272 113,284 162,288")):
        layer.seam(hem, darker(trim, 0.55), 0.9, dash=2.6, opacity=0.6)
    for pocket in both(line("140,76 130,104 108,134")):
        layer.seam(pocket, darker(trim, 0.6), 1.3, opacity=0.7)
    layer.seam(line("180,78 180,178"), darker(trim, 0.6), 1.1, opacity=0.6)
    waist(layer, cloth, trim, left=124)
    if cord is None:
        layer.seam(line("196,78 195,124 181,148"), darker(trim, 0.5), 0.9, opacity=0.5)
        loops(layer, cloth)
        button(layer, 180, 67, lighter(trim, 0.4), 4)
        return layer
    for x in range(132, 230, 6):
        layer.fold(line(f"{x},58 {x + 1},76"), 3, 0.26, blur=0.8)
    for path in (line("178,68 160,80 156,96 170,94 180,72"), line("180,70 172,96 174,126")):
        layer.seam(path, cord, 2.6, opacity=1)
        layer.seam([(360 - x, y + 1) for x, y in path], cord, 2.6, opacity=1)
    return layer


def pleated_skirt(cloth: Fill, trim: Colour) -> Layer:
    """Draw a skirt of broad pleats under a waistband."""
    layer = Layer()
    count = 9
    for order in (0, 1):
        for i in range(order, count, 2):
            top = [124 + 112 * k / count for k in (i, i + 1)]
            hem = [62 + 236 * k / count for k in (i - 0.12, i + 1.12)]
            drop = [392 - ((x - 180) / 118) ** 2 * 22 for x in hem]
            pleat = [(top[0], 116.0), (top[1], 116.0), (hem[1], drop[1]), (hem[0], drop[0])]
            layer.piece(pleat, cloth, depth=7, shade=0.55, rim=0.5)
    layer.shadow(box(122, 112, 238, 130), 0.3, blur=5)
    layer.seam(arch("68,362 120,378 180,383"), darker(trim, 0.5), 0.9, dash=2.6, opacity=0.5)
    layer.piece(
        symmetric("180,92 150,91 127,86! 122,116! 150,122 180,123"), cloth, depth=4, rim=0.6
    )
    return layer


def pencil_skirt(cloth: Fill, trim: Colour) -> Layer:
    """Draw a straight skirt with a waistband, darts and a slit."""
    layer = Layer()
    body = "180,84 134,80! 112,130 102,190 106,280 114,400! 146,405 180,406"
    layer.piece(symmetric("180,72 150,72 134,79! 150,90 180,92"), darker(trim, 0.5), glow=0)
    layer.piece(symmetric(body), cloth, depth=13, shade=0.5)
    for dart in both(line("152,100 148,150")):
        layer.seam(dart, darker(trim, 0.6), 1.1, opacity=0.6)
    for text in ("108,180 128,196 156,196", "110,250 122,300 120,380", "150,260 154,320 150,396"):
        for path in both(line(text)):
            layer.fold(path, 10, 0.2)
    slit = outline("206,404! 207,322! 216,403!")
    layer.piece(slit, darker(trim, 0.6), depth=2)
    layer.piece(symmetric("180,84 152,82 134,78! 130,98! 152,104 180,106"), cloth, depth=4, rim=0.6)
    layer.seam(arch("115,392 146,397 180,398"), darker(trim, 0.5), 0.8, dash=2.6, opacity=0.5)
    return layer
