#!/usr/bin/env python3
"""Measures OpenVINO on the exported tower, tile by tile: `default` lets it choose the arithmetic (bf16 where the CPU has
it), `f32` asks for float32."""
import pathlib

import numpy as np
import openvino
from measure import Worker, peak_rss_bytes


def main() -> None:
    """Measures the tower, the only stage."""
    worker = Worker()
    job = worker.job
    settings = {"INFERENCE_NUM_THREADS": job["threads"], "PERFORMANCE_HINT": "LATENCY"}
    if job["variant"] == "f32":
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(pathlib.Path(job["files"]) / "tower-f32.onnx"), "CPU", settings)
    chosen = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    worker.report(versions={"openvino": openvino.__version__.split("-")[0]}, weights=f"tower {chosen}")
    request = compiled.create_infer_request()
    tile = np.random.default_rng(1).uniform(-1, 1, (1, 3, 512, 512)).astype(np.float32)
    worker.stage("tile_ms", lambda: worker.median_ms(lambda: request.infer([tile])))
    worker.report(peak_rss_bytes=peak_rss_bytes())


if __name__ == "__main__":
    main()
