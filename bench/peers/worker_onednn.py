#!/usr/bin/env python3
"""Measures oneDNN, through torch, on the matrix products of one tile alone: 12 layers x (qkv, out, fc1, fc2) over 1024
rows, with weights in oneDNN's own layout. No attention, norms or activations: a bound for those who use it.
"""
from collections.abc import Callable

import torch
from measure import Worker, peak_rss_bytes

ROWS = 1024
LAYERS = 12
SHAPES = [(768, 2304), (768, 768), (768, 3072), (3072, 768)]  # inputs, outputs
FLOPS = 2 * ROWS * LAYERS * sum(inputs * outputs for inputs, outputs in SHAPES)


def float_product(inputs: int, outputs: int, dtype: torch.dtype) -> Callable[[], object]:
    """y = x W^T with W packed once."""
    x = torch.randn(ROWS, inputs, dtype=dtype)
    weight = torch.randn(outputs, inputs, dtype=dtype)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
    return lambda: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")


def int8_product(inputs: int, outputs: int) -> Callable[[], object]:
    """y = x W^T of bytes with W packed once, a scale for each output, and float32 results."""
    x = torch.randint(0, 256, (ROWS, inputs), dtype=torch.uint8)
    weight = torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(weight, [ROWS, inputs])
    scales, zeros = torch.full((outputs,), 0.01), torch.zeros(outputs, dtype=torch.int64)
    return lambda: torch.ops.onednn.qlinear_pointwise(x, 0.01, 128, packed, scales, zeros, None, 1.0, 0,
                                                      torch.float32, "none", [], "")


def layers(variant: str) -> list[Callable[[], object]]:
    """The products of a tile. Each layer has weights of its own: they come from memory as in the tower."""
    if variant == "int8":
        return [int8_product(*shape) for _ in range(LAYERS) for shape in SHAPES]
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[variant]
    return [float_product(*shape, dtype) for _ in range(LAYERS) for shape in SHAPES]


def main() -> None:
    """Measures the products."""
    worker = Worker()
    torch.set_num_threads(worker.job["threads"])
    worker.report(versions={"torch": torch.__version__}, isa=torch.backends.cpu.get_cpu_capability(),
                  weights=worker.job["variant"])

    def measure() -> None:
        products = layers(worker.job["variant"])
        median = worker.median_ms(lambda: [product() for product in products])
        worker.report(linear_ms=median, linear_gflops=FLOPS / median / 1e6)

    with torch.inference_mode():
        worker.stage("linear_ms", measure)
    worker.report(peak_rss_bytes=peak_rss_bytes())


if __name__ == "__main__":
    main()
