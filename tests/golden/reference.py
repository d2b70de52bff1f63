"""What the golden scripts share: reference processors, synthetic pictures, and small helpers for the output files."""

import hashlib
import importlib.metadata
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

GOLDEN_GAMMA = 0x9E3779B97F4A7C15

PACKAGES = ("transformers", "tokenizers", "torch", "torchvision", "pillow", "numpy", "num2words")


def versions() -> dict:
    """The versions of the packages that decide the values."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def read_json(path: Path):
    return json.loads(path.read_text("utf-8"))


def load_tokenizer(folder: Path):
    """The tokenizer of a model folder, from tokenizer.json and special_tokens_map.json alone."""
    from transformers import PreTrainedTokenizerFast

    special = {}
    for key, token in read_json(folder / "special_tokens_map.json").items():
        if key in ("bos_token", "eos_token", "pad_token", "unk_token"):
            special[key] = token if isinstance(token, str) else token["content"]
    return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **special)


def load_processor(folder: Path):
    """The processor of a model folder with the Pillow image processor (the one that does LANCZOS as Pillow does)."""
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
    from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
    from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor
    from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

    settings = read_json(folder / "processor_config.json")
    template_file = folder / "chat_template.json"
    if template_file.exists():
        template = read_json(template_file)["chat_template"]
    else:
        template = (folder / "chat_template.jinja").read_text("utf-8")
    shared = {"image_seq_len": settings["image_seq_len"], "chat_template": template}
    tokenizer = load_tokenizer(folder)
    if settings["processor_class"] == "Idefics3Processor":
        return Idefics3Processor(Idefics3ImageProcessorPil.from_pretrained(folder), tokenizer, **shared)
    return SmolVLMProcessor(
        SmolVLMImageProcessorPil.from_pretrained(folder),
        tokenizer,
        SmolVLMVideoProcessor.from_pretrained(folder),
        **shared,
    )


def smooth_picture(width: int, height: int) -> np.ndarray:
    """Bands and ramps: byte (x, y, c) = (7x + 3y + 50c + (xy >> 5)) & 255."""
    x = np.arange(width, dtype=np.int64)[None, :, None]
    y = np.arange(height, dtype=np.int64)[:, None, None]
    c = np.arange(3, dtype=np.int64)[None, None, :]
    return ((x * 7 + y * 3 + c * 50 + ((x * y) >> 5)) & 0xFF).astype(np.uint8)


def noise_picture(seed: int, width: int, height: int) -> np.ndarray:
    """White noise: byte (x, y, c) = splitmix64(seed + (y * width + x) * 3 + c) >> 56."""
    x = np.arange(seed, seed + width * height * 3, dtype=np.uint64) + np.uint64(GOLDEN_GAMMA)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(56)).astype(np.uint8).reshape(height, width, 3)


def read_picture(path: Path) -> Image.Image:
    """A picture file as `load_image` of transformers gives it: EXIF orientation applied, then RGB."""
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def sha256(array: np.ndarray) -> str:
    """Hash of an array's bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def run_lengths(ids) -> list:
    """Token ids as [[id, count], ...]."""
    runs = []
    for token in ids:
        if runs and runs[-1][0] == token:
            runs[-1][1] += 1
        else:
            runs.append([int(token), 1])
    return runs


def write_sections(path: Path, sections: dict) -> None:
    """A JSON object whose list members stand one element a line and whose other members stand on one line."""
    parts = []
    for key, value in sections.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            body = "[\n" + ",\n".join("  " + json.dumps(item) for item in value) + "\n ]"
        else:
            body = json.dumps(value)
        parts.append(f" {json.dumps(key)}: {body}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", "utf-8")
