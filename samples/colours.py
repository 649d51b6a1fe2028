"""Colours: the data set's names of base colours, and what they look like."""

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
INK: Colour = (24, 22, 30)

PALETTE: dict[str, Colour] = {
    "Beige": (222, 203, 168),
    "Black": (44, 44, 50),
    "Blue": (58, 110, 190),
    "Brown": (122, 76, 44),
    "Burgundy": (112, 26, 48),
    "Charcoal": (72, 76, 84),
    "Coffee Brown": (82, 52, 36),
    "Cream": (244, 234, 208),
    "Gold": (214, 170, 76),
    "Green": (52, 128, 78),
    "Grey": (150, 152, 158),
    "Grey Melange": (178, 180, 186),
    "Khaki": (176, 158, 112),
    "Lavender": (184, 168, 220),
    "Maroon": (126, 30, 44),
    "Multi": (200, 120, 120),
    "Mustard": (214, 160, 44),
    "Navy Blue": (36, 48, 92),
    "Off White": (240, 238, 228),
    "Olive": (104, 108, 60),
    "Orange": (234, 116, 44),
    "Peach": (248, 190, 160),
    "Pink": (236, 140, 172),
    "Purple": (112, 66, 142),
    "Red": (204, 40, 48),
    "Silver": (196, 200, 206),
    "Sea Green": (76, 160, 142),
    "Steel": (160, 168, 176),
    "Tan": (190, 134, 82),
    "Teal": (24, 122, 128),
    "Turquoise Blue": (52, 176, 196),
    "White": (244, 244, 246),
    "Yellow": (246, 206, 60),
}


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """Give the colour that lies `share` (0 to 1) of the way from a to b."""
    red, green, blue = (round(p + (q - p) * share) for p, q in zip(a, b, strict=True))
    return red, green, blue


def darker(colour: Colour, share: float = 0.3) -> Colour:
    """Give the colour in shadow."""
    return mixed(colour, (14, 10, 24), share)


def lighter(colour: Colour, share: float = 0.3) -> Colour:
    """Give the colour in bright light."""
    return mixed(colour, (255, 253, 248), share)
