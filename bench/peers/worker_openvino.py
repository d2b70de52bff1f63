#!/usr/bin/env python3
"""Measures OpenVINO on the exported tower, tile by tile, and the exported decoder with its cache as state.

`default` lets it choose the arithmetic (bf16 where the CPU has it), `f32` asks for float32; in `int8` and `int4` the
decoder's weights are compressed and the tower is that of `default`.
"""
import pathlib

import numpy as np
import openvino
from measure import Worker
from smolvlm_prompt import Processor


class OpenVino:
    """The loaded models."""

    def __init__(self, job: dict):
        files = pathlib.Path(job["files"])
        variant = job["variant"]
        settings = {"INFERENCE_NUM_THREADS": job["threads"], "PERFORMANCE_HINT": "LATENCY"}
        if variant == "f32":
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        weights = variant if variant in ("int8", "int4") else "f16"
        core = openvino.Core()
        tower = core.compile_model(files / "tower-f32.onnx", "CPU", settings)
        self.precision = tower.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.weights = f"tower {self.precision}, decoder {weights}"
        self.tower = tower.create_infer_request()
        self.decoder = core.compile_model(files / f"decoder-{weights}.xml", "CPU", settings).create_infer_request()
        self.embeddings = np.load(files / "embeddings.npy", mmap_mode="r")
        self.beam = np.zeros(1, np.int32)
        self.processor = Processor(pathlib.Path(job["model"]))
        self.next_token = 1

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        """Tiles through tower and connector, one by one."""
        return np.concatenate([self.tower.infer([tile[None]])[0].copy() for tile in tiles])

    def forward(self, embeddings: np.ndarray) -> None:
        """Puts tokens behind the context and takes the likeliest next one."""
        logits = self.decoder.infer({"embeddings": embeddings[None], "beam": self.beam})["logits"]
        self.next_token = int(logits.argmax())

    def step(self) -> None:
        """Decodes one token."""
        self.forward(self.embeddings[self.next_token][None])

    def fill(self, depth: int) -> None:
        """A context of `depth` tokens."""
        self.decoder.reset_state()
        if depth > 0:
            self.forward(self.embeddings[np.arange(1000, 1000 + depth)])

    def answer(self, jpeg: bytes) -> str:
        """From the bytes of a picture to the first token."""
        self.decoder.reset_state()
        tiles, rows, cols = self.processor.tiles(jpeg)
        ids = self.processor.ids(rows, cols)
        embeddings = self.embeddings[ids]
        visual = self.encode(tiles)
        embeddings[ids == self.processor.image_id] = visual.reshape(-1, visual.shape[-1])
        self.forward(embeddings)
        return self.processor.tokenizer.decode([self.next_token])


def main() -> None:
    """Measures all stages."""
    worker = Worker()
    engine = OpenVino(worker.job)
    worker.report(versions={"openvino": openvino.__version__.split("-")[0]}, weights=engine.weights)
    jpeg = pathlib.Path(worker.job["photo"]).read_bytes()
    worker.ttft(lambda: engine.answer(jpeg))
    tiles = np.random.default_rng(1).uniform(-1, 1, (worker.job["tiles"], 3, 512, 512)).astype(np.float32)
    worker.stage("tile_ms", lambda: worker.median_ms(lambda: engine.encode(tiles)) / len(tiles))
    worker.prefill(engine.fill)
    worker.decode(engine.fill, engine.step)


if __name__ == "__main__":
    main()
