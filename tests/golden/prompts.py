"""Goldens of picture processing and prompt expansion: tiles to the byte, token ids, video prompts.

    python prompts.py --checkpoints DIR --media DIR --model DIR --out FILE

`--checkpoints` holds folders named as on the model hub (SmolVLM-256M-Instruct, SmolVLM-Instruct,
SmolVLM2-500M-Video-Instruct), `--model` is the built-in model's folder, `--media` has a folder photos/.

The tiles come from the Pillow image processors of transformers with do_rescale = do_normalize = False, so they are the
8-bit RGB values that the resize and the split give. Synthetic pictures are named by formula (see README.md):

    {"pattern": "smooth"}           byte (x, y, c) = (7x + 3y + 50c + (xy >> 5)) & 255
    {"pattern": "noise", "seed": s} byte (x, y, c) = splitmix64(s + (y * width + x) * 3 + c) >> 56
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from transformers import logging as transformers_logging
from transformers.models.idefics3.image_processing_idefics3 import Idefics3ImageProcessor
from transformers.models.smolvlm.image_processing_pil_smolvlm import get_resize_output_image_size
from transformers.video_utils import VideoMetadata

import reference

QUESTION = "Can you describe this image?"
VIDEO_QUESTION = "What happens in this video?"

# Sizes (width, height) for both published settings.
SIZES = (
    (640, 480), (480, 640), (512, 512), (100, 100), (1, 1), (1024, 768), (1920, 1080), (1080, 1920), (2048, 1024),
    (4000, 3000), (3000, 200), (50, 3000), (799, 601), (2048, 1537), (1366, 768), (600, 2400),
    (333, 777), (101, 67), (2047, 1365), (2, 3), (1, 700), (1025, 1023), (767, 2301), (513, 511),
    (128, 93), (512, 75),
    (320, 240), (240, 320), (224, 224), (336, 336), (383, 385), (384, 384), (511, 300), (640, 427), (720, 1280),
    (854, 480), (900, 1200), (1000, 10), (7, 1500), (1200, 801), (1280, 1281), (1440, 900), (1535, 1537), (1600, 399),
    (1701, 2200), (2049, 513), (2551, 1700), (97, 31), (15, 19), (3, 1),
)  # fmt: skip

TINY_SIZES = (
    (640, 85), (512, 1024), (512, 319), (1, 1), (256, 256), (257, 255), (100, 1000), (1366, 768), (333, 777),
    (63, 200), (3000, 200),
)  # fmt: skip

# Further pictures whose first resize depends on the order of rounding, as many for each setting.
ROUNDING_CASES = 5

VIDEO_FRAME_SIZES = ((64, 48), (320, 240), (640, 360), (333, 777))

SAMPLING_CASES = (
    (1, 30.0), (2, 30.0), (29, 29.97), (30, 30.0), (45, 30.0), (75, 30.0), (105, 30.0), (119, 23.976), (280, 30.0),
    (300, 25.0), (1000, 24.0), (1800, 30.0), (1980, 30.0), (2010, 30.0), (5000, 23.976), (7200, 60.0), (10, 0.5),
    (400, 12.5), (108000, 30.0),
)  # fmt: skip


def rounding_sizes(longest: int, count: int) -> list:
    """Sizes below 900 pixels where `int(longest / (width / height))` in double is not the exact quotient's floor.

    Those whose even-rounded height changes are taken first, spread over the widths. Portrait pictures have no such
    case: there the product `longest * (width / height)` rounds back to the exact integer.
    """
    changed, masked = [], []
    for width in range(2, 900):
        for height in range(1, width + 1):
            exact = longest * height // width
            rounded = int(longest / (width / height))
            assert int(longest * (height / width)) == exact
            if rounded != exact:
                (masked if rounded + rounded % 2 == exact + exact % 2 else changed).append((width, height))
    found = changed if len(changed) >= count else masked
    return found[:: len(found) // count][:count]


class Pictures:
    """Makes or reads a picture from its description in the golden file."""

    def __init__(self, media: Path):
        self.media = media

    def load(self, source: dict, width: int = 0, height: int = 0) -> Image.Image:
        if "file" in source:
            return reference.read_picture(self.media / source["file"])
        if source["pattern"] == "smooth":
            return Image.fromarray(reference.smooth_picture(width, height))
        return Image.fromarray(reference.noise_picture(source["seed"], width, height))


def synthetic(index: int) -> dict:
    """Smooth and noise in turn; the seed is the case's number."""
    return {"pattern": "smooth"} if index % 2 == 0 else {"pattern": "noise", "seed": 1000 + index}


def raw_tiles(processor, picture: Image.Image, split: bool):
    """8-bit tiles [frames, height, width, 3] and the grid, as the Pillow image processor makes them."""
    out = processor.image_processor(
        [[picture]], do_rescale=False, do_normalize=False, do_image_splitting=split, return_row_col_info=True
    )
    tiles = np.asarray(out["pixel_values"])[0]
    assert tiles.dtype == np.uint8
    return tiles.transpose(0, 2, 3, 1), out["rows"][0][0], out["cols"][0][0]


def pixel_hashes(processor, picture: Image.Image, split: bool, tiles: np.ndarray) -> dict:
    """Hashes of the float32 pixel values [frames, 3, M, M] in both arithmetics of transformers.

    "slow" is the Pillow processor's (double product with 1/255, float32 shift and division), "fused" the torch
    processor's (mean and deviation times 255, one subtraction and division), over the same 8-bit tiles.
    """
    slow = processor.image_processor([[picture]], do_image_splitting=split)["pixel_values"][0]
    planes = torch.from_numpy(np.ascontiguousarray(tiles.transpose(0, 3, 1, 2)))
    fused = Idefics3ImageProcessor().rescale_and_normalize(
        planes, True, processor.image_processor.rescale_factor, True, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    )
    return {
        "slow_sha256": reference.sha256(np.asarray(slow, np.float32)),
        "fused_sha256": reference.sha256(fused.numpy().astype(np.float32, copy=False)),
    }


def expand(processor, messages: list, pictures: list, split: bool = True):
    """Rendered chat text and the token ids that the real processor makes of it."""
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    inputs = {"text": text}
    if pictures:
        inputs["images"] = [pictures]
        inputs["do_image_splitting"] = split
    return text, np.asarray(processor(**inputs)["input_ids"]).reshape(-1)


def user(*content) -> dict:
    """A user message: strings are text, None is a picture."""
    items = [{"type": "image"} if item is None else {"type": "text", "text": item} for item in content]
    return {"role": "user", "content": items}


def says(role: str, text: str) -> dict:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def tile_cases(name: str, processor, pictures: Pictures, sizes: tuple, photos: list) -> list:
    """Descriptions of all single-picture cases of one processor, before anything is computed."""
    longest = processor.image_processor.size["longest_edge"]
    all_sizes = list(sizes) + [size for size in rounding_sizes(longest, ROUNDING_CASES) if size not in sizes]
    cases = [
        {"processor": name, "source": synthetic(i), "width": w, "height": h, "split": True}
        for i, (w, h) in enumerate(all_sizes)
    ]
    for photo in photos:
        source = {"file": photo}
        picture = pictures.load(source)
        source["rgb_sha256"] = reference.sha256(np.asarray(picture))
        size = {"width": picture.width, "height": picture.height}
        cases.append({"processor": name, "source": source, **size, "split": True})
    for i, (w, h) in enumerate(sizes[2:6]):
        cases.append({"processor": name, "source": synthetic(i), "width": w, "height": h, "split": False})
    return cases


def run_tiles(name: str, processor, pictures: Pictures, sizes: tuple, photos: list, grids: dict) -> list:
    """Tiles of every case; the prompts go to `grids`, since they depend on the grid alone."""
    cases = tile_cases(name, processor, pictures, sizes, photos)
    for index, case in enumerate(cases):
        picture = pictures.load(case["source"], case["width"], case["height"])
        tiles, rows, cols = raw_tiles(processor, picture, case["split"])
        planes = np.asarray(picture).transpose(2, 0, 1)
        height, width = get_resize_output_image_size(planes, processor.image_processor.size["longest_edge"])
        case.update(resized=[width, height], rows=rows, cols=cols, frames=len(tiles), sha256=reference.sha256(tiles))
        if index < 2 or not case["split"]:
            case["pixel_values"] = pixel_hashes(processor, picture, case["split"], tiles)
        _, ids = expand(processor, [user(None, QUESTION)], [picture], case["split"])
        grid = {"processor": name, "rows": rows, "cols": cols, "count": len(ids), "ids": reference.run_lengths(ids)}
        assert grids.setdefault((name, rows, cols), grid) == grid
    return cases


def run_conversations(name: str, processor, pictures: Pictures) -> list:
    """Prompts that are more than one picture and one question."""
    wide, tall, square = (300, 80), (64, 200), (90, 90)
    reply = says("assistant", "A cat on a wall.")
    system = says("system", "You answer in one word.")
    cases = [
        ("two pictures", [user(None, None, "What changed?")], [wide, tall], True),
        ("three pictures", [user(None, None, None, "Which is the odd one out?")], [square, wide, tall], True),
        ("picture in the middle", [user("Look at this: ", None, " and say what it is.")], [wide], True),
        ("picture last", [user("What is this?", None)], [tall], True),
        ("pictures and text mixed", [user("First:", None, "second:", None, "Compare.")], [wide, square], True),
        ("two turns", [user(None, "What is this?"), reply, user("Which colour?")], [wide], True),
        ("picture in the second turn", [user("Hello!"), says("assistant", "Hi."), user(None, QUESTION)], [tall], True),
        ("a picture in each turn", [user(None, "And this?"), reply, user(None, "This?")], [wide, tall], True),
        ("system message", [system, user(None, QUESTION)], [wide], True),
        ("unsplit", [user(None, QUESTION)], [square], False),
        ("two unsplit", [user(None, None, "What changed?")], [wide, tall], False),
        ("text only", [user("What is 12 + 345?")], [], True),
        ("line breaks at the edges", [user(None, "\n\nDescribe.\n")], [wide], True),
        ("special tokens in the text", [user(None, "Say <row_1_col_1> and <end_of_utterance>!")], [wide], True),
    ]
    out = []
    for label, messages, sizes, split in cases:
        loaded = [pictures.load({"pattern": "smooth"}, w, h) for w, h in sizes]
        text, ids = expand(processor, messages, loaded, split)
        out.append(
            {
                "processor": name,
                "name": label,
                "messages": messages,
                "pictures": [list(size) for size in sizes],
                "split": split,
                "text": text,
                "count": len(ids),
                "ids": reference.run_lengths(ids),
            }  # fmt: skip
        )
    return out


def video_prompt(name: str, processor, metadata: VideoMetadata) -> dict:
    """The prompt of a video whose sampled frames are given: text as rendered for the tokenizer, and ids."""
    count = len(metadata.frames_indices)
    messages = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": VIDEO_QUESTION}]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    video = np.zeros((count, 16, 16, 3), np.uint8)
    inputs = processor(
        text=text, videos=[[video]], video_metadata=[metadata], do_sample_frames=False, return_tensors="pt"
    )
    ids = inputs["input_ids"][0].tolist()
    rendered = processor.tokenizer.decode(ids)
    return {
        "processor": name,
        "fps": metadata.fps,
        "duration": metadata.duration,
        "frames_indices": [int(i) for i in metadata.frames_indices],
        "text": rendered.replace("<image>" * processor.image_seq_len, "<image>*"),
        "count": len(ids),
        "ids": reference.run_lengths(ids),
    }


def run_video_prompts(name: str, processor) -> list:
    """Pre-sampled clips at 1 and 2 frames a second, then clips sampled from a longer stream."""
    out = []
    for fps in (1.0, 2.0):
        for count in (1, 2, 3, 8, 9, 21, 64):
            metadata = VideoMetadata(
                total_num_frames=count, fps=fps, duration=count / fps, frames_indices=list(range(count))
            )
            out.append(video_prompt(name, processor, metadata))
    for total, fps in ((280, 30.0), (119, 23.976), (108000, 30.0)):
        metadata = VideoMetadata(total_num_frames=total, fps=fps, duration=total / fps)
        metadata.frames_indices = processor.video_processor.sample_frames(metadata)
        out.append(video_prompt(name, processor, metadata))
    return out


def run_sampling(name: str, processor) -> list:
    """Indices of sampled frames for streams of different length and rate."""
    out = []
    for total, stream_fps in SAMPLING_CASES:
        for fps in (processor.video_processor.fps, 2):
            metadata = VideoMetadata(total_num_frames=total, fps=stream_fps, duration=total / stream_fps)
            limit = processor.video_processor.num_frames
            indices = processor.video_processor.sample_frames(metadata, num_frames=limit, fps=fps)
            out.append(
                {
                    "processor": name,
                    "total_frames": total,
                    "stream_fps": stream_fps,
                    "num_frames": limit,
                    "fps": fps,
                    "indices": [int(i) for i in indices],
                }  # fmt: skip
            )
    return out


def run_video_frames(name: str, processor, longest_edges: tuple) -> list:
    """8-bit frames [M, M, 3] by the Pillow image path and by the torch video processor.

    torch_lanczos is what transformers does with torchvision 0.27 or newer on a CPU, torch_bicubic what it does with an
    older torchvision or on a GPU (antialiased in both; rounded to 8 bits after each resize).
    """
    out = []
    for longest in longest_edges:
        for index, (width, height) in enumerate(VIDEO_FRAME_SIZES):
            source = synthetic(index)
            picture = Pictures(Path()).load(source, width, height)
            size = {"longest_edge": longest}
            pillow = processor.image_processor(
                [[picture]], do_rescale=False, do_normalize=False, do_image_splitting=False, size=size
            )["pixel_values"][0][0]
            hashes = {"pillow_sha256": reference.sha256(pillow.transpose(1, 2, 0))}
            for label, mode in (("lanczos", InterpolationMode.LANCZOS), ("bicubic", InterpolationMode.BICUBIC)):
                frames = processor.video_processor(
                    [np.asarray(picture)[None]], do_rescale=False, do_normalize=False, size=size, resample=mode,
                    return_tensors="pt",
                )["pixel_values"]  # fmt: skip
                assert frames.dtype == torch.uint8
                frame = frames[0, 0].numpy()
                difference = np.abs(frame.astype(int) - pillow.astype(int))
                hashes[f"torch_{label}_sha256"] = reference.sha256(frame.transpose(1, 2, 0))
                hashes[f"torch_{label}_off_pillow"] = {
                    "max": int(difference.max()),
                    "share": round(float((difference > 0).mean()), 6),
                }
            out.append(
                {
                    "processor": name,
                    "source": source,
                    "width": width,
                    "height": height,
                    "longest_edge": longest,
                    **hashes,
                }  # fmt: skip
            )
    return out


def describe(folder: str, processor) -> dict:
    """The settings that decide sizes and counts."""
    image = processor.image_processor
    return {
        "folder": folder,
        "longest_edge": image.size["longest_edge"],
        "tile": image.max_image_size["longest_edge"],
        "image_seq_len": processor.image_seq_len,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="folder of the built-in model")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    transformers_logging.set_verbosity_error()

    folders = {
        "smolvlm-256m": args.checkpoints / "SmolVLM-256M-Instruct",
        "smolvlm-2.2b": args.checkpoints / "SmolVLM-Instruct",
        "smolvlm2-500m": args.checkpoints / "SmolVLM2-500M-Video-Instruct",
        "eyeshot-tiny": args.model,
    }
    processors = {name: reference.load_processor(folder) for name, folder in folders.items()}
    pictures = Pictures(args.media)
    photos = [f"photos/{path.name}" for path in sorted((args.media / "photos").iterdir())]
    tile_inputs = {
        "smolvlm-256m": (SIZES, photos),
        "smolvlm-2.2b": (SIZES, photos),
        "eyeshot-tiny": (TINY_SIZES, photos[:3]),
    }
    tiles, grids, conversations = [], {}, []
    for name, (sizes, files) in tile_inputs.items():
        tiles += run_tiles(name, processors[name], pictures, sizes, files, grids)
        conversations += run_conversations(name, processors[name], pictures)
    video_prompts, sampling = [], []
    for name in ("eyeshot-tiny", "smolvlm2-500m"):
        video_prompts += run_video_prompts(name, processors[name])
        sampling += run_sampling(name, processors[name])
    video_frames = run_video_frames("eyeshot-tiny", processors["eyeshot-tiny"], (256,))
    # 2048 is what transformers makes of the published folder (the image size overrides video_size), 512 what it says.
    video_frames += run_video_frames("smolvlm2-500m", processors["smolvlm2-500m"], (2048, 512))
    reference.write_sections(
        args.out,
        {
            "versions": reference.versions(),
            "question": QUESTION,
            "video_question": VIDEO_QUESTION,
            "processors": {name: describe(folders[name].name, p) for name, p in processors.items()},
            "grids": list(grids.values()),
            "tiles": tiles,
            "conversations": conversations,
            "video_prompts": video_prompts,
            "sampling": sampling,
            "video_frames": video_frames,
        },
    )


if __name__ == "__main__":
    main()
