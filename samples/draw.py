"""The command that draws all sample pictures: `python -m samples.draw [--out DIR]`."""

import argparse
import csv
import io
from pathlib import Path
from random import Random

from PIL import Image, ImageChops, ImageFilter

from samples.canvas import HEIGHT, SCALE, SHEET, WIDTH, faded
from samples.catalogue import NO_GARMENTS, PICTURES, Picture

SEED = 2016
OUT = Path(__file__).parent / "pictures"
QUALITY = 82
DAMAGED = "damaged.jpg"
DAMAGED_FROM = "backpack_blue.jpg"  # the drawing whose file is cut in the middle
ORIENTATION, TURN_RIGHT = 0x0112, 6  # EXIF: to be turned clockwise by a quarter for display


def thing(picture: Picture) -> Image.Image:
    """Draw what a picture shows, centred on a transparent sheet in its final size and angle."""
    image = picture.draw().image
    if picture in NO_GARMENTS:
        return image
    if picture.turn:
        image = image.rotate(-picture.turn, Image.Resampling.BICUBIC)
    image = image.crop(image.getchannel("A").getbbox())
    factor = min(SHEET[0] * picture.fill / image.width, SHEET[1] * picture.fill / image.height)
    size = (round(image.width * factor), round(image.height * factor))
    image = image.resize(size, Image.Resampling.LANCZOS)
    sheet = Image.new("RGBA", SHEET, (0, 0, 0, 0))
    sheet.paste(image, ((SHEET[0] - size[0]) // 2, (SHEET[1] - size[1]) // 2))
    return sheet


def lay(over: Image.Image, background: Image.Image, strength: float) -> Image.Image:
    """Lay a thing on a background, with a near and a far shadow to the lower right."""
    alpha = over.getchannel("A")
    for distance, blur, share in ((9, 11, 0.55), (3, 3, 0.45)):
        shadow = ImageChops.offset(alpha, distance * SCALE * 2 // 3, distance * SCALE)
        shadow = shadow.filter(ImageFilter.GaussianBlur(blur * SCALE))
        background.paste((20, 16, 30), mask=faded(shadow, strength * share))
    background.paste(over, mask=alpha)
    return background


def paint(picture: Picture) -> Image.Image:
    """Draw a picture in its finished size; one whose file is a PNG keeps its transparency."""
    over = thing(picture)
    if not picture.file.endswith(".png"):
        rng = Random(f"{SEED}:{picture.file}")  # noqa: S311 - a drawing's seed
        background = picture.background(rng)
        white = background.getpixel((0, 0)) == (255, 255, 255)
        over = lay(over, background, 0.32 if white else 0.8)
    return over.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def encode(image: Image.Image, file: str) -> bytes:
    """Give a picture's file; "_rotated_exif" is stored lying, and says so in its EXIF data."""
    data = io.BytesIO()
    if file.endswith(".png"):
        image.save(data, "PNG", optimize=True)
    elif file.endswith(".webp"):
        image.save(data, "WEBP", quality=QUALITY)
    elif "_rotated_exif" in file:
        exif = Image.Exif()
        exif[ORIENTATION] = TURN_RIGHT
        image = image.transpose(Image.Transpose.ROTATE_90)
        image.save(data, "JPEG", quality=QUALITY, optimize=True, exif=exif)
    else:
        image.save(data, "JPEG", quality=QUALITY, optimize=True)
    return data.getvalue()


def draw_all(out: Path) -> None:
    """Draw every picture, the damaged one, and the table of labels into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        data = encode(paint(picture), picture.file)
        (out / picture.file).write_bytes(data)
        if picture.file == DAMAGED_FROM:
            (out / DAMAGED).write_bytes(data[: len(data) // 2])
    rows = [(p.file, p.article_type, p.base_colour) for p in PICTURES]
    rows.append((DAMAGED, "", ""))
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "article_type", "base_colour"))
        writer.writerows(sorted(rows))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m samples.draw", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="folder to draw into")
    draw_all(parser.parse_args().out)


if __name__ == "__main__":
    main()
