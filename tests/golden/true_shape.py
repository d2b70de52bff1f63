"""Goldens of a whole model of true shape: SmolVLM-256M with seeded weights, run by transformers on the CPU.

    python true_shape.py --checkpoints DIR --media DIR --work DIR --out DIR

Makes the checkpoint (seed 1) in the folder of --work, runs it in float32 and in bf16 with eager attention on one
512x512 tile, and stores the outputs of the tower, of the connector and a part of the logits; then the same with
outliers in the tower's activations, of the short prompt, to the folder of --out with "-outliers" behind its name.
README.md names every field.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from transformers import Idefics3ForConditionalGeneration
from transformers import logging as transformers_logging

import checkpoint
import reference

CHECKPOINT = "SmolVLM-256M-Instruct"
SEED = 1

# A square out of the middle of a photograph, so that the tile shows it undistorted and the file stays small.
PHOTO = "photos/chelsea.png"
CROP = (75, 0, 375, 300)

# Text positions whose logits are stored: the first ones in order of which SURE_POSITIONS count for the comparison of
# top-1 ids. The logits of seeded weights are close to normal (deviation 1 over 49280 ids), so the two largest are 0.22
# apart on average and a third of all positions has a gap beyond the bf16 error: the question is long enough to choose.
POSITIONS = 200
SURE_POSITIONS = 110
SHORT_POSITIONS = 32
COLUMNS = 256
COLUMNS_SEED = 7
TOWER_ROW_STEP = 8
CONNECTOR_ROW_STEP = 1
# Prime to the 32 patches of a row, so that every column of the tile is seen.
OUTLIERS_TOWER_ROW_STEP = 25
OUTLIERS_CONNECTOR_ROW_STEP = 5

# A position counts for the comparison of top-1 ids when its gap exceeds this many RMS of the bf16 error.
GAP_FACTOR = 4.0

LONG_QUESTION = (
    "Please look at the picture carefully and describe what you can see in it. Begin with the animal in the "
    "middle: say which kind it is, which colours its fur has, where its eyes look, and whether it seems calm, "
    "tired, curious or afraid. Then go on with the background. Is it a wall, a carpet, a garden or a street? Name "
    "at least three things that you are sure about, and two that you only guess, and give a reason for each guess "
    "in one short sentence. After that, compare the left half with the right half, and the upper part with the "
    "lower part: which one is brighter, which one has more detail, and where would a viewer look first? If there "
    "is any text, number or sign in the picture, copy it exactly as it stands; if there is none, write the word "
    "none. Finally, suggest a title of no more than six words, and tell whether the photograph was taken indoors "
    "or outdoors, by day or by night, from far away or from close by. Answer in plain English, in complete "
    "sentences, without lists, and do not invent anything that cannot be seen. When you are done, read your "
    "answer once more and check it against the picture: does every sentence speak of something that is really "
    "there? If one does not, take it out. Should you be asked later how many ears, eyes, paws or whiskers are "
    "visible, you would have to count them, so do this now and write the four numbers down, separated by commas, "
    "for example 2, 2, 4, 12. My sister thinks that the animal is a dog; my brother believes it is a small tiger; "
    "and our neighbour, who has seen neither of them, says that it must be a fox because foxes come to his garden "
    "every evening at half past nine. Who is right, and how would you explain it kindly to the other two? One "
    "more thing: the photograph has 300 rows and 300 columns, it was cropped from a larger one, and some people "
    "say that it looks better in black and white. Thank you very much for your help!"
)
SHORT_QUESTION = "What is this?"


def load_model(folder: Path, dtype: torch.dtype) -> Idefics3ForConditionalGeneration:
    """The model with eager attention, its position ids checked to be the identity."""
    model = Idefics3ForConditionalGeneration.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
    embeddings = model.model.vision_model.embeddings
    side = embeddings.num_patches_per_side
    seen = []
    hook = embeddings.position_embedding.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    pixels = torch.zeros(1, 3, embeddings.image_size, embeddings.image_size, dtype=dtype)
    with torch.no_grad():
        embeddings(pixels, torch.ones(1, side, side, dtype=torch.bool))
    hook.remove()
    if not torch.equal(seen[0], torch.arange(side * side)[None]):
        raise SystemExit(f"this transformers does not number the patches of a full tile in order in {dtype}")
    return model


def run(model, inputs: dict) -> dict:
    """One forward pass: tower and connector outputs and all logits, as float32 arrays without the batch."""
    kept = {}

    def keep(name):
        return lambda _, args, output: kept.__setitem__(name, getattr(output, "last_hidden_state", output))

    hooks = [
        model.model.vision_model.register_forward_hook(keep("tower")),
        model.model.connector.register_forward_hook(keep("connector")),
    ]
    pixels = inputs["pixel_values"].to(model.dtype)
    with torch.no_grad():
        kept["logits"] = model(**{**inputs, "pixel_values": pixels}, use_cache=False).logits
    for hook in hooks:
        hook.remove()
    return {name: tensor[0].float().numpy() for name, tensor in kept.items()}


def prompt_inputs(processor, picture, question: str) -> tuple:
    """Rendered chat text and the model's inputs for one unsplit picture and a question."""
    content = [{"type": "image"}, {"type": "text", "text": question}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return text, dict(processor(text=text, images=[picture], do_image_splitting=False, return_tensors="pt"))


def tile_hash(processor, picture) -> str:
    """Hash of the 8-bit tile [512, 512, 3] that the model sees."""
    tiles = processor.image_processor([[picture]], do_rescale=False, do_normalize=False, do_image_splitting=False)
    return reference.sha256(np.asarray(tiles["pixel_values"])[0, 0].transpose(1, 2, 0))


def top_two(logits: np.ndarray) -> tuple:
    """Ids of the largest and second largest logit of each row, and the difference of the two."""
    order = np.argsort(-logits, axis=1, kind="stable")[:, :2]
    values = np.take_along_axis(logits, order, axis=1)
    return order, values[:, 0] - values[:, 1]


def choose_positions(sure: np.ndarray) -> np.ndarray:
    """The first SURE_POSITIONS sure positions and the first others, POSITIONS in all, in order."""
    if sure.sum() < SURE_POSITIONS:
        raise SystemExit(f"only {sure.sum()} of {len(sure)} text positions are sure: ask a longer question")
    chosen = np.concatenate(
        [np.flatnonzero(sure)[:SURE_POSITIONS], np.flatnonzero(~sure)[: POSITIONS - SURE_POSITIONS]]
    )
    return np.sort(chosen)


def describe_prompt(text: str, inputs: dict, positions: np.ndarray) -> dict:
    ids = inputs["input_ids"][0].tolist()
    return {
        "prompt": text,
        "input_ids": reference.run_lengths(ids),
        "token_count": len(ids),
        "positions": positions.tolist(),
    }


def relative_rms(exact: np.ndarray, rounded: np.ndarray) -> float:
    off = rounded.astype(np.float64) - exact
    return float(np.sqrt(np.mean(off**2) / np.mean(exact.astype(np.float64) ** 2)))


def save_arrays(out: Path, arrays: dict) -> None:
    for name, array in arrays.items():
        np.save(out / f"{name}.npy", np.ascontiguousarray(array, dtype=np.float32))


def write_outliers(args, processor, columns: np.ndarray) -> None:
    """The golden of the variant with outliers: the short prompt in float32, and how far bf16 is from that."""
    out = args.out.with_name(args.out.name + "-outliers")
    out.mkdir(parents=True, exist_ok=True)
    checkpoint.make_checkpoint(args.checkpoints / CHECKPOINT, SEED, args.work, outliers=True)
    text, inputs = prompt_inputs(processor, reference.read_picture(args.out / "picture.png"), SHORT_QUESTION)
    exact = run(load_model(args.work, torch.float32), inputs)
    rounded = run(load_model(args.work, torch.bfloat16), inputs)
    save_arrays(
        out,
        {
            "tower": exact["tower"][::OUTLIERS_TOWER_ROW_STEP],
            "connector": exact["connector"][::OUTLIERS_CONNECTOR_ROW_STEP],
            "short_logits": exact["logits"][-SHORT_POSITIONS:][:, columns],
        },
    )
    positions = np.arange(-SHORT_POSITIONS, 0) + inputs["input_ids"].shape[1]
    reference.write_sections(
        out / "true_shape.json",
        {
            "versions": reference.versions(),
            "checkpoint": CHECKPOINT,
            "seed": SEED,
            "outliers": checkpoint.OUTLIERS,
            "outlier_factor": checkpoint.OUTLIER_FACTOR,
            "picture": f"../{args.out.name}/picture.png",
            "tower_row_step": OUTLIERS_TOWER_ROW_STEP,
            "connector_row_step": OUTLIERS_CONNECTOR_ROW_STEP,
            "columns": columns.tolist(),
            "short": describe_prompt(text, inputs, positions),
            **{f"bf16_{name}_relative_rms": relative_rms(exact[name], rounded[name]) for name in ("tower", "connector")},
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for the checkpoint (513 MB); kept")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()

    source = args.checkpoints / CHECKPOINT
    checkpoint.make_checkpoint(source, SEED, args.work)
    args.out.mkdir(parents=True, exist_ok=True)
    reference.read_picture(args.media / PHOTO).crop(CROP).save(args.out / "picture.png", optimize=True)
    picture = reference.read_picture(args.out / "picture.png")
    processor = reference.load_processor(source)
    long_text, long_inputs = prompt_inputs(processor, picture, LONG_QUESTION)
    short_text, short_inputs = prompt_inputs(processor, picture, SHORT_QUESTION)

    model = load_model(args.work, torch.float32)
    exact = run(model, long_inputs)
    short = run(model, short_inputs)["logits"][-SHORT_POSITIONS:]
    del model
    rounded = run(load_model(args.work, torch.bfloat16), long_inputs)

    ids = long_inputs["input_ids"][0].numpy()
    text_start = int(np.flatnonzero(ids == processor.image_token_id)[-1]) + 1
    error = rounded["logits"][text_start:].astype(np.float64) - exact["logits"][text_start:]
    rms_all = float(np.sqrt(np.mean(error**2)))
    _, gap_all = top_two(exact["logits"][text_start:])
    sure_all = gap_all > GAP_FACTOR * rms_all
    chosen = choose_positions(sure_all)
    positions = text_start + chosen
    short_positions = np.arange(-SHORT_POSITIONS, 0) + short_inputs["input_ids"].shape[1]

    vocabulary = exact["logits"].shape[1]
    columns = np.sort(np.random.RandomState(COLUMNS_SEED).permutation(vocabulary)[:COLUMNS])
    logits, logits_bf16 = exact["logits"][positions], rounded["logits"][positions]
    top, gap = top_two(logits)
    top_bf16, _ = top_two(logits_bf16)
    short_top, short_gap = top_two(short)
    rms = float(np.sqrt(np.mean(error[chosen] ** 2)))
    sure = sure_all[chosen]
    agree = top[:, 0] == top_bf16[:, 0]

    arrays = {
        "tower": exact["tower"][::TOWER_ROW_STEP],
        "connector": exact["connector"][::CONNECTOR_ROW_STEP],
        "logits": logits[:, columns],
        "last_logits": exact["logits"][-1],
        "short_logits": short[:, columns],
    }
    save_arrays(args.out, arrays)
    reference.write_sections(
        args.out / "true_shape.json",
        {
            "versions": reference.versions(),
            "checkpoint": CHECKPOINT,
            "seed": SEED,
            "picture": "picture.png",
            "tile_rgb_sha256": tile_hash(processor, picture),
            "tower_row_step": TOWER_ROW_STEP,
            "connector_row_step": CONNECTOR_ROW_STEP,
            "columns": columns.tolist(),
            "long": describe_prompt(long_text, long_inputs, positions),
            "top1": top[:, 0].tolist(),
            "top2": top[:, 1].tolist(),
            "gap": [round(float(x), 6) for x in gap],
            "bf16_top1": top_bf16[:, 0].tolist(),
            "logits_std": float(logits.std()),
            "bf16_rms": rms,
            "bf16_tower_relative_rms": relative_rms(exact["tower"], rounded["tower"]),
            "bf16_connector_relative_rms": relative_rms(exact["connector"], rounded["connector"]),
            "gap_factor": GAP_FACTOR,
            "sure": sure.astype(int).tolist(),
            "sure_positions": int(sure.sum()),
            "bf16_top1_agree": int(agree.sum()),
            "bf16_top1_agree_of_sure": int(agree[sure].sum()),
            "text_positions": len(sure_all),
            "text_sure_positions": int(sure_all.sum()),
            "text_bf16_rms": rms_all,
            "short": describe_prompt(short_text, short_inputs, short_positions),
            "short_top1": short_top[:, 0].tolist(),
            "short_gap": [round(float(x), 6) for x in short_gap],
        },
    )
    write_outliers(args, processor, columns)


if __name__ == "__main__":
    main()
