"""The families of scenes: shapes, signs, lines of text, receipts, forms, bar charts. Standard library alone.

Each takes a source of chance, a size and a split ("train" or "eval", for words that are held out), and gives a Scene
whose questions can be answered from what is drawn.
"""

import random

from recipe import words
from recipe.scene import SHAPES, Scene, Shape, Text, distinct_colours, ground, ink, shade

PLACES = [["top left", "top", "top right"], ["left", "middle", "right"], ["bottom left", "bottom", "bottom right"]]


def shapes(rng: random.Random, width: int, height: int, split: str) -> Scene:
    """Coloured shapes on the cells of a 3 x 3 board."""
    del split
    scene = Scene(width, height, ground(rng))
    colours = distinct_colours(rng, 5, scene.background)
    count = rng.randint(1, 6)
    cell = min(width, height) / 3
    drawn = []
    for place in sorted(rng.sample(range(9), count)):
        row, column = divmod(place, 3)
        kind, colour = rng.choice(list(SHAPES)), rng.choice(colours)
        size = cell * rng.uniform(0.5, 0.85)
        x, y = (column + 0.5) * width / 3, (row + 0.5) * height / 3
        slack = (cell - size) / 3
        scene.marks.append(Shape(kind, x + rng.uniform(-slack, slack), y + rng.uniform(-slack, slack), size,
                                 shade(rng, colour)))
        drawn.append((kind, colour, PLACES[row][column]))
    ask_about_shapes(rng, scene, drawn, colours)
    return scene


def ask_about_shapes(rng: random.Random, scene: Scene, drawn: list, colours: list) -> None:
    """drawn: kind, colour and place of each shape."""
    scene.ask("shapes_count", rng.choice(["How many shapes are there?", "Count the shapes."]), str(len(drawn)))
    colour = rng.choice(colours)
    scene.ask("shapes_count", f"How many {colour} shapes are there?", str(sum(c == colour for _, c, _ in drawn)))
    kinds = [kind for kind, _, _ in drawn]
    alone = [shape for shape in drawn if kinds.count(shape[0]) == 1]
    if alone:
        kind, colour, place = rng.choice(alone)
        scene.ask("shapes_colour", rng.choice([f"What color is the {kind}?", f"Which color has the {kind}?"]), colour)
        scene.ask("shapes_place", f"Where is the {kind}?", place)
    kind, colour = rng.choice(list(SHAPES)), rng.choice(colours)
    there = any(k == kind and c == colour for k, c, _ in drawn)
    article = "an" if colour[0] in "aeiou" else "a"
    scene.ask("shapes_there", f"Is there {article} {colour} {kind}?", "Yes" if there else "No")


def write(scene: Scene, text: str, x: float, y: float, size: float, font: float, colour: tuple,
          end: float = 0.99) -> None:
    """A line of text that ends before that share of the scene's width."""
    scene.marks.append(Text(x, y, size, text, colour, font, scene.width * end - x))


def number(rng: random.Random, width: int, height: int, split: str) -> Scene:
    """A number of two digits as large as the picture: what a model learns to read first."""
    scene = Scene(width, height, ground(rng))
    text = rng.choice([str(n) for n in range(10, 100) if words.is_held_out(str(n), 8) == (split == "eval")])
    size = height * rng.uniform(0.45, 0.7)
    write(scene, text, width * rng.uniform(0.05, 0.3), (height - size) * rng.uniform(0.2, 0.8), size, rng.random(),
          ink(rng, scene.background))
    scene.ask("number", rng.choice(["What number is it?", "Read the number."]), text)
    return scene


def sign(rng: random.Random, width: int, height: int, split: str) -> Scene:
    """One to three words on a board."""
    scene = Scene(width, height, ground(rng))
    board = tuple(rng.randint(0, 255) for _ in range(3))
    scene.marks.append(Shape("box", width / 2, height / 2, width * 0.92, board, height * rng.uniform(0.4, 0.8)))
    text = " ".join(words.word(rng, split) for _ in range(rng.randint(1, 3)))
    text = rng.choice([text.upper(), text.title()])
    size = min(height * 0.3, width * 1.3 / len(text))
    write(scene, text, width * 0.09, height / 2 - size * 0.6, size, rng.random(), ink(rng, board), 0.92)
    scene.ask("sign", rng.choice(["What does the sign say?", "Read the sign.", "What is written on the sign?"]), text)
    return scene


def lines(rng: random.Random, width: int, height: int, split: str) -> Scene:
    scene = Scene(width, height, ground(rng))
    colour, font = ink(rng, scene.background), rng.random()
    count = rng.randint(1, 6)
    texts = [words.line(rng, split) for _ in range(count)]
    pitch = height / (count + 1)
    size = min(pitch * 0.75, height * 0.14)
    for i, text in enumerate(texts):
        write(scene, text, width * 0.05, pitch * (i + 0.5), size, font, colour)
    scene.ask("read", rng.choice(["Read the text.", "What does the text say?", "Transcribe the text."]), "\n".join(texts))
    which = rng.randrange(count)
    scene.ask("read_line", f"Read line {which + 1}.", texts[which])
    scene.ask("line_count", "How many lines of text are there?", str(count))
    return scene


def receipt(rng: random.Random, width: int, height: int, split: str) -> Scene:
    scene = Scene(width, height, tuple(rng.randint(235, 255) for _ in range(3)))
    colour, font = ink(rng, scene.background), rng.random()
    shop = f"{words.word(rng, split).capitalize()} {rng.choice(words.SHOPS)}"
    items = [(name, words.price(rng)) for name in rng.sample(words.GOODS, rng.randint(2, 6))]
    total = f"${sum(cost for _, cost in items):.2f}"
    rows = [(shop, ""), (words.date(rng), ""), *[(name, f"${cost:.2f}") for name, cost in items], ("Total", total)]
    pitch = height / (len(rows) + 1)
    for i, (left, right) in enumerate(rows):
        y = pitch * (i + 0.5)
        write(scene, left, width * 0.06, y, pitch * 0.7, font, colour, 0.64 if right else 0.99)
        if right:
            write(scene, right, width * 0.66, y, pitch * 0.7, font, colour)
    scene.ask("receipt_total", rng.choice(["What is the total?", "How much is the total?"]), total)
    name, cost = rng.choice(items)
    scene.ask("receipt_price", rng.choice([f"How much is the {name}?", f"What is the price of {name}?"]), f"${cost:.2f}")
    scene.ask("receipt_shop", "What is the name of the shop?", shop)
    return scene


def form(rng: random.Random, width: int, height: int, split: str) -> Scene:
    scene = Scene(width, height, ground(rng))
    colour, font = ink(rng, scene.background), rng.random()
    fields = [(label, words.value_of(rng, label, split)) for label in rng.sample(words.LABELS, rng.randint(2, 6))]
    pitch = height / (len(fields) + 1)
    size = min(pitch * 0.65, height * 0.12)
    for i, (label, value) in enumerate(fields):
        write(scene, f"{label}:", width * 0.05, pitch * (i + 0.5), size, font, colour, 0.4)
        write(scene, value, width * 0.42, pitch * (i + 0.5), size, font, colour)
    label, value = rng.choice(fields)
    scene.ask("form", rng.choice([f"What is the {label.lower()}?", f"What stands behind {label}?"]), value)
    return scene


def bars(rng: random.Random, width: int, height: int, split: str) -> Scene:
    """A bar chart with the values on top of the bars."""
    scene = Scene(width, height, tuple(rng.randint(235, 255) for _ in range(3)))
    colour, font = ink(rng, scene.background), rng.random()
    count = rng.randint(3, 6)
    names = rng.sample(words.words(split), count)
    values = rng.sample(range(5, 100), count)
    pitch = width / count
    fill = shade(rng, rng.choice(["red", "green", "blue", "orange", "purple"]))
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        tall = height * 0.7 * value / 100
        scene.marks.append(Shape("box", (i + 0.5) * pitch, height * 0.86 - tall / 2, pitch * 0.6, fill, tall))
        scene.marks.append(Text(i * pitch + 2, height * 0.88, height * 0.07, name, colour, font, pitch - 4))
        scene.marks.append(Text((i + 0.35) * pitch, height * 0.79 - tall, height * 0.06, str(value), colour, font, pitch))
    which = rng.randrange(count)
    scene.ask("chart_value", f"What is the value of {names[which]}?", str(values[which]))
    highest = names[values.index(max(values))]
    scene.ask("chart_highest", rng.choice(["Which bar is the highest?", "What has the highest value?"]), highest)
    scene.ask("chart_count", "How many bars are there?", str(count))
    return scene


FAMILIES = {"shapes": shapes, "number": number, "sign": sign, "lines": lines, "receipt": receipt, "form": form,
            "bars": bars}


def make(families: dict, seed: str, width: int, height: int, split: str) -> Scene:
    """A scene of one of `families` (name: weight). The same seed gives the same scene."""
    rng = random.Random(seed)
    name = rng.choices(list(families), list(families.values()))[0]
    return FAMILIES[name](rng, width, height, split)
