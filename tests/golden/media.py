"""Goldens of picture decoding and resizing, made with Pillow.

    python media.py --media DIR

`--media` is tests/data/media. Writes into it the folder generated/ (small pictures of kinds that the samples lack: every
chroma subsampling, orientations outside JPEG, frames that don't fill their canvas) and two files:

pillow.json         "files": path -> width, height and sha256 of the RGB bytes that
                    `ImageOps.exif_transpose(Image.open(f)).convert("RGB")` gives, or the error that Pillow raises.
                    "deviations": the same for files where Eyeshot means to differ, with the reference that it follows.
pillow_resize.json  "pillow": sha256 of synthetic pictures (patterns as in prompts.py) resized by `Image.resize`;
                    "torch": the same resized by torch's antialiased `interpolate` of 8-bit tensors.
"""

import argparse
import hashlib
import io
import json
import struct
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, PngImagePlugin, __version__

import reference

FILTERS = {"lanczos": Image.LANCZOS, "bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR}

SUBSAMPLINGS = {"444": 0, "422": 1, "420": 2}

# (width, height) from and to: up, down, mixed, odd, no change in one direction, sides of 1.
RESIZES = (
    ((64, 48), (128, 96)), ((128, 96), (64, 48)), ((100, 75), (333, 250)), ((333, 777), (101, 67)),
    ((257, 255), (256, 256)), ((640, 85), (512, 68)), ((31, 97), (97, 31)), ((50, 40), (50, 90)), ((50, 40), (90, 40)),
    ((50, 40), (20, 40)), ((50, 40), (50, 10)), ((1, 1), (64, 64)), ((1, 700), (32, 512)), ((700, 1), (512, 32)),
    ((2, 3), (7, 5)), ((300, 200), (1, 1)), ((300, 200), (1, 40)), ((300, 200), (60, 1)), ((5, 5), (5, 5)),
    ((1920, 1080), (2048, 1152)), ((2048, 1536), (512, 512)), ((799, 601), (2048, 1540)), ((4000, 30), (77, 13)),
    ((13, 3000), (16, 500)), ((17, 19), (19, 17)), ((3, 200), (4, 198)), ((199, 2), (201, 3)), ((65, 64), (64, 65)),
)  # fmt: skip


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def orientation_exif(orientation: int, big_endian: bool = False) -> bytes:
    """An EXIF block with one tag: a TIFF header and a directory of one entry."""
    order = ">" if big_endian else "<"
    header = struct.pack(order + "2sHI", b"MM" if big_endian else b"II", 42, 8)
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return header + struct.pack(order + "H", 1) + entry + struct.pack(order + "I", 0)


def orientation_xmp(orientation: int) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def jpegs(picture: Image.Image) -> dict:
    grey, inks = picture.convert("L"), picture.convert("CMYK")
    files = {f"jpeg_{name}": encoded(picture, "JPEG", subsampling=number) for name, number in SUBSAMPLINGS.items()}
    for name, number in SUBSAMPLINGS.items():
        files[f"jpeg_progressive_{name}"] = encoded(picture, "JPEG", subsampling=number, progressive=True, quality=30)
    files["jpeg_grey_progressive"] = encoded(grey, "JPEG", progressive=True)
    files["jpeg_rgb"] = encoded(picture, "JPEG", keep_rgb=True)
    files["jpeg_cmyk"] = encoded(inks, "JPEG", quality=90)
    files["jpeg_cmyk_progressive"] = encoded(inks, "JPEG", progressive=True)
    files["jpeg_restarts"] = encoded(picture, "JPEG", restart_marker_blocks=2)
    files["jpeg_exif_8"] = encoded(picture, "JPEG", exif=b"Exif\0\0" + orientation_exif(8, big_endian=True))
    files["jpeg_exif_9"] = encoded(picture, "JPEG", exif=b"Exif\0\0" + orientation_exif(9))
    files["jpeg_xmp_6"] = encoded(picture, "JPEG", xmp=orientation_xmp(6))
    return {f"{name}.jpg": data for name, data in files.items()}


def pngs(picture: Image.Image) -> dict:
    files = {f"png_exif_{i}.png": encoded(picture, "PNG", exif=orientation_exif(i)) for i in (3, 6)}
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", orientation_xmp(5).decode(), zip=True)
    files["png_xmp_5.png"] = encoded(picture, "PNG", pnginfo=info)
    digits = orientation_exif(7).hex()
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(digits) // 2:8}\n{digits[:40]}\n{digits[40:]}\n", zip=True)
    files["png_raw_profile_7.png"] = encoded(picture, "PNG", pnginfo=info)
    return files


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def three_bytes(*values) -> bytes:
    return b"".join(struct.pack("<I", value)[:3] for value in values)


def webps(picture: Image.Image) -> dict:
    veiled = picture.convert("RGBA")
    veiled.putalpha(Image.linear_gradient("L").resize(picture.size))
    still = encoded(picture, "WEBP", lossless=True)
    # A first frame at (4, 6) of a canvas of 60 x 50 (chunks VP8X, ANIM, ANMF).
    flags = 0x02
    canvas = chunk(b"VP8X", bytes([flags, 0, 0, 0]) + three_bytes(59, 49))
    frame = three_bytes(2, 3, picture.width - 1, picture.height - 1, 100) + b"\0" + still[12:]
    body = b"WEBP" + canvas + chunk(b"ANIM", b"\xff\xff\xff\xff\0\0") + chunk(b"ANMF", frame)
    return {
        "webp_lossy.webp": encoded(picture, "WEBP", quality=60),
        "webp_alpha_exact.webp": encoded(veiled, "WEBP", lossless=True, exact=True),
        "webp_alpha_lossy.webp": encoded(veiled, "WEBP", quality=50),
        "webp_exif_6.webp": encoded(picture, "WEBP", lossless=True, exif=orientation_exif(6)),
        "webp_xmp_8.webp": encoded(picture, "WEBP", lossless=True, xmp=orientation_xmp(8)),
        "webp_frame_inside.webp": chunk(b"RIFF", body),
    }


def gifs(picture: Image.Image) -> dict:
    """Frames inside and beyond the canvas: the screen's size (bytes 6 to 9) and the frame's place are overwritten."""
    indexed = picture.quantize(32)
    files = {"gif_interlaced.gif": encoded(indexed, "GIF", interlace=1)}
    for name, options in {"gif_inside": {}, "gif_inside_transparent": {"transparency": 5}}.items():
        data = bytearray(encoded(indexed, "GIF", interlace=0, **options))
        place = data.index(b"\x2c", 13 + 3 * 32)
        data[6:10] = struct.pack("<HH", 60, 50)
        data[place + 1 : place + 5] = struct.pack("<HH", 7, 11)
        files[f"{name}.gif"] = bytes(data)
        data[6:10] = struct.pack("<HH", 20, 20)
        files[f"{name.replace('inside', 'beyond')}.gif"] = bytes(data)
    return files


def generate(folder: Path) -> None:
    """Small pictures of odd sizes, so that chroma samples are cut at the edges."""
    folder.mkdir(exist_ok=True)
    picture = Image.fromarray(reference.smooth_picture(37, 29))
    for name, data in {**jpegs(picture), **pngs(picture), **webps(picture), **gifs(picture)}.items():
        (folder / name).write_bytes(data)


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

    generate(media / "generated")
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
    # Pillow 13 changed the order of its passes: run this script with a version before and with one from it on.
    section = "pillow13" if int(__version__.split(".")[0]) >= 13 else "pillow"
    resizes = json.loads((media / "pillow_resize.json").read_text("utf-8"))
    resizes |= {f"{section}_version": __version__, "torch_version": torch.__version__, section: by_pillow}
    write(media / "pillow_resize.json", resizes | {"torch": by_torch})


if __name__ == "__main__":
    main()
