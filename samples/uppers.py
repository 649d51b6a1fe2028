"""Uppers: T-shirts, tops, shirts, sweaters and sweatshirts, laid flat and seen from the front."""

from collections.abc import Callable

from samples.canvas import Fill, Layer
from samples.colours import WHITE, Colour, darker, lighter
from samples.patterns import ribbed
from samples.shapes import Path, arch, ellipse, flipped, line, outline, ribbon, symmetric

Cloth = Callable[[float], Fill]  # cloth turned clockwise by some degrees
Motif = Callable[[Layer], None]

TEE = "180,97 157,92 138,74! 83,90! 92,122 98,158! 96,229 94,299 92,363! 132,367 180,368"
TEE_V = "180,130! 161,107 138,74! 83,90! 92,122 98,158! 96,229 94,299 92,363! 132,367 180,368"
SHORT_SLEEVE = "98,86! 79,90 58,104 34,137 10,173! 24,184 43,190 65,194! 82,173 103,155!"
LONG_SLEEVE = "98,86! 79,90 60,107 43,153 24,235 10,318! 26,324 46,325! 67,257 89,194 106,153!"
SHIRT = "180,97 154,90 139,70! 82,89! 92,123 97,160! 96,238 91,308 94,350! 110,363 144,373 180,375"
JUMPER = "180,93 157,90 139,72! 79,90! 91,123 96,160! 94,238 91,299 94,350! 180,354"


def both(path: Path) -> tuple[Path, Path]:
    """Give a path and its mirror image."""
    return path, flipped(path)


def creases(layer: Layer, strength: float = 1) -> None:
    """Lay the folds that cloth shows below the arms and along the trunk."""
    for text, width, dark in (
        ("101,164 122,178 154,185", 9, 0.26),
        ("98,176 113,197 139,213", 8, 0.2),
        ("106,239 118,290 113,352", 13, 0.17),
        ("144,273 154,317 149,364", 12, 0.12),
        ("89,104 98,123 106,150", 8, 0.16),
    ):
        for path in both(line(text)):
            layer.fold(path, width, dark * strength)
    layer.fold(line("199,211 211,264 204,343"), 14, 0.12 * strength)


def sleeves(layer: Layer, text: str, cloth: Cloth, angle: float) -> None:
    """Paint both sleeves, their pattern turned with the arm."""
    layer.piece(outline(text), cloth(angle), depth=9)
    layer.piece(flipped(outline(text)), cloth(-angle), depth=9)


def tshirt(
    cloth: Cloth,
    trim: Colour,
    *,
    neck: str = "crew",
    sleeve: Cloth | None = None,
    motif: Motif | None = None,
) -> Layer:
    """Draw a T-shirt with a round ("crew") or a "v" neck."""
    layer = Layer()
    front = "138,74 157,92 180,97" if neck == "crew" else "138,74 161,107 180,130!"
    layer.piece(
        symmetric("180,72 154,71 137,73! 154,104 180,127"), darker(trim, 0.42), shade=0.5, glow=0
    )
    layer.piece(ribbon(arch("137,74 156,78 180,79"), 8), trim, depth=2)
    sleeves(layer, SHORT_SLEEVE, sleeve or cloth, 27)
    hem = line("17,166 32,177 52,184 72,187")
    for path in both(hem):
        layer.seam(path, darker(trim, 0.45), 0.8, dash=2.4, opacity=0.5)
    layer.piece(symmetric(TEE if neck == "crew" else TEE_V), cloth(0), depth=10)
    creases(layer)
    if motif:
        motif(layer)
    layer.piece(ribbon(arch(front), 8), trim, depth=2, rim=0.5)
    layer.seam(arch("92,356 132,360 180,361"), darker(trim, 0.45), 0.8, dash=2.4, opacity=0.5)
    return layer


def polo(cloth: Cloth, trim: Colour) -> Layer:
    """Draw a polo shirt: short sleeves, a knitted collar, and two buttons."""
    layer = Layer()
    layer.piece(symmetric("180,65 154,65 138,72! 156,104 180,113"), darker(trim, 0.4), glow=0)
    sleeves(layer, SHORT_SLEEVE, cloth, 27)
    for cuff in both(outline("10,173! 24,184 43,190 65,194! 71,186! 48,182 31,176 16,165!")):
        layer.piece(cuff, trim, depth=3)
    layer.piece(symmetric(TEE_V), cloth(0), depth=10)
    creases(layer)
    layer.piece(outline("169,100! 191,100! 191,169! 169,169!"), cloth(0), depth=3, rim=0.6)
    for y in (122, 146):
        button(layer, 180, y, WHITE)
    for leaf in both(outline("180,106! 154,90 140,67! 130,70 125,81 151,122!")):
        layer.piece(leaf, trim, depth=4, rim=0.6)
    return layer


def button(layer: Layer, x: float, y: float, colour: Colour, radius: float = 3.6) -> None:
    """Sew on a button with two holes."""
    layer.shadow(ellipse(x + 0.8, y + 1.2, radius, radius), 0.3, blur=1)
    layer.piece(ellipse(x, y, radius, radius), colour, depth=1.5, rim=0.6)
    for dx in (-1.1, 1.1):
        layer.flat(ellipse(x + dx, y, 0.6, 0.6), darker(colour, 0.7))


def shirt_collar(layer: Layer, fill: Fill) -> None:
    """Fold down a pointed collar around the neck of a shirt."""
    for leaf in both(outline("180,95! 156,88 140,63! 128,70 121,83 144,123!")):
        layer.shadow([(x + 1, y + 4) for x, y in leaf], 0.22, blur=2.5)
        layer.piece(leaf, fill, depth=4, rim=0.7)


def shirt(cloth: Cloth, trim: Colour, *, short: bool = False, buttons: Colour = WHITE) -> Layer:
    """Draw a buttoned shirt with a collar and a chest pocket."""
    layer = Layer()
    layer.piece(symmetric("180,56 156,57 139,67! 154,93 180,100"), darker(trim, 0.3), glow=0)
    layer.piece(symmetric("180,56 156,57 140,63! 142,74 158,70 180,70"), cloth(0), depth=3)
    if short:
        sleeves(layer, SHORT_SLEEVE, cloth, 27)
    else:
        sleeves(layer, LONG_SLEEVE, cloth, 12)
        for cuff in both(outline("8,313! 26,318 48,318! 44,350! 24,349 4,343!")):
            layer.piece(cuff, cloth(8), depth=4, rim=0.6)
        for fold in both(line("65,141 53,176 55,202")):
            layer.fold(fold, 8, 0.2)
    layer.piece(symmetric(SHIRT), cloth(0), depth=10)
    creases(layer)
    layer.piece(outline("170,97! 190,97! 190,375! 170,375!"), cloth(0), depth=3, rim=0.45)
    for y in range(112, 366, 36):
        button(layer, 180, y, buttons)
    pocket = outline("211,153! 259,153! 259,188! 235,197! 211,188!")
    layer.piece(pocket, cloth(0), depth=2, rim=0.5)
    layer.seam(line("211,160 259,160"), darker(trim, 0.5), 0.8, opacity=0.5)
    for shoulder in both(line("132,88 108,97 86,106")):
        layer.seam(shoulder, darker(trim, 0.5), 0.8, opacity=0.4)
    shirt_collar(layer, cloth(45))
    return layer


def sweater(cloth: Cloth, trim: Colour, *, motif: Motif | None = None) -> Layer:
    """Draw a knitted sweater with ribbed neck, cuffs and hem."""
    layer = Layer()
    layer.piece(symmetric("180,67 154,67 138,71! 156,100 180,106"), darker(trim, 0.4), glow=0)
    layer.piece(ribbon(arch("137,71 156,76 180,77"), 11), ribbed(trim, pitch=3.4), depth=3)
    sleeves(layer, LONG_SLEEVE, cloth, 12)
    for sign, cuff in zip(
        (1, -1), both(outline("9,315! 27,321 47,321! 43,350! 7,345!")), strict=True
    ):
        layer.piece(cuff, ribbed(trim, angle=8 * sign), depth=5)
    layer.piece(symmetric(JUMPER), cloth(0), depth=11)
    creases(layer, 1.1)
    if motif:
        motif(layer)
    layer.piece(symmetric("180,349 94,345! 100,371! 138,375 180,376"), ribbed(trim), depth=5)
    layer.piece(ribbon(arch("139,71 156,89 180,93"), 12), ribbed(trim, pitch=3.4), depth=3, rim=0.5)
    return layer


def hoodie(cloth: Cloth, trim: Colour, cord: Colour, *, motif: Motif | None = None) -> Layer:
    """Draw a sweatshirt with a hood, two cords and a pouch pocket."""
    layer = Layer()
    sleeves(layer, LONG_SLEEVE, cloth, 12)
    for cuff in both(outline("9,315! 27,321 47,321! 43,350! 7,345!")):
        layer.piece(cuff, ribbed(trim), depth=5)
    layer.piece(symmetric(JUMPER), cloth(0), depth=11)
    creases(layer)
    layer.piece(symmetric("180,349 94,345! 100,371! 138,375 180,376"), ribbed(trim), depth=5)
    hood = symmetric("180,32 144,37 118,60 110,90 127,111 156,122 180,132!")
    layer.shadow([(x, y + 5) for x, y in hood], 0.3, blur=4)
    layer.piece(hood, cloth(0), depth=12)
    layer.piece(
        symmetric("180,53 156,57 140,76 144,95 163,111 180,120!"), darker(trim, 0.5), glow=0
    )
    for fold in both(line("125,70 122,90 139,109")):
        layer.fold(fold, 8, 0.25)
    layer.seam(arch("180,48 151,53 133,75 138,98 160,115 180,125"), darker(trim, 0.5), opacity=0.5)
    for x, length in ((160, 56), (200, 66)):
        lace = line(f"{x},120 {x - 3},{140 + length / 3} {x - 1},{120 + length}")
        layer.shadow(ribbon([(a + 2, b + 2) for a, b in lace], 3), 0.3, blur=1.2)
        layer.piece(ribbon(lace, 3.4), cord, depth=1.2)
        layer.piece(ribbon(lace[-6:], 4.2), lighter(cord, 0.3), depth=1)
    if motif:
        motif(layer)
    pouch = symmetric("180,266 134,266! 113,289 106,313! 106,343! 180,345")
    layer.piece(pouch, cloth(0), depth=5, rim=0.5)
    for mouth in both(line("139,269 119,290 112,315")):
        layer.seam(mouth, darker(trim, 0.5), 0.9, dash=3, opacity=0.6)
    return layer


def blouse(cloth: Cloth, trim: Colour) -> Layer:
    """Draw a sleeveless top with a frill at the neck and a flared hem."""
    layer = Layer()
    layer.piece(symmetric("180,83 156,81 137,74! 154,113 180,118"), darker(trim, 0.4), glow=0)
    body = "180,116 156,109 139,72! 113,78! 118,113 98,150! 110,202 106,255 79,340! 130,354 180,356"
    layer.piece(symmetric(body), cloth(0), depth=11)
    for text, width in (
        ("115,229 103,282 94,336", 14),
        ("144,220 137,282 127,347", 13),
        ("110,160 132,181 158,188", 9),
    ):
        for path in both(line(text)):
            layer.fold(path, width, 0.2)
    layer.fold(line("180,220 185,282 178,349"), 14, 0.16)
    frill = (
        "180,124! 156,116 136,72! 112,80! 112,104 118,124 128,128 134,142 146,144 154,156 "
        "168,154 180,162"
    )
    layer.piece(symmetric(frill), cloth(0), depth=6, rim=0.6)
    for text in ("126,86 124,106 127,124", "134,96 138,118 147,140", "148,116 158,132 167,150"):
        for path in both(line(text)):
            layer.fold(path, 5, 0.3, blur=1.5)
    layer.seam(arch("110,204 144,211 180,213"), darker(trim, 0.4), 1.4, opacity=0.6)
    return layer


def camisole(cloth: Cloth, trim: Colour) -> Layer:
    """Draw a top with thin straps and a lace edge."""
    layer = Layer()
    for strap in both(line("134,125 132,88 144,60")):
        layer.piece(ribbon(strap, 5), trim, depth=2)
    layer.piece(symmetric("180,130 144,125 119,139! 144,164 180,166"), darker(trim, 0.4), glow=0)
    body = "180,150! 156,137 134,118! 118,137 98,148! 106,202 103,264 89,336! 132,347 180,349"
    layer.piece(symmetric(body), cloth(0), depth=11)
    for text in ("110,176 130,197 154,206", "113,246 110,290 103,334", "146,264 149,308 144,343"):
        for path in both(line(text)):
            layer.fold(path, 11, 0.2)
    edge = line("180,151! 156,139 134,120!")
    for side in both(edge):
        layer.piece(ribbon(side, 6), trim, depth=2, rim=0.5)
    for i in range(26):
        x = 92 + i * 7.04
        y = 337 + 12 * (1 - ((x - 180) / 88) ** 2)
        layer.piece(ellipse(x, y, 5, 6), trim, depth=1.5)
    return layer
