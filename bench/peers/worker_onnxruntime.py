#!/usr/bin/env python3
"""Measures onnxruntime on the exported tower, tile by tile: `f32`, and `int8` by dynamic quantization."""
import pathlib

import numpy as np
import onnxruntime
from measure import Worker, peak_rss_bytes


def main() -> None:
    """Measures the tower, the only stage."""
    worker = Worker()
    job = worker.job
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    path = pathlib.Path(job["files"]) / f"tower-{job['variant']}.onnx"
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    worker.report(versions={"onnxruntime": onnxruntime.__version__}, weights=f"tower {job['variant']}")
    tile = np.random.default_rng(1).uniform(-1, 1, (1, 3, 512, 512)).astype(np.float32)
    worker.stage("tile_ms", lambda: worker.median_ms(lambda: session.run(None, {"pixels": tile})))
    worker.report(peak_rss_bytes=peak_rss_bytes())


if __name__ == "__main__":
    main()
