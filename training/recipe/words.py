"""Texts that are written into pictures. Words come from Debian's wamerican (public domain) where it is installed."""

import functools
import random
import re
import zlib
from pathlib import Path

WORD_LIST = Path("/usr/share/dict/words")
# Enough to run without the package, as tests do.
FEW_WORDS = """apple bread bridge candle castle cloud coffee copper corner cotton engine family farmer flower forest
garden glass harbor hotel island jacket kettle ladder lemon letter market meadow mirror morning mountain museum needle
number ocean orange orchard paper pencil pepper picture pillow planet pocket river school season shadow silver station
stone summer table ticket tower travel valley village water weather window winter yellow""".split()
MONTHS = "January February March April May June July August September October November December".split()
SHOPS = ["Market", "Bakery", "Cafe", "Books", "Garden", "Pharmacy", "Hardware", "Kitchen", "Deli", "Flowers"]
GOODS = ["Coffee", "Tea", "Milk", "Bread", "Butter", "Cheese", "Eggs", "Apples", "Rice", "Pasta", "Soap", "Paper", "Juice",
         "Honey", "Salt", "Pens", "Batteries", "Flour", "Onions", "Fish"]
LABELS = ["Name", "City", "Date", "Phone", "Room", "Order", "Street", "Color", "Total", "Code"]
# Words that shall not stand in pictures: any word with one of these in it is left out.
UNWANTED = re.compile("fuck|shit|cunt|nigg|negr|whore|slut|bitch|bastard|penis|vagin|orgas|erotic|porn|nazi|hitler|suicid|"
                      "murder|slave|naked|faggot|semen|lynch|terror|cocain|heroin|sexual|"
                      "^(rap(e|is)|puss|kill|sex|nude|homo|dick|cock|anal|anus|kike|chink|gook|queer|crap|piss|fart|damn)|"
                      "^(spics?|jews?|tits?|ass(es)?|hell)$")


def is_held_out(text: str, one_in: int) -> bool:
    """Whether a word or the name of a font is for evaluation alone. The same on every machine."""
    return zlib.crc32(text.encode()) % one_in == 0


@functools.cache
def words(split: str) -> list:
    """Those of "train" or "eval"; an evaluation has none that were trained on."""
    found = FEW_WORDS
    if WORD_LIST.exists():
        listed = WORD_LIST.read_text(encoding="utf-8").split()
        found = [word for word in listed if re.fullmatch("[a-z]{3,10}", word) and not UNWANTED.search(word)]
    return [word for word in found if is_held_out(word, 16) == (split == "eval")]


def word(rng: random.Random, split: str) -> str:
    return rng.choice(words(split))


def price(rng: random.Random) -> float:
    return rng.randint(50, 4999) / 100


def date(rng: random.Random) -> str:
    year, month, day = rng.randint(1990, 2030), rng.randint(1, 12), rng.randint(1, 28)
    return rng.choice([f"{year}-{month:02}-{day:02}", f"{day} {MONTHS[month - 1]} {year}", f"{day:02}/{month:02}/{year}"])


def value_of(rng: random.Random, label: str, split: str) -> str:
    """What stands behind a label of a form."""
    makers = {
        "Date": lambda: date(rng),
        "Phone": lambda: f"{rng.randint(200, 999)}-{rng.randint(0, 9999):04}",
        "Room": lambda: str(rng.randint(1, 499)),
        "Order": lambda: f"#{rng.randint(1000, 99999)}",
        "Total": lambda: f"${price(rng):.2f}",
        "Code": lambda: "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=2)) + f"-{rng.randint(100, 9999)}",
    }
    return makers[label]() if label in makers else word(rng, split).capitalize()


def line(rng: random.Random, split: str) -> str:
    """A line of text of one to five words, numbers among them."""
    parts = [word(rng, split) if rng.random() < 0.85 else str(rng.randint(0, 9999)) for _ in range(rng.randint(1, 5))]
    text = " ".join(parts)
    return rng.choice([text.capitalize(), text.capitalize(), text, text.upper()])
