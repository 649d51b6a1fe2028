"""Dresses, seen from the front."""

from samples.canvas import Fill, Layer
from samples.colours import Colour, darker
from samples.shapes import Path, arch, box, ellipse, flipped, line, outline, ribbon, symmetric
from samples.uppers import Cloth, both, button


def skirt_folds(layer: Layer, lines: tuple[tuple[str, float], ...], strength: float = 0.28) -> None:
    """Lay the long folds of a skirt on both sides."""
    for text, width in lines:
        for path in both(line(text)):
            layer.fold(path, width, strength)


def sash(layer: Layer, fill: Fill, y: float, half: float) -> None:
    """Tie a sash with a bow around the waist."""
    layer.piece(box(180 - half, y, 180 + half, y + 14, 3), fill, depth=3, rim=0.6)
    for tail in both(outline(f"182,{y + 8} 170,{y + 36} 160,{y + 64}! 174,{y + 62}! 184,{y + 34}")):
        layer.piece(tail, fill, depth=3, rim=0.6)
    for loop in both(outline(f"180,{y + 7}! 160,{y - 8} 144,{y - 4} 146,{y + 18} 162,{y + 20}")):
        layer.piece(loop, fill, depth=4, rim=0.6)
    layer.piece(box(172, y - 1, 188, y + 16, 5), fill, depth=3, rim=0.6)


def aline(cloth: Cloth, trim: Colour, *, tie: Colour | None = None) -> Layer:
    """Draw a sleeveless dress with a wide skirt."""
    layer = Layer()
    layer.piece(symmetric("180,66 164,62 148,46! 160,92 180,100"), darker(trim, 0.45), glow=0)
    skirt = (
        "180,196 136,190! 122,240 96,320 62,412! 76,430 96,424 114,428 134,442 152,434 "
        "166,434 180,444"
    )
    layer.piece(symmetric(skirt), cloth(0), depth=12)
    skirt_folds(
        layer,
        (
            ("138,210 112,300 84,420", 14),
            ("148,208 132,310 116,428", 15),
            ("160,210 152,310 150,432", 13),
            ("172,214 168,320 166,430", 10),
        ),
    )
    bodice = "180,98 162,88 150,44! 130,48! 134,86 120,122! 128,160 134,196! 150,203 180,205"
    layer.piece(symmetric(bodice), cloth(0), depth=10)
    skirt_folds(layer, (("124,128 142,144 164,148", 8), ("130,150 140,176 142,200", 8)), 0.22)
    layer.piece(ribbon(arch("148,46 161,88 180,97"), 4), trim, depth=1.5)
    if tie:
        sash(layer, tie, 188, 47)
    else:
        layer.seam(arch("134,196 150,203 180,205"), darker(trim, 0.5), 1.2, opacity=0.6)
    return layer


def shift_dress(cloth: Cloth, trim: Colour) -> Layer:
    """Draw a fitted dress with short sleeves."""
    layer = Layer()
    layer.piece(symmetric("180,60 162,58 146,50! 160,82 180,88"), darker(trim, 0.45), glow=0)
    for sleeve in both(outline("126,62! 108,66 96,86 84,124! 98,136 116,140! 124,126 132,120!")):
        layer.piece(sleeve, cloth(20 if sleeve[0][0] < 180 else -20), depth=7)
    body = (
        "180,86 160,80 146,48! 120,62! 124,96 126,126! 134,160 136,196 118,250 112,310 "
        "118,428! 148,434 180,435"
    )
    layer.piece(symmetric(body), cloth(0), depth=12)
    skirt_folds(
        layer,
        (
            ("128,132 144,146 164,150", 8),
            ("136,196 150,206 172,206", 8),
            ("120,260 130,330 128,420", 12),
            ("150,240 156,330 152,426", 11),
        ),
        0.22,
    )
    for dart in both(line("154,150 156,196 150,240")):
        layer.seam(dart, darker(trim, 0.5), 0.9, opacity=0.5)
    layer.piece(ribbon(arch("146,50 160,80 180,86"), 4), trim, depth=1.5)
    return layer


def maxi(cloth: Cloth, trim: Colour) -> Layer:
    """Draw a long dress on thin straps, with tiers and frills."""
    layer = Layer()
    for strap in both(line("150,84 148,54 158,26")):
        layer.piece(ribbon(strap, 5), trim, depth=2)
    layer.piece(symmetric("180,92 156,86 132,96! 156,112 180,114"), darker(trim, 0.45), glow=0)
    tiers: tuple[tuple[str, str], ...] = (
        ("180,330 116,318! 100,380 88,452! 130,462 180,464", "120,330 104,390 98,452"),
        ("180,230 128,220! 114,280 104,330! 140,342 180,344", "130,234 118,290 112,330"),
        ("180,150 140,146! 128,190 120,234! 150,242 180,244", "142,156 132,200 128,236"),
    )
    for tier, fold in tiers:
        path = symmetric(tier)
        layer.shadow([(x, y + 4) for x, y in path], 0.3, blur=3)
        layer.piece(path, cloth(0), depth=8, rim=0.5)
        points: Path = line(fold)
        for k in range(4):
            shifted = [(x + (180 - x) * k * 0.26, y + k * 2) for x, y in points]
            for side in (shifted, flipped(shifted)):
                layer.fold(side, 9, 0.24)
    bodice = "180,104! 166,88 150,80 130,92! 130,120 140,154! 160,159 180,160"
    layer.piece(symmetric(bodice), cloth(0), depth=8)
    layer.seam(line("180,106 180,158"), darker(trim, 0.5), 1, opacity=0.5)
    layer.seam(arch("140,150 160,155 180,156"), trim, 3, opacity=0.9)
    return layer


def shirt_dress(cloth: Cloth, trim: Colour, belt: Colour) -> Layer:
    """Draw a buttoned dress with a collar and a belt."""
    layer = Layer()
    layer.piece(symmetric("180,44 162,45 150,54! 162,80 180,88"), darker(trim, 0.35), glow=0)
    for sleeve in both(outline("128,64! 106,72 92,104 78,150! 94,162 112,164! 122,140 132,126!")):
        layer.piece(sleeve, cloth(22 if sleeve[0][0] < 180 else -22), depth=7)
    body = (
        "180,82 162,76 148,54! 122,66! 126,100 124,132! 134,170 138,206! 118,280 96,420! "
        "140,434 180,436"
    )
    layer.piece(symmetric(body), cloth(0), depth=12)
    skirt_folds(
        layer,
        (
            ("126,136 144,148 166,152", 8),
            ("140,218 120,310 108,420", 13),
            ("154,220 144,320 136,428", 12),
            ("168,224 164,320 162,430", 8),
        ),
    )
    layer.piece(outline("173,84! 187,84! 187,436! 173,436!"), cloth(0), depth=2, rim=0.5)
    for y in range(104, 420, 34):
        button(layer, 180, y, (250, 248, 240), 3.2)
    for leaf in both(outline("180,86! 162,74 151,50! 142,56 138,66 156,108!")):
        layer.shadow([(x + 1, y + 3) for x, y in leaf], 0.25, blur=2)
        layer.piece(leaf, cloth(45), depth=3, rim=0.6)
    layer.piece(symmetric("180,200 158,199 137,195! 137,213! 158,217 180,218"), belt, depth=3)
    frame = box(168, 195, 194, 223, 4)
    layer.piece(frame, (214, 180, 96), holes=[box(173, 200, 189, 218, 2)], depth=1.5, rim=0.6)
    layer.piece(ellipse(181, 209, 8, 1.3), (214, 180, 96), depth=1)
    return layer
