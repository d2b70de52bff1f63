"""Goldens of picture decoding and resizing, made with Pillow.

    python media.py --media DIR

`--media` is tests/data/media. Writes two files into it:

pillow.json         "files": path -> width, height and sha256 of the RGB bytes that
                    `ImageOps.exif_transpose(Image.open(f)).convert("RGB")` gives, or the error that Pillow raises.
                    "deviations": the same for files where Eyeshot means to differ, with the reference that it follows.
pillow_resize.json  "pillow": sha256 of synthetic pictures (patterns as in prompts.py) resized by `Image.resize`;
                    "torch": the same resized by torch's antialiased `interpolate` of 8-bit tensors.
"""

import argparse
import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, __version__

import reference

FILTERS = {"lanczos": Image.LANCZOS, "bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR}

# (width, height) from and to: up, down, mixed, odd, no change in one direction, sides of 1.
RESIZES = (
    ((64, 48), (128, 96)), ((128, 96), (64, 48)), ((100, 75), (333, 250)), ((333, 777), (101, 67)),
    ((257, 255), (256, 256)), ((640, 85), (512, 68)), ((31, 97), (97, 31)), ((50, 40), (50, 90)), ((50, 40), (90, 40)),
    ((50, 40), (20, 40)), ((50, 40), (50, 10)), ((1, 1), (64, 64)), ((1, 700), (32, 512)), ((700, 1), (512, 32)),
    ((2, 3), (7, 5)), ((300, 200), (1, 1)), ((300, 200), (1, 40)), ((300, 200), (60, 1)), ((5, 5), (5, 5)),
    ((1920, 1080), (2048, 1152)), ((2048, 1536), (512, 512)), ((799, 601), (2048, 1540)), ((4000, 30), (77, 13)),
    ((13, 3000), (16, 500)), ((17, 19), (19, 17)), ((3, 200), (4, 198)), ((199, 2), (201, 3)), ((65, 64), (64, 65)),
)  # fmt: skip


def describe(picture: Image.Image) -> dict:
    return {
        "width": picture.width,
        "height": picture.height,
        "sha256": hashlib.sha256(picture.tobytes()).hexdigest(),
    }


def read_by_pillow(path: Path) -> dict:
    """The picture that Pillow shows, or the error that it raises."""
    try:
        with Image.open(path) as opened:
            return describe(ImageOps.exif_transpose(opened).convert("RGB"))
    except Exception as error:  # noqa: BLE001 (whatever it is, it is the answer)
        return {"error": f"{type(error).__name__}: {error}".split(": /")[0].split("'")[0]}


def scaled_grey16(path: Path) -> dict:
    """16-bit grey scaled to 8 bits, rounded to nearest; Pillow's conversion clips at 255 instead."""
    with Image.open(path) as opened:
        values = np.asarray(opened).astype(np.uint32)
    grey = ((values * 255 + 32767) // 65535).astype(np.uint8)
    return describe(Image.fromarray(grey).convert("RGB"))


def is_grey16(path: Path) -> bool:
    data = path.read_bytes()
    return data[:8] == b"\x89PNG\r\n\x1a\n" and data[24:26] == b"\x10\x00"


def resize_by_torch(picture: np.ndarray, size: tuple, mode: str) -> np.ndarray:
    planes = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
    height_width = [size[1], size[0]]
    if tuple(planes.shape[2:]) != tuple(height_width):  # torchvision leaves a picture of the right size alone
        planes = torch.nn.functional.interpolate(
            planes, size=height_width, mode=mode, align_corners=False, antialias=True
        )
    return np.ascontiguousarray(planes[0].numpy().transpose(1, 2, 0))


def resize_cases() -> tuple:
    by_pillow, by_torch = [], []
    for index, (before, after) in enumerate(RESIZES):
        seed = 500 + index
        picture = reference.noise_picture(seed, *before)
        if index % 2 == 0:
            picture = reference.smooth_picture(*before)
        case = {"seed": seed if index % 2 else None, "from": before, "to": after}
        for name, number in FILTERS.items():
            resized = Image.fromarray(picture).resize(after, number)
            by_pillow.append({**case, "filter": name, "sha256": hashlib.sha256(resized.tobytes()).hexdigest()})
        if after == (1, 1) and before != after:
            continue  # torch 2.15 fails an assertion of its own here
        for name in ("lanczos", "bicubic"):
            resized = resize_by_torch(picture, after, name)
            by_torch.append({**case, "filter": name, "sha256": hashlib.sha256(resized.tobytes()).hexdigest()})
    return by_pillow, by_torch


def write(path: Path, sections: dict) -> None:
    """JSON with one entry a line, so that a changed value is a changed line."""
    parts = []
    for name, section in sections.items():
        if isinstance(section, str):
            parts.append(f" {json.dumps(name)}: {json.dumps(section)}")
        elif isinstance(section, dict):
            lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in section.items()]
            parts.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
        else:
            lines = [f"  {json.dumps(value)}" for value in section]
            parts.append(f" {json.dumps(name)}: [\n" + ",\n".join(lines) + "\n ]")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True)
    media = parser.parse_args().media
    warnings.simplefilter("ignore")

    files, deviations = {}, {}
    for path in sorted(media.rglob("*")):
        if path.suffix not in (".png", ".jpg", ".gif", ".webp", ".bmp"):
            continue
        name = path.relative_to(media).as_posix()
        files[name] = read_by_pillow(path)
        if is_grey16(path) and "error" not in files[name]:
            deviations[name] = {"why": "grey16", **scaled_grey16(path)}
    write(media / "pillow.json", {"pillow": __version__, "files": files, "deviations": deviations})
    by_pillow, by_torch = resize_cases()
    write(
        media / "pillow_resize.json",
        {"pillow_version": __version__, "torch_version": torch.__version__, "pillow": by_pillow, "torch": by_torch},
    )


if __name__ == "__main__":
    main()
