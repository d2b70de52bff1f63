"""Goldens of every checkpoint of the family at its true shape, with seeded weights, run by transformers in float32.

    python family.py --checkpoints DIR --picture PNG --work DIR --out DIR [--only NAME] [--long]

Makes each checkpoint (seed 1) in the folder of --work, one after the other (up to 4.5 GB), and stores a few rows of the
tower and of the connector and a part of the logits of one tile and a short prompt of fixed ids. --long stores instead
the logits of the last position of a full context of text, which takes minutes. README.md names every field.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForImageTextToText
from transformers import logging as transformers_logging
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

import checkpoint
import reference

SEED = 1
# Folder and the name of its goldens.
MODELS = {
    "SmolVLM-256M-Instruct": "smolvlm-256m",
    "SmolVLM-500M-Instruct": "smolvlm-500m",
    "SmolVLM-Instruct": "smolvlm-2.2b",
    "SmolVLM2-2.2B-Instruct": "smolvlm2-2.2b",
    "granite-docling-258M": "granite-docling",
}
# Those whose full context is run.
LONG = ("SmolVLM-256M-Instruct", "SmolVLM-500M-Instruct", "SmolVLM-Instruct")

TOWER_ROWS = 5
CONNECTOR_ROWS = 3
IDS_BEFORE = 6
IDS_AFTER = 24
LOGIT_POSITIONS = 16
COLUMNS = 128
COLUMNS_SEED = 7
# Ids of text that every vocabulary has.
LEAST_ID = 100
MOST_ID = 40000


def text_ids(count: int, seed: int) -> np.ndarray:
    """Ids by formula: LEAST_ID + splitmix64(seed + i) mod (MOST_ID - LEAST_ID)."""
    x = np.arange(seed, seed + count, dtype=np.uint64) + np.uint64(reference.GOLDEN_GAMMA)
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return (LEAST_ID + (x % np.uint64(MOST_ID - LEAST_ID))).astype(np.int64)


def every(count: int, total: int) -> np.ndarray:
    """`count` rows of `total`, the first and the last among them."""
    return np.linspace(0, total - 1, count).round().astype(int)


def load(folder: Path, attention: str):
    return AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=attention
    ).eval()


def run_short(model, folder: Path, picture) -> dict:
    processor = Idefics3ImageProcessorPil.from_pretrained(folder)
    tiles = processor([[picture]], do_image_splitting=False, return_tensors="pt")
    config = model.config
    side = config.vision_config.image_size // config.vision_config.patch_size // config.scale_factor
    ids = np.concatenate(
        [text_ids(IDS_BEFORE, 1), np.full(side * side, config.image_token_id), text_ids(IDS_AFTER, 1000)]
    )
    kept = {}

    def keep(name):
        return lambda _, args, output: kept.__setitem__(name, getattr(output, "last_hidden_state", output))

    hooks = [
        model.model.vision_model.register_forward_hook(keep("tower")),
        model.model.connector.register_forward_hook(keep("connector")),
    ]
    with torch.no_grad():
        logits = model(
            input_ids=torch.from_numpy(ids)[None], attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            pixel_values=tiles["pixel_values"].float(), use_cache=False,
        ).logits
    for hook in hooks:
        hook.remove()
    tower, connector = kept["tower"][0].numpy(), kept["connector"][0].numpy()
    vocabulary = logits.shape[-1]
    columns = np.sort(np.random.RandomState(COLUMNS_SEED).permutation(vocabulary)[:COLUMNS])
    tower_rows, connector_rows = every(TOWER_ROWS, len(tower)), every(CONNECTOR_ROWS, len(connector))
    tile = processor([[picture]], do_image_splitting=False, do_rescale=False, do_normalize=False)["pixel_values"]
    return {
        "arrays": {
            "tower": tower[tower_rows],
            "connector": connector[connector_rows],
            "logits": logits[0, -LOGIT_POSITIONS:].numpy()[:, columns],
        },
        "fields": {
            "input_ids": reference.run_lengths(ids),
            "tile_rgb_sha256": reference.sha256(np.asarray(tile)[0, 0].transpose(1, 2, 0)),
            "tower_rows": tower_rows.tolist(),
            "connector_rows": connector_rows.tolist(),
            "positions": list(range(len(ids) - LOGIT_POSITIONS, len(ids))),
            "columns": columns.tolist(),
        },
    }


def run_long(model) -> dict:
    length = model.config.text_config.max_position_embeddings
    ids = text_ids(length, 5)
    with torch.no_grad():
        logits = model(
            input_ids=torch.from_numpy(ids)[None], attention_mask=torch.ones(1, length, dtype=torch.long),
            use_cache=False, logits_to_keep=1,
        ).logits[0, -1].numpy()
    columns = np.sort(np.random.RandomState(COLUMNS_SEED).permutation(len(logits))[:COLUMNS])
    best = np.argsort(-logits, kind="stable")[:2]
    return {
        "arrays": {"long_logits": logits[None, columns]},
        "fields": {"length": length, "ids_seed": 5, "least_id": LEAST_ID, "most_id": MOST_ID, "columns": columns.tolist(),
                   "top1": int(best[0]), "gap": float(logits[best[0]] - logits[best[1]])},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--picture", type=Path, required=True, help="tests/data/golden/smolvlm-256m/picture.png")
    parser.add_argument("--work", type=Path, required=True, help="folder for a checkpoint; removed after each")
    parser.add_argument("--out", type=Path, required=True, help="tests/data/golden/family")
    parser.add_argument("--only", choices=sorted(MODELS))
    parser.add_argument("--long", action="store_true")
    args = parser.parse_args()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    picture = reference.read_picture(args.picture)
    for folder, name in MODELS.items():
        if (args.only and folder != args.only) or (args.long and folder not in LONG):
            continue
        checkpoint.make_checkpoint(args.checkpoints / folder, SEED, args.work)
        if args.long:
            kind, result = "long", run_long(load(args.work, "sdpa"))
        else:
            kind, result = "short", run_short(load(args.work, "eager"), args.work, picture)
        shutil.rmtree(args.work)
        out = args.out / name
        out.mkdir(parents=True, exist_ok=True)
        for array_name, array in result["arrays"].items():
            np.save(out / f"{array_name}.npy", np.ascontiguousarray(array, dtype=np.float32))
        reference.write_sections(
            out / f"{kind}.json",
            {"versions": reference.versions(), "checkpoint": folder, "seed": SEED, **result["fields"]},
        )
        print(f"{folder}: {kind}", flush=True)


if __name__ == "__main__":
    main()
