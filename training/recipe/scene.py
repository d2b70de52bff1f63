"""What a picture shows and what is asked about it, before a pixel is drawn. Standard library alone."""

import dataclasses
import random

# Names of colours and the middle of what they are drawn with.
COLOURS = {
    "red": (214, 40, 40), "green": (45, 150, 60), "blue": (40, 80, 210), "yellow": (235, 205, 40),
    "orange": (240, 140, 30), "purple": (130, 60, 170), "pink": (240, 130, 180), "brown": (125, 80, 45),
    "gray": (130, 130, 130), "black": (20, 20, 20), "white": (248, 248, 248),
}
# Pairs that nobody should have to tell apart.
SIMILAR = [{"red", "orange"}, {"red", "brown"}, {"orange", "yellow"}, {"orange", "brown"}, {"purple", "blue"},
           {"pink", "purple"}, {"gray", "black"}, {"gray", "white"}, {"black", "brown"}, {"yellow", "white"}]


@dataclasses.dataclass(frozen=True)
class Text:
    """A line of text; it is made smaller where it would be wider than `width`. (x, y): left, top. font: 0 to 1, which of
    the fonts."""

    x: float
    y: float
    size: float
    text: str
    fill: tuple
    font: float
    width: float


@dataclasses.dataclass(frozen=True)
class Shape:
    """A filled shape in the middle of (x, y), `size` across. kind: a key of SHAPES, or "box", which is `height` high."""

    kind: str
    x: float
    y: float
    size: float
    fill: tuple
    height: float = 0


@dataclasses.dataclass(frozen=True)
class Question:
    text: str
    answer: str
    task: str


@dataclasses.dataclass
class Scene:
    width: int
    height: int
    background: tuple
    marks: list = dataclasses.field(default_factory=list)
    questions: list = dataclasses.field(default_factory=list)

    def ask(self, task: str, text: str, answer: str) -> None:
        self.questions.append(Question(text, answer, task))


# Polygons as corners on a square from -1 to 1; a circle has none.
SHAPES = {
    "circle": None,
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "triangle": [(0, -1), (1, 0.9), (-1, 0.9)],
    "diamond": [(0, -1), (0.75, 0), (0, 1), (-0.75, 0)],
    "cross": [(-0.33, -1), (0.33, -1), (0.33, -0.33), (1, -0.33), (1, 0.33), (0.33, 0.33), (0.33, 1), (-0.33, 1),
              (-0.33, 0.33), (-1, 0.33), (-1, -0.33), (-0.33, -0.33)],
    "arrow": [(-1, -0.3), (0.1, -0.3), (0.1, -0.8), (1, 0), (0.1, 0.8), (0.1, 0.3), (-1, 0.3)],
}


def shade(rng: random.Random, name: str, spread: int = 10) -> tuple:
    return tuple(max(0, min(255, v + rng.randint(-spread, spread))) for v in COLOURS[name])


def brightness(colour: tuple) -> float:
    return (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) / 255


def ground(rng: random.Random) -> tuple:
    """A background: mostly bright."""
    low, high = rng.choice([(236, 255), (236, 255), (170, 255), (0, 80)])
    return tuple(rng.randint(low, high) for _ in range(3))


def ink(rng: random.Random, background: tuple) -> tuple:
    """A colour that can be read on a background."""
    for _ in range(30):
        colour = tuple(rng.randint(0, 255) for _ in range(3))
        if abs(brightness(colour) - brightness(background)) > 0.4:
            return colour
    return (0, 0, 0) if brightness(background) > 0.5 else (255, 255, 255)


def distinct_colours(rng: random.Random, count: int, background: tuple) -> list:
    """Names of colours that differ from each other and from the background."""
    names = []
    order = list(COLOURS)
    rng.shuffle(order)
    for name in order:
        far = sum(abs(a - b) for a, b in zip(COLOURS[name], background, strict=True)) > 180
        if far and not any({name, other} in SIMILAR for other in names):
            names.append(name)
        if len(names) == count:
            break
    return names
