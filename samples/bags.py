"""Bags: handbags, backpacks, and wallets."""

from samples.canvas import Fill, Layer
from samples.colours import PALETTE, Colour, darker, lighter
from samples.shapes import (
    Path,
    arch,
    box,
    ellipse,
    flipped,
    line,
    moved,
    outline,
    ribbon,
    spaced,
    symmetric,
)
from samples.uppers import both

GOLD = PALETTE["Gold"]


def ring(layer: Layer, x: float, y: float, metal: Colour, radius: float = 9) -> None:
    """Hang a metal ring."""
    hole = ellipse(x, y, radius - 3, radius - 3)
    layer.piece(ellipse(x, y, radius, radius), metal, holes=[hole], depth=1.5, rim=0.7)


def tote(fill: Fill, trim: Colour, handle: Fill) -> Layer:
    """Draw an open shopper bag with two long handles."""
    layer = Layer()
    far = arch("128,200 132,120 152,76 180,66")
    layer.piece(ribbon(far, 9), darker(trim, 0.45), depth=3)
    layer.piece(symmetric("180,182 120,184 74,192! 120,206 180,208"), darker(trim, 0.6), glow=0)
    body = "180,200 120,198 70,190! 66,280 58,360 52,410! 58,424 70,430 180,432"
    layer.piece(symmetric(body), fill, depth=16, shade=0.5, glow=0.3)
    for text, width in (("76,210 84,300 70,410", 14), ("120,340 130,390 124,424", 12)):
        for path in both(line(text)):
            layer.fold(path, width, 0.2)
    for path in (arch("70,200 120,208 180,210"), arch("59,414 70,420 180,422")):
        layer.seam(path, lighter(trim, 0.45), 1, dash=3)
    near = arch("122,250 122,150 144,92 180,80")
    layer.shadow(ribbon(moved(near[:30], 4, 6), 10), 0.3, blur=3)
    layer.piece(ribbon(near, 10), handle, depth=3, glow=0.4, rim=0.6)
    for tab in both(box(112, 238, 132, 284, 5)):
        layer.shadow(moved(tab, 2, 4), 0.35, blur=2)
        layer.piece(tab, handle, depth=3, glow=0.3, rim=0.7)
    for x in (122, 238):
        ring(layer, x, 238, GOLD)
        layer.piece(ellipse(x, 272, 3, 3), GOLD, depth=1.5)
    return layer


def satchel(fill: Fill, trim: Colour) -> Layer:
    """Draw a stiff handbag with a flap, a turn lock and a top handle."""
    layer = Layer()
    strap = arch("128,200 130,140 150,104 180,98")
    layer.piece(ribbon(strap, 13), fill, depth=5, glow=0.4, rim=0.6)
    body = "180,196 96,196 72,204! 60,290 56,370! 62,392 86,398 180,398"
    layer.piece(symmetric(body), fill, depth=16, shade=0.55, glow=0.25)
    for gusset in both(line("80,214 74,300 74,386")):
        layer.fold(gusset, 10, 0.3)
    layer.seam(arch("66,376 84,388 180,389"), lighter(trim, 0.4), 1, dash=3)
    flap = symmetric("180,188 100,188 76,194! 70,240 74,280! 110,304 150,312 180,314")
    layer.shadow(moved(flap, 2, 8), 0.4, blur=5)
    layer.piece(flap, fill, depth=12, shade=0.45, glow=0.4, rim=0.7)
    layer.seam(arch("76,236 80,273 112,295 150,303 180,305"), lighter(trim, 0.4), 1, dash=3)
    layer.piece(box(158, 286, 202, 330, 8), fill, depth=4, glow=0.4, rim=0.8)
    layer.piece(box(164, 294, 196, 322, 6), GOLD, depth=4, glow=0.7, rim=0.6)
    layer.piece(box(176, 299, 184, 317, 3), GOLD, depth=2, glow=0.9, rim=0.8)
    for x in (128, 232):
        layer.piece(box(x - 11, 188, x + 11, 214, 4), fill, depth=3, glow=0.3, rim=0.8)
        ring(layer, x, 190, GOLD, 10)
    return layer


def quilted(fill: Fill, trim: Colour) -> Layer:
    """Draw a small quilted evening bag on a chain."""
    layer = Layer()
    chain = arch("76,226 66,140 110,70 180,58")
    for i, (x, y) in enumerate(spaced(chain, 8)):
        rx, ry = (5.5, 4) if i % 2 else (4, 5.5)
        layer.piece(ellipse(x, y, rx, ry), GOLD, holes=[ellipse(x, y, rx - 2, ry - 2)], depth=1)
    body = "180,214 86,214 70,222! 62,300 64,370! 70,388 88,392 180,392"
    layer.piece(symmetric(body), fill, depth=14, shade=0.5, glow=0.3)
    _quilt(layer, (66, 222, 294, 390), trim)
    flap = symmetric("180,208 86,208 68,216! 66,260 70,290! 120,312 180,316")
    layer.shadow(moved(flap, 2, 7), 0.45, blur=4)
    layer.piece(flap, fill, depth=12, shade=0.45, glow=0.4, rim=0.7)
    _quilt(layer, (72, 214, 288, 292), trim)
    layer.piece(ellipse(180, 304, 19, 19), GOLD, depth=5, glow=0.8, rim=0.6)
    layer.piece(ellipse(180, 304, 12, 12), lighter(GOLD, 0.2), depth=3, shade=0.6)
    return layer


def _quilt(layer: Layer, area: tuple[int, int, int, int], trim: Colour) -> None:
    """Stitch diamonds, each line a groove with a bright side."""
    x0, y0, x1, y1 = area
    height = y1 - y0
    for start in range(x0 - height, x1, 28):
        for lean in (1, -1):
            ends = []
            for x in (float(max(start, x0)), float(min(start + height, x1))):
                ends.append((x, x - start + y0 if lean == 1 else y1 - (x - start)))
            if ends[1][0] - ends[0][0] < 4:
                continue
            layer.seam(moved(ends, 1.4, 1), lighter(trim, 0.35), 1.2, opacity=0.6)
            layer.seam(ends, darker(trim, 0.6), 1.6, opacity=0.8)


def backpack(fill: Fill, trim: Colour, accent: Colour) -> Layer:
    """Draw a backpack with a front pocket, side pockets and straps."""
    layer = Layer()
    for strap in both(line("120,120 76,170 58,270 70,380 92,424")):
        layer.piece(ribbon(strap, 17), darker(trim, 0.45), depth=5, rim=0.6)
    layer.piece(ribbon(arch("154,66 158,38 180,32"), 9), accent, depth=3, rim=0.7)
    for pocket in both(outline("92,290! 66,296 60,330 64,400 78,424! 100,424!")):
        layer.piece(pocket, darker(trim, 0.2), depth=6, rim=0.7)
    body = "180,52 142,54 104,74 88,120 82,220 80,330 84,410! 100,434 180,438"
    layer.piece(symmetric(body), fill, depth=17, shade=0.5, glow=0.3)
    layer.seam(arch("96,238 98,130 114,92 146,74 180,71"), darker(trim, 0.55), 5, opacity=0.9)
    layer.seam(
        arch("96,238 98,130 114,92 146,74 180,71"), PALETTE["Silver"], 2, dash=1.8, opacity=1
    )
    pull = line("97,222 94,240 96,262")
    layer.piece(ribbon(pull, 5), accent, depth=2, rim=0.7)
    layer.piece(box(156, 120, 204, 150, 5), accent, depth=2, rim=0.7)
    for wedge in ("168,143! 180,127! 192,143!",):
        layer.flat(outline(wedge), (250, 250, 250), 0.95)
    pocket = symmetric("180,252 112,252 100,262! 96,340 98,402! 108,416 180,418")
    layer.shadow(moved(pocket, 1, 5), 0.4, blur=5)
    layer.piece(pocket, fill, depth=12, shade=0.5, glow=0.35, rim=0.7)
    layer.seam(arch("104,282 116,272 180,270"), darker(trim, 0.55), 5, opacity=0.9)
    layer.seam(arch("104,282 116,272 180,270"), PALETTE["Silver"], 2, dash=1.8, opacity=1)
    layer.piece(ribbon(line("246,276 250,292 248,312"), 5), accent, depth=2, rim=0.7)
    for text in ("104,330 130,348 160,352", "92,150 100,180 96,210"):
        for path in both(line(text)):
            layer.fold(path, 9, 0.22)
    layer.seam(arch("106,404 120,408 180,409"), lighter(trim, 0.4), 1, dash=3)
    return layer


def rucksack(fill: Fill, trim: Colour, hide: Colour) -> Layer:
    """Draw a canvas rucksack with a flap and two leather straps."""
    layer = Layer()
    for strap in both(line("124,130 82,180 66,280 84,400")):
        layer.piece(ribbon(strap, 15), hide, depth=4, rim=0.6)
    layer.piece(ribbon(arch("154,84 158,54 180,48"), 9), hide, depth=3, rim=0.7)
    for pocket in both(outline("98,300! 66,302 58,330 62,400 80,426! 104,426!")):
        layer.piece(pocket, fill, depth=8, rim=0.7)
    body = "180,92 116,94 96,116! 86,220 82,340 84,416! 98,436 180,440"
    layer.piece(symmetric(body), fill, depth=16, shade=0.5)
    pocket = symmetric("180,312 114,312 106,320! 104,400! 112,420 180,421")
    layer.piece(pocket, fill, depth=9, rim=0.7)
    flap = symmetric("180,78 118,80 92,98! 84,180 86,254! 100,276 140,282 180,283")
    layer.shadow(moved(flap, 1, 8), 0.4, blur=5)
    layer.piece(flap, fill, depth=14, shade=0.45, glow=0.3, rim=0.7)
    layer.seam(arch("92,246 104,266 140,272 180,273"), lighter(trim, 0.5), 1, dash=3)
    for text in ("96,130 120,150 150,152", "92,200 112,214 140,216"):
        for path in both(line(text)):
            layer.fold(path, 10, 0.2)
    for x in (136, 224):
        layer.shadow(box(x - 6, 232, x + 10, 372), 0.3, blur=2.5)
        layer.piece(
            outline(f"{x - 8},226! {x + 8},226! {x + 8},362! {x},374! {x - 8},362!"),
            hide,
            depth=3,
            glow=0.35,
            rim=0.7,
        )
        frame = box(x - 13, 296, x + 13, 320, 4)
        layer.piece(frame, GOLD, holes=[box(x - 8, 301, x + 8, 315, 2)], depth=1.5, rim=0.7)
        layer.piece(box(x - 1.5, 298, x + 1.5, 318), GOLD, depth=1)
        for y in (336, 348):
            layer.flat(ellipse(x, y, 1.6, 1.6), darker(hide, 0.7))
    return layer


def wallet(fill: Fill, trim: Colour) -> Layer:
    """Draw an open bifold wallet with cards and banknotes."""
    layer = Layer()
    note = outline("54,170! 180,164 306,168! 306,230! 54,230!")
    layer.piece(note, (176, 200, 164), depth=3, rim=0.6)
    layer.seam(line("62,176 180,170 298,174"), (96, 130, 96), 1.2)
    layer.piece(
        outline("60,178! 180,176 312,182! 312,240! 60,240!"), (198, 214, 182), depth=3, rim=0.6
    )
    case = symmetric("180,190 60,184! 40,190! 36,270 40,352! 50,360 180,356")
    layer.piece(case, fill, depth=10, shade=0.5, glow=0.3, rim=0.7)
    cards: tuple[tuple[int, Colour], ...] = (
        (202, (70, 130, 196)),
        (224, (232, 186, 80)),
        (246, (206, 84, 84)),
    )
    for y, colour in cards:
        layer.piece(box(52, y, 164, y + 60, 6), colour, depth=3, rim=0.6)
        layer.flat(box(60, y + 6, 76, y + 14, 2), (250, 240, 200), 0.8)
        pocket = outline(f"46,{y + 18}! 100,{y + 21} 170,{y + 18}! 172,350! 46,350!")
        layer.piece(pocket, fill, depth=4, rim=0.8)
        layer.seam(
            line(f"50,{y + 22} 100,{y + 25} 168,{y + 22}"), lighter(trim, 0.45), 0.8, dash=2.6
        )
    layer.piece(box(196, 214, 312, 346, 6), fill, depth=5, rim=0.8)
    layer.piece(box(210, 232, 298, 328, 4), (214, 222, 228), depth=4, glow=0.5, rim=0.5)
    layer.piece(ellipse(254, 264, 14, 15), (120, 132, 150), depth=3)
    layer.piece(symmetric("254,282 236,286 226,306! 254,308", 254), (120, 132, 150), depth=3)
    layer.fold([(180, 190), (180, 356)], 16, 0.5, blur=3)
    frame: Path = [*arch("48,197 70,194 180,199"), *flipped(arch("46,347 60,350 180,348"))]
    layer.seam([*frame, frame[0]], lighter(trim, 0.45), 0.9, dash=3)
    return layer


def clutch(fill: Fill, trim: Colour) -> Layer:
    """Draw a closed purse with a flap, a snap and a wrist loop."""
    layer = Layer()
    loop = outline("52,250 20,262 16,310 34,356 56,330 60,280")
    layer.piece(loop, fill, holes=[outline("50,260 28,268 24,310 36,346 50,326 54,284")], depth=2)
    layer.piece(
        symmetric("180,184 60,182 46,192! 42,270 44,330! 54,342 180,344"),
        fill,
        depth=12,
        shade=0.5,
        glow=0.3,
    )
    layer.seam(arch("50,326 60,335 180,337"), lighter(trim, 0.45), 1, dash=3)
    flap = symmetric("180,178 60,176 44,186! 42,230! 90,262 150,274 180,276")
    layer.shadow(moved(flap, 1, 6), 0.4, blur=4)
    layer.piece(flap, fill, depth=10, shade=0.4, glow=0.45, rim=0.7)
    layer.seam(arch("50,226 94,254 150,266 180,268"), lighter(trim, 0.45), 1, dash=3)
    layer.piece(ellipse(180, 256, 10, 10), GOLD, depth=3, glow=0.9, rim=0.7)
    return layer
