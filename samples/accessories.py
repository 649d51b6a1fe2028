"""Accessories of cloth and leather: belts, ties, caps, socks, scarves and umbrellas."""

from samples.canvas import Fill, Layer
from samples.colours import PALETTE, Colour, darker, lighter
from samples.patterns import ribbed
from samples.shapes import (
    box,
    ellipse,
    line,
    moved,
    outline,
    ribbon,
)
from samples.uppers import Cloth, both


def belt(fill: Fill, trim: Colour, metal: Fill) -> Layer:
    """Draw a rolled-up belt, its buckle in front."""
    layer = Layer()
    layer.piece(ellipse(180, 214, 142, 52), darker(trim, 0.55), depth=6)
    layer.piece(ellipse(180, 216, 136, 47), darker(trim, 0.35), depth=6, shade=0.6)
    inner = [*ellipse(180, 216, 132, 44, 180, 360), *ellipse(180, 270, 132, 44, 360, 180)]
    layer.piece(inner, darker(trim, 0.4), depth=10, shade=0.6, glow=0)
    for k in range(3):
        layer.seam(
            ellipse(180, 215, 140 - k * 4, 50 - k * 3), lighter(trim, 0.25), 0.9, opacity=0.5
        )
    front = [*ellipse(180, 216, 142, 52, 180, 0), *ellipse(180, 276, 142, 52, 0, 180)]
    layer.piece(front, fill, depth=12, shade=0.55, glow=0.4, rim=0.7)
    for y in (222, 270):
        layer.seam(ellipse(180, y, 140, 51, 172, 8), lighter(trim, 0.45), 1, dash=3)
    tail = outline("190,264! 240,258 300,238 326,226 338,244 328,268 290,300 240,318 190,326!")
    layer.shadow(moved(tail, 1, 5), 0.35, blur=4)
    layer.piece(tail, fill, depth=8, shade=0.5, glow=0.35, rim=0.7)
    for x, y in ((244, 288), (266, 281), (288, 271)):
        layer.flat(ellipse(x, y, 3, 3.6), darker(trim, 0.75))
    frame = box(112, 254, 206, 338, 12)
    layer.shadow(moved(frame, 3, 5), 0.4, blur=4)
    layer.piece(frame, metal, holes=[box(126, 268, 192, 324, 6)], depth=4, glow=0.7, rim=0.7)
    layer.piece(ribbon([(122, 296), (204, 296)], 8), metal, depth=2, glow=0.7, rim=0.7)
    layer.piece(outline("218,254! 236,250! 236,332! 218,336!"), fill, depth=4, glow=0.4, rim=0.8)
    return layer


def tie(cloth: Cloth, trim: Colour) -> Layer:
    """Draw a knotted necktie."""
    layer = Layer()
    for loop in both(outline("166,54! 140,30 132,16! 146,12! 180,46!")):
        layer.piece(loop, cloth(45), depth=4)
    layer.piece(outline("172,96! 192,96! 206,380! 194,404! 180,380!"), darker(trim, 0.3), depth=4)
    blade = outline("168,88! 192,88! 206,220 222,400! 180,462! 138,400! 154,220")
    layer.shadow(moved(blade, 3, 5), 0.3, blur=4)
    layer.piece(blade, cloth(0), depth=12, shade=0.5, glow=0.3)
    layer.fold(line("178,96 174,160 168,230"), 12, 0.34)
    layer.fold(line("188,92 192,150 196,200"), 8, 0.24)
    layer.fold(line("172,260 166,340 158,420"), 12, 0.14)
    knot = outline("150,42! 180,36 210,42! 204,66 194,92! 180,97 166,92! 156,66")
    layer.shadow(moved(knot, 0, 6), 0.45, blur=4)
    layer.piece(knot, cloth(70), depth=9, shade=0.55, glow=0.4, rim=0.6)
    return layer


def cap(fill: Fill, trim: Colour, peak: Fill, badge: Colour) -> Layer:
    """Draw a baseball cap, its peak to the left."""
    layer = Layer()
    dome = outline(
        "96,290! 96,240 112,190 150,154 206,142 262,156 304,198 322,250 324,300! 240,312 150,304"
    )
    layer.piece(dome, fill, depth=18, shade=0.5, glow=0.3)
    for text in ("204,142 166,190 152,300", "208,142 254,196 270,306"):
        layer.seam(line(text), darker(trim, 0.5), 1.6, opacity=0.7)
        layer.seam(moved(line(text), 4, 0), lighter(trim, 0.4), 0.8, dash=2.6, opacity=0.6)
        layer.seam(moved(line(text), -4, 0), lighter(trim, 0.4), 0.8, dash=2.6, opacity=0.6)
    for x, y in ((142, 206), (222, 206), (290, 222)):
        layer.piece(ellipse(x, y, 4, 4), lighter(trim, 0.25), depth=1)
        layer.flat(ellipse(x, y, 2, 2), darker(trim, 0.7))
    layer.piece(ellipse(206, 141, 9, 5), peak, depth=3, rim=0.7)
    layer.seam(line("100,284 150,294 240,302 322,290"), darker(trim, 0.5), 1.2, opacity=0.5)
    brim = outline(
        "98,276! 60,282 24,300 12,324 26,338 70,330 130,322 190,322 222,318! 200,296 150,280"
    )
    layer.shadow(moved(brim, 2, -6), 0.3, blur=5)
    layer.piece(brim, peak, depth=9, shade=0.5, glow=0.35, rim=0.6)
    for k in range(3):
        text = f"{96 - k * 14},{284 + k * 5} {56 - k * 6},{296 + k * 5} {34 + k * 4},{320 + k * 2}"
        layer.seam(line(text), darker(trim, 0.4), 0.9, dash=2.6, opacity=0.5)
    layer.piece(ellipse(122, 246, 17, 23), badge, depth=3, rim=0.6)
    layer.flat(outline("122,230! 133,262! 122,254! 111,262!"), darker(trim, 0.2))
    return layer


def socks(cloth: Cloth, trim: Colour, heel: Colour) -> Layer:
    """Draw a pair of socks, one lying over the other."""
    layer = Layer()
    foot = outline(
        "70,60! 142,56! 146,130 144,220 152,262 190,290 232,318 248,346 236,372 204,380 160,368 "
        "110,346 78,318 66,276 72,200 72,120"
    )
    for dx, dy in ((74, 40), (6, 0)):
        path = moved(foot, dx, dy)
        layer.shadow(moved(path, 5, 8), 0.35, blur=6)
        layer.piece(path, cloth(0), depth=13, shade=0.5, glow=0.3)
        corner = outline("66,262! 100,268 112,300 104,344! 84,326 70,300")
        layer.piece(moved(corner, dx, dy), heel, depth=6, rim=0.4)
        toe = outline("218,309! 240,326 249,346 237,372 206,380 192,378! 198,340")
        layer.piece(moved(toe, dx, dy), heel, depth=7, rim=0.4)
        cuff = outline("69,58! 143,54! 146,100! 108,106 71,102!")
        layer.piece(moved(cuff, dx, dy), ribbed(trim, pitch=4), depth=6, rim=0.5)
        for text in (
            "140,236 124,262 100,272",
            "146,256 136,284 122,300",
            "78,160 100,168 130,164",
        ):
            layer.fold(moved(line(text), dx, dy), 8, 0.25)
    return layer


def scarf(cloth: Cloth, trim: Colour) -> Layer:
    """Draw a scarf, looped once, with fringes."""
    layer = Layer()
    tails = (
        ("150,140! 206,150! 226,260 232,392! 168,398! 160,260", (168, 398), (232, 392), 7),
        ("136,150! 190,140! 182,250 168,356! 102,350! 118,250", (102, 350), (168, 356), -7),
    )
    for text, (x0, y0), (x1, y1), lean in tails:
        for k in range(14):
            x, y = x0 + (x1 - x0) * (k + 0.5) / 14, y0 + (y1 - y0) * (k + 0.5) / 14
            thread = line(f"{x},{y - 4} {x + (k % 3 - 1) * 2},{y + 16} {x - lean / 3},{y + 34}")
            layer.piece(ribbon(thread, 3.4, 2), trim, depth=1, rim=0.5)
        tail = outline(text)
        layer.shadow(moved(tail, 4, 5), 0.35, blur=6)
        layer.piece(tail, cloth(-lean), depth=11, shade=0.5)
        for share in (0.3, 0.65):
            top, low = 140 + 60 * share, x0 + (x1 - x0) * share
            layer.fold(line(f"{top},170 {(top + low) / 2},260 {low},350"), 12, 0.22)
    layer.piece(ellipse(180, 118, 101, 66), darker(trim, 0.5), depth=8, glow=0)
    loop = outline(
        "84,92! 98,128 140,154 182,158 224,152 262,128 276,90! 290,112 284,158 250,196 196,212 "
        "136,206 88,180 70,136 74,106"
    )
    back = outline(
        "78,108! 84,70 126,46 180,42 236,46 276,70 286,108! 270,84 230,66 180,62 130,66 96,84"
    )
    layer.piece(back, cloth(90), depth=8)
    layer.shadow(moved(loop, 0, 8), 0.4, blur=6)
    layer.piece(loop, cloth(90), depth=14, shade=0.5, glow=0.3)
    for text in ("82,120 110,168 180,184", "92,150 130,186 190,196", "278,116 250,166 190,180"):
        layer.fold(line(text), 10, 0.3)
    return layer


def umbrella(colours: tuple[Colour, ...], trim: Colour) -> Layer:
    """Draw an open umbrella with a crooked handle."""
    layer = Layer()
    steel = PALETTE["Steel"]
    layer.piece(box(177, 40, 183, 380), steel, depth=2, glow=0.6)
    crook = line("180,368 180,420 190,440 208,440 218,422 218,410")
    layer.piece(ribbon(crook, 11), PALETTE["Brown"], depth=4, glow=0.5, rim=0.6)
    edges = [24, 66, 128, 232, 294, 336]
    waves = [232, 240, 246, 246, 240, 232]
    under = outline("24,232! 66,240! 128,246! 232,246! 294,240! 336,232! 180,214")
    layer.piece(under, darker(trim, 0.6), depth=4, glow=0)
    layer.piece(ribbon([(180, 246), (180, 230)], 6), steel, depth=2)
    for i in (0, 4, 1, 3, 2):
        ax, ay, bx, by = edges[i], waves[i], edges[i + 1], waves[i + 1]
        sides = []
        for x, y in ((ax, ay), (bx, by)):
            sides.append(f"{180 + (x - 180) * 0.72},{62 + (y - 62) * 0.36}")
        dip = f"{(ax + bx) / 2},{min(ay, by) - 13}"
        text = f"180,60! {sides[1]} {bx},{by}! {dip} {ax},{ay}! {sides[0]}"
        layer.piece(
            outline(text), colours[i % len(colours)], depth=9, shade=0.5, glow=0.35, rim=0.6
        )
    layer.piece(box(177, 36, 183, 62, 2), steel, depth=1.5)
    return layer
