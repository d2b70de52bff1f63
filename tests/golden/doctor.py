"""The dump of the built-in model for the tests of `eyeshot doctor`, by scripts/reference_dump.py.

    python doctor.py --model DIR --demo DIR --out DIR

Two pictures of demo/: shapes.png, and two columns of receipt.png one below the other: so tall that Pillow 13 resizes it
in another order of passes than Pillow 12.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/reference_dump.py"
COLUMN = 80


def tall_picture(receipt: Path) -> Image.Image:
    picture = Image.open(receipt).convert("L")
    height = picture.height
    tall = Image.new("L", (COLUMN, 2 * height))
    tall.paste(picture.crop((20, 0, 20 + COLUMN, height)), (0, 0))
    tall.paste(picture.crop((picture.width - COLUMN - 20, 0, picture.width - 20, height)), (0, height))
    return tall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--demo", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tall = Path(folder) / "tall.png"
        tall_picture(args.demo / "receipt.png").save(tall, optimize=True)
        command = [sys.executable, SCRIPT, args.model, args.out, "--rows", "4", "--columns", "48", "--tokens", "16"]
        for path, question in ((args.demo / "shapes.png", "How many shapes are there?"),
                               (tall, "Read all the text in this image.")):
            command += ["--picture", path, "--question", question]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
