#!/usr/bin/env python3
"""Writes what transformers makes of pictures and questions, step by step, for `eyeshot doctor MODEL --dump DUMP`.

    pip install torch torchvision transformers pillow numpy safetensors
    python reference_dump.py MODEL DUMP [--picture FILE --question TEXT]... [--no-split] [--dtype float32|bfloat16]

MODEL is a folder or a name of the hub. The dump is a folder: dump.json (versions, hashes of the model's files and
tensors, tiles, prompts, token ids, the greedy answer), dump.safetensors (samples of the outputs of vision tower,
connector and head), and copies of the pictures. docs/doctor.md describes it field by field.
"""
import argparse
import hashlib
import importlib.metadata
import json
import pathlib
import shutil
import struct

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.numpy import save_file
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor
from transformers import logging as transformers_logging

PACKAGES = ("transformers", "tokenizers", "torch", "torchvision", "pillow", "numpy")
SMALL_FILES = ("chat_template.jinja", "chat_template.json", "config.json", "generation_config.json", "merges.txt",
               "preprocessor_config.json", "processor_config.json", "special_tokens_map.json", "tokenizer.json",
               "tokenizer_config.json", "added_tokens.json", "vocab.json")
TILE_SAMPLES = 256
SEED = 7


def evenly(count: int, wanted: int) -> np.ndarray:
    """At most `wanted` indices of `count`, the last one among them."""
    return np.unique(np.linspace(count - 1, 0, min(count, wanted)).round().astype(np.int64))


def sha256(data) -> str:
    return hashlib.sha256(data).hexdigest()


def folder_of(model: str) -> pathlib.Path:
    """The model's folder, downloaded if need be."""
    if pathlib.Path(model).is_dir():
        return pathlib.Path(model)
    from huggingface_hub import snapshot_download
    return pathlib.Path(snapshot_download(model, allow_patterns=["*.json", "*.jinja", "*.txt", "*.safetensors"]))


def tensor_hashes(folder: pathlib.Path) -> dict:
    """For each tensor of the folder's safetensors files the first 16 digits of the SHA-256 of its bytes."""
    hashes = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header_bytes, = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(header_bytes))
            for name, entry in header.items():
                if name != "__metadata__":
                    begin, end = entry["data_offsets"]
                    file.seek(8 + header_bytes + begin)
                    hashes[name] = sha256(file.read(end - begin))[:16]
    return hashes


def load_processor(folder: pathlib.Path):
    """The processor, with the image processor that resizes by Pillow: it is what models were trained with."""
    processor = AutoProcessor.from_pretrained(folder)
    try:
        processor.image_processor = AutoImageProcessor.from_pretrained(folder, backend="pil")  # transformers 5
    except (TypeError, ValueError):
        processor.image_processor = AutoImageProcessor.from_pretrained(folder, use_fast=False)
    return processor


def run_lengths(ids) -> list:
    """Token ids as [[id, count], ...]."""
    runs = []
    for token in ids:
        if runs and runs[-1][0] == token:
            runs[-1][1] += 1
        else:
            runs.append([int(token), 1])
    return runs


class Dump:
    """What is written in the end."""

    def __init__(self, args):
        self.args = args
        self.folder = folder_of(args.model)
        self.processor = load_processor(self.folder)
        self.model = AutoModelForImageTextToText.from_pretrained(
            self.folder, dtype=getattr(torch, args.dtype), attn_implementation="eager").eval()
        self.arrays = {}
        self.cases = []

    def tiles(self, picture, split: bool) -> np.ndarray:
        """The 8-bit tiles that the model sees, [tiles, side, side, 3]."""
        out = self.processor.image_processor([[picture]], do_rescale=False, do_normalize=False, do_image_splitting=split)
        tiles = np.asarray(out["pixel_values"])[0].transpose(0, 2, 3, 1)
        return np.ascontiguousarray(np.round(tiles).astype(np.uint8))

    def forward(self, inputs: dict) -> dict:
        """Outputs of tower, connector and head, without the batch, as float32."""
        kept = {}

        def keep(name):
            return lambda _, args, output: kept.__setitem__(name, getattr(output, "last_hidden_state", output))

        hooks = [self.model.model.vision_model.register_forward_hook(keep("tower")),
                 self.model.model.connector.register_forward_hook(keep("connector"))]
        with torch.no_grad():
            kept["logits"] = self.model(**inputs, use_cache=False).logits[0]
        for hook in hooks:
            hook.remove()
        return {name: tensor.reshape(-1, tensor.shape[-1]).float().numpy() for name, tensor in kept.items()}

    def greedy(self, inputs: dict) -> dict:
        """The greedy answer, and at each step how far the second best token is."""
        with torch.no_grad():
            out = self.model.generate(**inputs, do_sample=False, num_beams=1, repetition_penalty=1.0,
                                      max_new_tokens=self.args.tokens, output_logits=True, return_dict_in_generate=True)
        best = torch.stack(out.logits).float()[:, 0].topk(2).values
        ids = out.sequences[0, inputs["input_ids"].shape[1]:].tolist()
        return {"ids": ids, "gaps": [round(float(a - b), 4) for a, b in best],
                "text": self.processor.tokenizer.decode(ids, skip_special_tokens=True)}

    def add(self, path: pathlib.Path, question: str, out: pathlib.Path):
        name, split = str(len(self.cases)), not self.args.no_split
        copy = f"picture_{name}{path.suffix.lower()}"
        shutil.copyfile(path, out / copy)
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        tiles = self.tiles(picture, split)
        content = [{"type": "image"}, {"type": "text", "text": question}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        inputs = dict(self.processor(text=text, images=[picture], do_image_splitting=split, return_tensors="pt"))
        inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        ids = inputs["input_ids"][0].tolist()
        outputs = self.forward(inputs)

        text_begin = max((i for i, token in enumerate(ids) if token == self.processor.image_token_id), default=-1) + 1
        positions = text_begin + evenly(len(ids) - text_begin, self.args.rows)
        logits = outputs["logits"][positions]
        # The best tokens of the last position, and others by chance.
        best = np.argsort(-logits[-1], kind="stable")[:16]
        chance = np.random.RandomState(SEED).permutation(logits.shape[1])[:self.args.columns]
        columns = np.unique(np.concatenate([best, chance]))
        rows = {key: evenly(len(outputs[key]), self.args.rows) for key in ("tower", "connector")}
        for key, picked in rows.items():
            self.arrays[f"{name}.{key}"] = outputs[key][picked]
        self.arrays[f"{name}.logits"] = logits[:, columns]
        self.arrays[f"{name}.tiles"] = tiles.reshape(len(tiles), -1)[:, evenly(tiles[0].size, TILE_SAMPLES)]
        self.cases.append({
            "picture": copy, "width": picture.width, "height": picture.height, "rgb_sha256": sha256(picture.tobytes()),
            "question": question, "split": split, "tile_side": tiles.shape[1],
            "tiles_sha256": [sha256(tile.tobytes()) for tile in tiles],
            "prompt": self.processor.tokenizer.decode(ids, skip_special_tokens=False,
                                                      clean_up_tokenization_spaces=False),
            "ids": run_lengths(ids), "tower_rows": rows["tower"].tolist(), "connector_rows": rows["connector"].tolist(),
            "logit_positions": positions.tolist(), "logit_columns": columns.tolist(), "greedy": self.greedy(inputs)})
        # Visual slots are many and all alike.
        slots = self.processor.image_token * self.processor.image_seq_len
        self.cases[-1]["prompt"] = self.cases[-1]["prompt"].replace(slots, self.processor.image_token + "*")

    def write(self, out: pathlib.Path):
        files = {name: sha256((self.folder / name).read_bytes()) for name in SMALL_FILES if (self.folder / name).is_file()}
        save_file({name: np.ascontiguousarray(array) for name, array in self.arrays.items()}, out / "dump.safetensors")
        (out / "dump.safetensors").chmod(0o644)  # save_file writes for its owner alone
        parts = {"format": "eyeshot-reference-dump", "version": 1,
                 "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
                 "image_processor": type(self.processor.image_processor).__name__, "dtype": self.args.dtype,
                 "files": files, "tensors": tensor_hashes(self.folder), "cases": self.cases}
        text = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in parts.items())
        (out / "dump.json").write_text("{\n" + text + "\n}\n", "utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("dump", type=pathlib.Path)
    parser.add_argument("--picture", type=pathlib.Path, action="append", required=True)
    parser.add_argument("--question", action="append", help="one a picture (default: Describe the image.)")
    parser.add_argument("--no-split", action="store_true", help="one view a picture instead of tiles")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rows", type=int, default=16, help="rows of each output that are kept")
    parser.add_argument("--columns", type=int, default=240, help="logits of a position that are kept, beside the best")
    parser.add_argument("--tokens", type=int, default=32, help="of the greedy answer, at most")
    args = parser.parse_args()
    questions = args.question or ["Describe the image."]
    if len(questions) not in (1, len(args.picture)):
        parser.error("give one --question, or one for each --picture")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    args.dump.mkdir(parents=True, exist_ok=True)
    dump = Dump(args)
    for i, path in enumerate(args.picture):
        dump.add(path, questions[i] if len(questions) > 1 else questions[0], args.dump)
        print(f"{path}: {len(dump.cases[-1]['tiles_sha256'])} tiles, answer: {dump.cases[-1]['greedy']['text']}")
    dump.write(args.dump)


if __name__ == "__main__":
    main()
