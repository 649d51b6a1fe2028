"""Layers: transparent sheets on which the pieces of a thing are painted, shaded and stitched."""

from collections.abc import Iterable, Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from samples.colours import WHITE, Colour, darker
from samples.shapes import Path, leaf, moved, ribbon, spaced

WIDTH, HEIGHT = 360, 480  # a finished picture, pixels
SCALE = 3  # a layer is this much larger than the finished picture
SHEET = (WIDTH * SCALE, HEIGHT * SCALE)

Fill = Colour | Image.Image
Box = tuple[int, int, int, int]


def scale(path: Path, origin: tuple[int, int] = (0, 0)) -> Path:
    """Give a path in a layer's pixels, counted from `origin`."""
    return [(x * SCALE - origin[0], y * SCALE - origin[1]) for x, y in path]


def reach(path: Path, margin: float) -> Box:
    """Give the part of a layer that a path touches, with a margin in units."""
    xs, ys = [x for x, _ in path], [y for _, y in path]
    left, top = max(int((min(xs) - margin) * SCALE), 0), max(int((min(ys) - margin) * SCALE), 0)
    right = min(int((max(xs) + margin) * SCALE) + 1, SHEET[0])
    bottom = min(int((max(ys) + margin) * SCALE) + 1, SHEET[1])
    return left, top, max(right, left + 1), max(bottom, top + 1)


def stencil(path: Path, area: Box, holes: Iterable[Path] = ()) -> Image.Image:
    """Give the mask of a closed path inside an area of the layer."""
    mask = Image.new("L", (area[2] - area[0], area[3] - area[1]))
    pen = ImageDraw.Draw(mask)
    pen.polygon(scale(path, area[:2]), fill=255)
    for hole in holes:
        pen.polygon(scale(hole, area[:2]), fill=0)
    return mask


def faded(mask: Image.Image, strength: float) -> Image.Image:
    """Give a mask weakened to `strength` (0 to 1)."""
    return mask.point([round(i * min(max(strength, 0), 1)) for i in range(256)])


def shade_of(fill: Fill) -> Colour:
    """Give the colour of a fill's shadows."""
    if isinstance(fill, Image.Image):
        red, green, blue = fill.resize((1, 1), Image.Resampling.BOX).tobytes()
        fill = (red, green, blue)
    return darker(fill, 0.72)


def _far_side(mask: Image.Image, dx: int, dy: int, blur: float) -> Image.Image:
    """Give the inside of a mask that lies along its edges facing (dx, dy)."""
    shifted = ImageChops.offset(mask, -dx, -dy).filter(ImageFilter.GaussianBlur(blur))
    return ImageChops.multiply(ImageChops.invert(shifted), mask)


class Layer:
    """A transparent sheet; later pieces cover earlier ones. Light comes from the upper left."""

    def __init__(self) -> None:
        """Start with an empty sheet."""
        self.image = Image.new("RGBA", SHEET, (0, 0, 0, 0))

    def piece(
        self,
        path: Path,
        fill: Fill,
        *,
        holes: Sequence[Path] = (),
        depth: float = 8,
        shade: float = 0.4,
        glow: float = 0.22,
        rim: float = 0.35,
        opacity: float = 1,
    ) -> None:
        """Paint a closed shape, rounded over `depth` units, its light from above."""
        area = reach(path, depth * 2 + 2)
        mask = stencil(path, area, holes)
        paint = (
            fill.crop(area) if isinstance(fill, Image.Image) else Image.new("RGB", mask.size, fill)
        )
        shift, blur, shadow = round(depth * SCALE * 0.6), depth * SCALE * 0.6, shade_of(fill)
        paint.paste(shadow, mask=faded(_far_side(mask, shift, shift, blur), shade))
        paint.paste(WHITE, mask=faded(_far_side(mask, -shift, -shift, blur), glow))
        if rim:
            edge = ImageChops.subtract(mask, mask.filter(ImageFilter.MinFilter(5)))
            paint.paste(shadow, mask=faded(edge, rim))
        over = paint.convert("RGBA")
        over.putalpha(faded(mask, opacity))
        self.image.alpha_composite(over, area[:2])

    def flat(self, path: Path, colour: Colour, opacity: float = 1, blur: float = 0) -> None:
        """Print a closed shape on what is already there, without shading."""
        self._tint(path, colour, opacity, blur)

    def fold(self, path: Path, width: float, strength: float = 0.3, *, blur: float = 2.5) -> None:
        """Lay a fold along an open line: a soft dark valley with a bright ridge beside it."""
        self._tint(leaf(path, width), (20, 16, 34), strength, blur)
        ridge = moved(path, -width * 0.7, -width * 0.25)
        self._tint(leaf(ridge, width * 0.8), WHITE, strength * 0.5, blur)

    def gloss(self, path: Path, strength: float = 0.4, *, blur: float = 2) -> None:
        """Lay a bright reflection in a closed shape."""
        self._tint(path, WHITE, strength, blur)

    def shadow(self, path: Path, strength: float = 0.35, *, blur: float = 4) -> None:
        """Lay a soft shadow of a closed shape on what is already there."""
        self._tint(path, (16, 12, 26), strength, blur)

    def seam(
        self,
        path: Path,
        colour: Colour,
        width: float = 0.9,
        *,
        dash: float = 0,
        opacity: float = 0.8,
    ) -> None:
        """Draw a thin line, or a row of stitches `dash` units long."""
        if not dash:
            self._tint(ribbon(path, width), colour, opacity, 0)
            return
        points = spaced(path, dash / 4)
        for start in range(0, len(points) - 3, 6):
            self._tint(ribbon(points[start : start + 4], width), colour, opacity, 0)

    def _tint(self, path: Path, colour: Colour, opacity: float, blur: float) -> None:
        area = reach(path, blur * 3 + 1)
        mask = stencil(path, area)
        if blur:
            mask = mask.filter(ImageFilter.GaussianBlur(blur * SCALE))
        part = self.image.crop(area)
        alpha = part.getchannel("A")
        part.paste(colour, mask=faded(mask, opacity))
        part.putalpha(alpha)
        self.image.paste(part, area[:2])
