#!/usr/bin/env python3
"""Draws the pictures of `make demo`: make_pictures.py [OUT]. Needs Pillow and Debian's fonts-dejavu-core.

The same Pillow gives the same bytes; the PNGs are committed, so that nothing of this runs in a build.
"""
import pathlib
import sys

from PIL import Image, ImageDraw, ImageFont

FONTS = pathlib.Path("/usr/share/fonts/truetype/dejavu")
SANS, BOLD, MONO = "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf"
RED, GREEN, BLUE = (214, 39, 40), (44, 140, 60), (31, 90, 200)
YELLOW, ORANGE = (250, 205, 40), (245, 130, 32)
INK = (30, 30, 34)


def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """One of the DejaVu fonts."""
    return ImageFont.truetype(str(FONTS / name), size)


def canvas(width: int, height: int, colour=(255, 255, 255)) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty picture and its pen."""
    image = Image.new("RGB", (width, height), colour)
    return image, ImageDraw.Draw(image)


def receipt() -> Image.Image:
    """A till receipt with a shop, a date, items and a total."""
    image, draw = canvas(400, 400, (226, 224, 218))
    draw.rectangle((50, 10, 350, 390), fill=(253, 253, 250))
    text, big = font(MONO, 16), font(MONO, 20)
    draw.text((200, 38), "Harbor Cafe", INK, big, anchor="mm")
    draw.text((200, 68), "Date: 2024-03-18", INK, text, anchor="mm")
    draw.line((66, 88, 334, 88), INK, 1)
    rows = [("Coffee", "$3.50"), ("Bread", "$4.25"), ("Apple juice", "$2.80"), ("Soup", "$6.45"),
            ("Subtotal", "$17.00"), ("Tax", "$1.36"), ("TOTAL", "$18.36")]
    for i, (name, price) in enumerate(rows):
        y = 112 + 32 * i
        draw.text((66, y), name, INK, text, anchor="lm")
        draw.text((334, y), price, INK, text, anchor="rm")
    draw.text((200, 350), "Thank you!", INK, text, anchor="mm")
    return image


def sign() -> Image.Image:
    """A green sign with a white border."""
    image, draw = canvas(420, 260, (150, 190, 225))
    draw.rounded_rectangle((30, 40, 390, 220), 18, fill=(0, 105, 65), outline=(255, 255, 255), width=5)
    draw.text((210, 100), "Station Road", (255, 255, 255), font(BOLD, 40), anchor="mm")
    draw.text((210, 165), "Platform 3", (255, 255, 255), font(BOLD, 40), anchor="mm")
    return image


def chart() -> Image.Image:
    """A bar chart with the values above the bars."""
    image, draw = canvas(440, 330)
    draw.text((220, 20), "Visitors", INK, font(SANS, 20), anchor="mm")
    base, label = 295, font(SANS, 14)
    draw.line((30, base, 425, base), INK, 1)
    for i, (name, value) in enumerate([("Mon", 42), ("Tue", 65), ("Wed", 28), ("Thu", 91), ("Fri", 56)]):
        x, top = 48 + 76 * i, base - 2.5 * value
        draw.rectangle((x, top, x + 48, base), fill=BLUE)
        draw.text((x + 24, base + 14), name, INK, label, anchor="mm")
        draw.text((x + 24, top - 10), str(value), INK, label, anchor="mm")
    return image


def circle(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour) -> None:
    """A filled circle."""
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def square(draw: ImageDraw.ImageDraw, x: float, y: float, half: float, colour) -> None:
    """A filled square."""
    draw.rectangle((x - half, y - half, x + half, y + half), fill=colour)


def triangle(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour) -> None:
    """A filled triangle that points up."""
    half = 0.87 * radius
    draw.polygon([(x, y - radius), (x - half, y + radius / 2), (x + half, y + radius / 2)], fill=colour)


def shapes() -> Image.Image:
    """Five coloured shapes."""
    image, draw = canvas(420, 320)
    circle(draw, 80, 85, 45, RED)
    square(draw, 330, 90, 42, BLUE)
    triangle(draw, 205, 90, 52, GREEN)
    circle(draw, 120, 235, 38, BLUE)
    square(draw, 290, 235, 36, YELLOW)
    return image


def clipart() -> Image.Image:
    """A red mushroom with white dots."""
    image, draw = canvas(400, 400, (245, 245, 240))
    draw.rounded_rectangle((150, 190, 250, 350), 40, fill=(240, 225, 200), outline=(190, 170, 140), width=3)
    draw.pieslice((60, 60, 340, 350), 180, 360, fill=(215, 40, 40))
    for x, y, radius in ((130, 160, 22), (200, 110, 26), (270, 160, 22), (200, 180, 18)):
        circle(draw, x, y, radius, (255, 255, 255))
    return image


def pair() -> tuple[Image.Image, Image.Image]:
    """Two pictures of three shapes; the triangle changes its colour."""
    result = []
    for colour in (BLUE, ORANGE):
        image, draw = canvas(320, 240, (250, 250, 250))
        circle(draw, 75, 70, 38, RED)
        square(draw, 230, 80, 36, GREEN)
        triangle(draw, 150, 175, 45, colour)
        result.append(image)
    return result[0], result[1]


def clip() -> list[Image.Image]:
    """Eight frames: an orange circle moves to the right."""
    frames = []
    for i in range(8):
        image, draw = canvas(256, 192, (20, 24, 60))
        circle(draw, 36 + 26 * i, 96, 26, ORANGE)
        frames.append(image)
    return frames


def main() -> None:
    """Writes all pictures."""
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    out.mkdir(parents=True, exist_ok=True)
    pictures = {"receipt": receipt(), "sign": sign(), "chart": chart(), "shapes": shapes(), "clipart": clipart()}
    pictures["before"], pictures["after"] = pair()
    pictures |= {f"clip_{i}": frame for i, frame in enumerate(clip(), 1)}
    for name, image in pictures.items():
        image.save(out / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
