#!/usr/bin/env python3
"""Writes video.json: what transformers makes of the clips of tests/data/media/video and of the moving GIFs.

    video.py --checkpoints DIR --model DIR --media tests/data/media --out video.json

Decoding is transformers' default, torchcodec, with the FFmpeg libraries that are installed: those of Debian 12 (5.1).
"""
import argparse
import hashlib
import json
import os
import pathlib
import random

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import torchcodec
import torchvision
import transformers
from torchcodec.decoders import VideoDecoder
from transformers import AutoProcessor
from transformers.video_utils import VideoMetadata

QUESTION = "What happens in the video?"
# Frames a second and most frames; None: the model's own. Fewer for frames of 2048 pixels, which take long.
SETTINGS = {"smolvlm2-500m": [(None, None), (8, 16), (0.7, 64)],
            "eyeshot-tiny": [(None, None), (2, 64), (8, 16), (1, 3), (0.7, 64)]}


def sha256(array: np.ndarray) -> str:
    """The digest of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def whole_clip(path: pathlib.Path, name: str) -> dict:
    """Counts, times and all frames of a clip."""
    decoder = VideoDecoder(str(path), seek_mode="exact", num_ffmpeg_threads=0, dimension_order="NHWC")
    meta = decoder.metadata
    frames = decoder.get_frames_at(indices=list(range(meta.num_frames))).data.numpy()
    return {"file": name, "width": meta.width, "height": meta.height, "frames": meta.num_frames,
            "fps": float(meta.average_fps), "duration": float(meta.duration_seconds), "codec": meta.codec,
            "rgb_sha256": sha256(frames)}


def sampled(processor, path: pathlib.Path, fps, num_frames) -> dict:
    """What the processor makes of a clip with a question."""
    video = processor.video_processor
    fps = video.fps if fps is None else fps
    num_frames = video.num_frames if num_frames is None else num_frames
    direct = video([str(path)], do_sample_frames=True, num_frames=num_frames, fps=fps, return_metadata=True,
                   return_tensors="pt")
    messages = [{"role": "user", "content": [{"type": "video", "path": str(path)}, {"type": "text", "text": QUESTION}]}]
    chat = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True,
                                         return_tensors="pt", processor_kwargs={"num_frames": num_frames, "fps": fps})
    assert torch.equal(direct["pixel_values"], chat["pixel_values"])
    pixels = chat["pixel_values"][0].numpy()
    assert pixels.dtype == np.float32
    tiles = np.rint(pixels.astype(np.float64) * 127.5 + 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
    metadata = direct["video_metadata"][0]
    ids = chat["input_ids"][0].tolist()
    return {"fps": fps, "num_frames": num_frames, "indices": [int(i) for i in metadata.frames_indices],
            "timestamps": [float(t) for t in metadata.timestamps], "tiles_sha256": sha256(tiles),
            "pixel_values_sha256": sha256(pixels), "count": len(ids),
            "ids_sha256": sha256(np.array(ids, np.int32))}


def many_samplings(processor, count: int) -> list:
    """[frames, duration, stream fps, fps, most frames, how many indices, digest] of random videos."""
    rng = random.Random(1)
    out = []
    for _ in range(count):
        stream_fps = rng.choice([1, 2, 10, 15, 23.976023976023978, 24, 25, 29.97002997002997, 30, 50, 59.94, 60])
        frames = rng.choice([1, 2, 3, rng.randint(4, 100), rng.randint(100, 5000), rng.randint(5000, 400000)])
        duration = rng.choice([frames / stream_fps, frames / stream_fps * rng.uniform(0.8, 1.3)])
        fps = rng.choice([1, 1, 2, 0.5, 0.1, 3, 5, 1.5, rng.uniform(0.05, 30)])
        most = rng.choice([1, 2, 8, 64, 64, 128, rng.randint(1, 512)])
        indices = processor.video_processor.sample_frames(
            VideoMetadata(total_num_frames=frames, fps=stream_fps, duration=duration), num_frames=most, fps=fps)
        digest = hashlib.sha256(" ".join(str(int(i)) for i in indices).encode()).hexdigest()[:12]
        out.append([frames, duration, stream_fps, fps, most, len(indices), digest])
    return out


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--checkpoints", "--model", "--media", "--out"):
        parser.add_argument(name, type=pathlib.Path, required=True)
    options = parser.parse_args()
    folders = {"smolvlm2-500m": options.checkpoints / "SmolVLM2-500M-Video-Instruct", "eyeshot-tiny": options.model}
    processors = {name: AutoProcessor.from_pretrained(folder) for name, folder in folders.items()}
    files = sorted((options.media / "video").iterdir()) + sorted((options.media / "formats").glob("anim_*.gif"))
    clips = []
    for path in files:
        clip = whole_clip(path, str(path.relative_to(options.media)))
        clip["sampled"] = [{"processor": name} | sampled(processor, path, fps, most)
                           for name, processor in processors.items() for fps, most in SETTINGS[name]]
        clips.append(clip)
        print(clip["file"], [len(one["indices"]) for one in clip["sampled"]])
    data = {"versions": {"transformers": transformers.__version__, "torchcodec": torchcodec.__version__,
                         "torch": torch.__version__.split("+")[0], "torchvision": torchvision.__version__.split("+")[0]},
            "question": QUESTION, "clips": clips,
            "samplings": many_samplings(processors["smolvlm2-500m"], 500)}
    # A line a clip: small, and readable in a diff.
    text = ",\n".join(f'"{key}": ' + ("[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]"
                                      if isinstance(value, list) else json.dumps(value)) for key, value in data.items())
    options.out.write_text("{" + text + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
