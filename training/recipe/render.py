"""From scenes to pixels, with the fonts that are installed (LICENSES.md names the packages)."""

import functools
import io
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from recipe.scene import SHAPES, Scene, Shape, Text
from recipe.words import is_held_out

FONT_FOLDER = Path("/usr/share/fonts/truetype")
# Fonts without letters.
NOT_TEXT = ("math", "symbol", "dingbat", "emoji", "icon")
CHARACTERS = "".join(chr(code) for code in range(33, 127))


@functools.cache
def fonts(split: str) -> list:
    """Paths of the fonts of "train" or "eval", which share no family. With few families both have all."""
    found = sorted(FONT_FOLDER.rglob("*.ttf"))
    found = [path for path in found if not any(part in path.name.lower() for part in NOT_TEXT)]
    if not found:
        raise SystemExit(f"{FONT_FOLDER} has no fonts; install fonts-dejavu-core, or the packages of LICENSES.md")
    families = {path.parent.name for path in found}
    chosen = {family for family in families if is_held_out(family, 6) == (split == "eval")}
    return [path for path in found if not chosen or chosen == families or path.parent.name in chosen]


@functools.lru_cache(maxsize=4096)
def load_font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def draw_text(draw: ImageDraw.ImageDraw, mark: Text, split: str) -> list:
    """Draws a line; returns (x, y, index in CHARACTERS) of the middle of each character."""
    paths = fonts(split)
    path = paths[int(mark.font * len(paths))]
    size = max(6, round(mark.size))
    font = load_font(path, size)
    while size > 6 and font.getlength(mark.text) > mark.width:
        size -= 1
        font = load_font(path, size)
    draw.text((mark.x, mark.y), mark.text, font=font, fill=mark.fill)
    marks, x = [], mark.x
    for character in mark.text:
        width = font.getlength(character)
        index = CHARACTERS.find(character)
        if index >= 0:
            marks.append((x + width / 2, mark.y + size * 0.6, index))
        x += width
    return marks


def draw_shape(draw: ImageDraw.ImageDraw, mark: Shape) -> None:
    half, tall = mark.size / 2, (mark.height or mark.size) / 2
    corners = SHAPES.get(mark.kind)
    if corners:
        draw.polygon([(mark.x + x * half, mark.y + y * half) for x, y in corners], fill=mark.fill)
        return
    box = (mark.x - half, mark.y - tall, mark.x + half, mark.y + tall)
    (draw.ellipse if mark.kind == "circle" else draw.rectangle)(box, fill=mark.fill)


def render(scene: Scene, split: str) -> tuple:
    """The picture, and the middles of its characters."""
    image = Image.new("RGB", (scene.width, scene.height), scene.background)
    draw = ImageDraw.Draw(image)
    marks = []
    for mark in scene.marks:
        if isinstance(mark, Text):
            marks += draw_text(draw, mark, split)
        else:
            draw_shape(draw, mark)
    return image, marks


def wear(image: Image.Image, rng: random.Random) -> Image.Image:
    """What happens to pictures on their way: blur, JPEG, noise, light. Leaves every character where it is."""
    if rng.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.9)))
    if rng.random() < 0.3:
        packed = io.BytesIO()
        image.save(packed, "JPEG", quality=rng.randint(35, 90))
        image = Image.open(packed).convert("RGB")
    if rng.random() < 0.5:
        noise = np.random.default_rng(rng.randrange(2**32)).normal(0, rng.uniform(0, 12), (image.height, image.width, 3))
        pixels = np.asarray(image, np.float32) * rng.uniform(0.85, 1.1) + rng.uniform(-15, 15) + noise
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return image


def cut(image: Image.Image, tile: int) -> np.ndarray:
    """[tiles, tile, tile, 3]: as SmolVLM's processor does: the tiles row by row and the whole picture last; one that is
    no larger than a tile is alone. REQUIRES: sides are multiples of `tile`."""
    columns, rows = image.width // tile, image.height // tile
    whole = np.asarray(image.resize((tile, tile), Image.LANCZOS), np.uint8)
    if rows * columns == 1:
        return whole[None]
    pixels = np.asarray(image, np.uint8).reshape(rows, tile, columns, tile, 3).swapaxes(1, 2)
    return np.concatenate([pixels.reshape(rows * columns, tile, tile, 3), whole[None]])
