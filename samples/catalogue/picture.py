"""A picture: what it shows, and how it is drawn; and makers of cloth to draw with."""

from collections.abc import Callable
from dataclasses import dataclass

from samples.backgrounds import Background, studio
from samples.canvas import Layer
from samples.colours import PALETTE as P
from samples.colours import Colour
from samples.patterns import checked, dotted, floral, knitted, plain, striped
from samples.uppers import Cloth


@dataclass(frozen=True)
class Picture:
    """A picture to draw; article type and colour are the data set's own names, or empty."""

    file: str
    article_type: str
    base_colour: str
    draw: Callable[[], Layer]
    background: Background = studio
    turn: float = 0  # degrees, clockwise
    fill: float = 0.9  # how much of the picture's width or height the thing takes up


def solid(name: str) -> Cloth:
    """Give plain cloth."""
    return lambda angle: plain(P[name])


def stripes(base: Colour, *bands: tuple[Colour, float], pitch: float, lean: float = 0) -> Cloth:
    """Give striped cloth; `lean` of 90 makes the stripes upright."""
    return lambda angle: striped(base, bands, pitch=pitch, angle=angle + lean)


def checks(base: Colour, *bands: tuple[Colour, float, float], pitch: float) -> Cloth:
    """Give checked cloth."""
    return lambda angle: checked(base, bands, pitch=pitch, angle=angle)


def dots(base: Colour, dot: Colour, pitch: float, radius: float) -> Cloth:
    """Give dotted cloth."""
    return lambda angle: dotted(base, dot, pitch=pitch, radius=radius, angle=angle)


def flowers(base: Colour, *petals: Colour) -> Cloth:
    """Give flowered cloth."""
    return lambda angle: floral(base, petals, P["Green"])


def knit(name: str, *bands: Colour) -> Cloth:
    """Give knitted cloth."""
    return lambda angle: knitted(P[name], bands=bands)
