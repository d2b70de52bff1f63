#!/usr/bin/env python3
"""Makes a 1920 x 1080 JPEG of a picture: make_photo.py PICTURE OUT.jpg"""
import pathlib
import sys

from PIL import Image, ImageOps


def main() -> None:
    """Crops to 16:9 around the middle and resizes."""
    source, target = map(pathlib.Path, sys.argv[1:])
    photo = ImageOps.fit(Image.open(source).convert("RGB"), (1920, 1080), Image.Resampling.LANCZOS)
    photo.save(target, quality=90)


if __name__ == "__main__":
    main()
