"""What the `gguf` package makes of blocks of every quantized type: tests/data/golden/gguf/blocks.json.

The bytes of the blocks come from a formula (README.md, gguf/), so that only hashes of the results are kept.
"""

import argparse
import hashlib
import json
import pathlib

import gguf
import numpy as np

TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
# Where float16 numbers begin in a block. Their largest exponents are cleared: neither infinity nor NaN.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2],
          "Q6_K": [208]}
BLOCKS = 4096


def splitmix64(x):
    x = (x + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="tests/data/golden/gguf")
    out = parser.parse_args().out
    goldens = {}
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        _, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        with np.errstate(over="ignore"):
            data = (splitmix64(np.arange(BLOCKS * block_bytes, dtype=np.uint64)) >> np.uint64(56)).astype(np.uint8)
        data = data.reshape(BLOCKS, block_bytes)
        for half in HALVES[name]:
            data[:, half + 1] &= 0xBF
        values = gguf.quants.dequantize(data, kind).astype(np.float32).reshape(-1)
        assert np.isfinite(values).all()
        goldens[name] = {"block_bytes": block_bytes, "blocks": BLOCKS, "halves": HALVES[name],
                         "first": [float(v) for v in values[:4]],
                         "sha256": hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()}
    out.mkdir(parents=True, exist_ok=True)
    (out / "blocks.json").write_text(json.dumps(goldens, indent=1) + "\n")


if __name__ == "__main__":
    main()
