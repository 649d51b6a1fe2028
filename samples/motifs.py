"""Motifs: small printed pictures for the chest of a T-shirt or sweater."""

from samples.canvas import Layer
from samples.colours import PALETTE, WHITE, Colour
from samples.shapes import Path, box, ellipse, line, outline, ribbon, star, symmetric
from samples.uppers import Motif


def stamped(path: Path, colour: Colour) -> Motif:
    """Give a motif that is one shape in one colour."""

    def stamp(layer: Layer) -> None:
        layer.flat(path, colour, 0.92)

    return stamp


STAR = star(180, 196, 52)
HEART = symmetric("180,172! 164,152 138,150 126,172 136,200 160,224 180,246!")
BOLT = outline("190,140! 148,206! 176,206! 164,256! 214,184! 184,184! 202,140!")


def boat(layer: Layer) -> None:
    """Print a sailing boat on waves."""
    layer.flat(outline("176,136! 176,214! 128,214! 150,180"), WHITE, 0.95)
    layer.flat(outline("184,150! 226,214! 184,214!"), PALETTE["Red"], 0.95)
    layer.flat(box(177, 130, 181, 226), WHITE, 0.95)
    layer.flat(outline("120,224! 238,224! 218,250 180,254 140,250"), WHITE, 0.95)
    for y in (264, 274):
        layer.flat(
            ribbon(
                line(
                    f"112,{y} 130,{y - 5} 146,{y} 163,{y - 5} 180,{y} 197,{y - 5} "
                    f"214,{y} 231,{y - 5} 248,{y}"
                ),
                3,
            ),
            PALETTE["Turquoise Blue"],
            0.95,
        )


def sunset(layer: Layer) -> None:
    """Print mountains before a setting sun."""
    layer.flat(ellipse(180, 196, 56, 56), PALETTE["Mustard"], 0.95)
    layer.flat(ellipse(180, 200, 36, 36), PALETTE["Orange"], 0.95)
    layer.flat(outline("120,238! 154,186! 172,208! 200,172! 240,238! 180,246"), (46, 74, 84), 0.95)
    layer.flat(outline("200,172! 212,193! 202,200! 196,194! 189,197! 187,190!"), WHITE, 0.95)


def chest_bands(layer: Layer) -> None:
    """Print three bands across the chest."""
    for y, colour in ((176, PALETTE["Red"]), (194, WHITE), (212, PALETTE["Teal"])):
        layer.flat(
            outline(f"94,{y}! 180,{y + 3} 266,{y}! 266,{y + 13}! 180,{y + 16} 94,{y + 13}!"),
            colour,
            0.9,
        )
