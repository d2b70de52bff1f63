#!/usr/bin/env python3
"""Exports vision tower and connector of a SmolVLM folder to ONNX for onnxruntime and OpenVINO.

  export_tower.py MODEL OUT

makes OUT/tower-f32.onnx, and OUT/tower-int8.onnx by onnxruntime's dynamic quantization. Input: one tile,
[1, 3, 512, 512]; output: its visual tokens.
"""
import argparse
import pathlib

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from transformers import AutoModelForImageTextToText


class Tower(torch.nn.Module):
    """Tower and connector for whole tiles: their positions are always the same, so they are constants here."""

    def __init__(self, model: torch.nn.Module, tile: torch.Tensor):
        super().__init__()
        self.tower = model.vision_model
        self.connector = model.connector
        seen = []
        table = self.tower.embeddings.position_embedding
        hook = table.register_forward_hook(lambda _module, _inputs, rows: seen.append(rows))
        self.expected = self.connector(self.tower(pixel_values=tile).last_hidden_state)
        hook.remove()
        self.register_buffer("positions", seen[0][:1].clone())

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Visual tokens of a tile."""
        patches = self.tower.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
        encoded = self.tower.encoder(inputs_embeds=patches + self.positions, attention_mask=None).last_hidden_state
        return self.connector(self.tower.post_layernorm(encoded))


def export(model: torch.nn.Module, tile: torch.Tensor, path: pathlib.Path) -> np.ndarray:
    """Writes the tower in float32; returns what transformers makes of the tile."""
    with torch.no_grad():
        tower = Tower(model, tile).eval()
        torch.onnx.export(tower, (tile,), path, input_names=["pixels"], output_names=["visual_tokens"],
                          dynamo=True, external_data=False)
    return tower.expected.numpy().ravel()


def round_to_int8(full: pathlib.Path, small: pathlib.Path) -> None:
    """Writes the tower with 8-bit matrices; activations are rounded while it runs."""
    prepared = full.with_suffix(".prepared.onnx")
    quant_pre_process(full, prepared, skip_symbolic_shape=True)
    quantize_dynamic(prepared, small, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
    prepared.unlink()


def check(path: pathlib.Path, tile: np.ndarray, expected: np.ndarray, least: float) -> None:
    """Ends the program, and removes a file, if the file computes something else than the model it came from."""
    found = cosine(path, tile, expected)
    print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB, cosine {found:.7f} with transformers in float32")
    if found < least:
        path.unlink()
        raise SystemExit(f"error: {path.name} computes something else: cosine {found:.5f}")


def cosine(path: pathlib.Path, tile: np.ndarray, expected: np.ndarray) -> float:
    """How far an exported file agrees with the model it came from."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    got = session.run(None, {session.get_inputs()[0].name: tile})[0].ravel()
    return float(got @ expected / np.linalg.norm(got) / np.linalg.norm(expected))


def main() -> None:
    """Writes the files, and fails if they compute something else."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    model = AutoModelForImageTextToText.from_pretrained(args.model, dtype=torch.float32).eval().model
    tile = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(1)).mul(2).sub(1)
    full, small = args.out / "tower-f32.onnx", args.out / "tower-int8.onnx"
    expected = export(model, tile, full)
    check(full, tile.numpy(), expected, 0.99999)
    round_to_int8(full, small)
    check(small, tile.numpy(), expected, 0.97)


if __name__ == "__main__":
    main()
