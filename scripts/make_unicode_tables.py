"""Writes src/text/unicode_tables.cc: the character classes that Hugging Face's tokenizers decide by.

    pip install --target UCD16 unicodedata2==16.0.0
    pip install --target UCD17 unicodedata2==17.0.1
    python make_unicode_tables.py --regex UCD16 --numeric UCD17 --out src/text/unicode_tables.cc

tokenizers 0.23 takes its classes from two versions of Unicode: the regular expressions (letters, numbers, white space
and word characters) from 16.0, Rust's char::is_numeric, which its Digits step calls, from 17.0. Both were found by
asking the library about every code point; tests/data/golden/tokenizer/classes.json.zst holds the answers.
"""

import argparse
import importlib.machinery
import importlib.util
from pathlib import Path

CODE_POINTS = 0x110000

LETTER, NUMBER, SPACE, NUMERIC, WORD = 1, 2, 4, 8, 16

# White_Space beyond the separators Zs, Zl and Zp.
CONTROL_SPACES = {0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x85}
# Alphabetic symbols (Other_Alphabetic of category So): circled, squared and negative letters.
ALPHABETIC_SYMBOLS = ((0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189))
# Join_Control.
JOINERS = {0x200C, 0x200D}

HEADER = """\
// Made by scripts/make_unicode_tables.py from the Unicode Character Database: {regex} (letters, numbers, white space and
// word characters) and {numeric} (numeric). Not to be edited.
#include "text/unicode.h"

namespace eyeshot::internal {{

// First code point of each range whose characters are in the same classes, shifted left by 8, and the classes.
const uint32_t kUnicodeRanges[] = {{
"""


def load(folder: Path):
    """The module unicodedata2 of one folder; two versions can be loaded side by side."""
    spec = importlib.machinery.PathFinder.find_spec("unicodedata2", [str(folder)])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def classes(code_point: int, regex, numeric) -> int:
    category = regex.category(chr(code_point))
    symbol = any(first <= code_point <= last for first, last in ALPHABETIC_SYMBOLS)
    bits = 0
    if category[0] == "L":
        bits |= LETTER
    if category[0] == "N":
        bits |= NUMBER
    if category[0] == "Z" or code_point in CONTROL_SPACES:
        bits |= SPACE
    if numeric.category(chr(code_point))[0] == "N":
        bits |= NUMERIC
    if category[0] in "LM" or category in ("Nd", "Nl", "Pc") or symbol or code_point in JOINERS:
        bits |= WORD
    return bits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regex", type=Path, required=True, help="folder with unicodedata2 16.0.0")
    parser.add_argument("--numeric", type=Path, required=True, help="folder with unicodedata2 17.0.1")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    regex, numeric = load(args.regex), load(args.numeric)

    ranges, last = [], None
    for code_point in range(CODE_POINTS):
        bits = classes(code_point, regex, numeric)
        if bits != last:
            ranges.append(f"0x{code_point << 8 | bits:x},")
            last = bits

    lines, line = [], "   "
    for item in ranges:
        if len(line) + 1 + len(item) > 120:
            lines.append(line)
            line = "   "
        line += " " + item
    lines.append(line)
    text = HEADER.format(regex=regex.unidata_version, numeric=numeric.unidata_version)
    text += "\n".join(lines) + "\n};\n"
    text += f"const size_t kUnicodeRangeCount = {len(ranges)};\n\n}}  // namespace eyeshot::internal\n"
    args.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
