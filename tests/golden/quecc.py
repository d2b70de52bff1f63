"""Goldens of the query-conditioned connector: the transcription of QueCC's published description that the recipe trains
(training/recipe/connectors.py), on seeded weights.

    python quecc.py --out DIR [--authors FILE]

"Inference Optimal VLMs Need Only One Visual Token but Larger Models", arXiv 2411.03312. Weights and inputs are those of
checkpoint.py's formula, so that the file holds nothing but shapes and results. With --authors, the path of quecc.py in a
clone of the authors' repository, their module runs beside on the same weights, and the largest difference is printed.
Needs torch and numpy, and einops with --authors.
"""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

import checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))
from recipe.connectors import QueccConnector  # noqa: E402 (the path must be set first)

SEED = 5
PREFIX = "model.connector."
CASES = [
    # One token out of nine patches, with the published activation; and one out of a whole tile, with an approximation.
    {"name": "regions", "width": 64, "hidden": 40, "heads": 8, "grid": 6, "scale": 3, "tiles": 2, "hidden_act": "gelu"},
    {"name": "tile", "width": 32, "hidden": 24, "heads": 4, "grid": 4, "scale": 4, "tiles": 1,
     "hidden_act": "gelu_pytorch_tanh"},
]
LAYERS = 3  # of the tower; the query is of the second's result, keys of the first's and the third's
QUERY_LAYER = 2
KEY_LAYERS = [1, 3]


def seeded(name: str, shape: tuple) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(checkpoint.tensor_f32(name, shape, SEED).reshape(shape)))


def make_module(case: dict) -> QueccConnector:
    activation = "tanh" if case["hidden_act"] == "gelu_pytorch_tanh" else "none"
    module = QueccConnector(case["width"], case["hidden"], case["scale"], case["heads"], len(KEY_LAYERS), activation)
    state = {name: seeded(PREFIX + name, tuple(value.shape)) for name, value in module.state_dict().items()}
    module.load_state_dict(state)
    return module.eval()


def make_inputs(case: dict) -> tuple:
    """x, x_multi and text. A hidden state is a matrix of its own name, so that the C++ test can make it too."""
    shape = (case["tiles"] * case["grid"] ** 2, case["width"])
    scale = case["width"] ** 0.5  # of order 1, where the formula gives a matrix's weights
    states = {i: (seeded(f"state.{i}", shape) * scale).view(case["tiles"], -1, case["width"])
              for i in range(LAYERS + 1)}
    text = (seeded("query", (1, case["hidden"])) * case["hidden"] ** 0.5)[None]
    return states[QUERY_LAYER], torch.cat([states[i] for i in KEY_LAYERS], -1), text


def authors_difference(path: Path, case: dict, ours: QueccConnector, inputs: tuple) -> float:
    """The largest difference of what the authors' module gives, before the projector, which is not part of it."""
    spec = importlib.util.spec_from_file_location("authors_quecc", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = SimpleNamespace(
        mm_vision_output_token_count=case["grid"] ** 2,
        mm_vision_output_text_embedding_size=case["hidden"],
        mm_vision_token_compression_kernel_size=case["scale"],
        mm_vision_token_compression_stride=case["scale"],
    )
    theirs = module.QueCC(SimpleNamespace(hidden_size=case["width"]), config)
    # Sizes that their code fixes for Vicuna-7B and CLIP: 4096 inputs of keys and values, 8 heads.
    for name in ("k_proj", "v_proj"):
        getattr(theirs, name)[0] = nn.Linear(case["width"] * len(KEY_LAYERS), case["width"])
    theirs.clip_attn = nn.MultiheadAttention(case["width"], case["heads"], batch_first=True)
    if case["hidden_act"] == "gelu_pytorch_tanh":
        for name in ("q_proj", "k_proj", "v_proj"):
            getattr(theirs, name)[1] = nn.GELU(approximate="tanh")
    state = {k: v for k, v in ours.state_dict().items() if not k.startswith(("clip_attn", "projector"))}
    attention = ours.clip_attn
    parts = [attention.q_proj, attention.k_proj, attention.v_proj]
    state["clip_attn.in_proj_weight"] = torch.cat([part.weight for part in parts])
    state["clip_attn.in_proj_bias"] = torch.cat([part.bias for part in parts])
    state["clip_attn.out_proj.weight"] = attention.out_proj.weight
    state["clip_attn.out_proj.bias"] = attention.out_proj.bias
    theirs.load_state_dict(state)
    x, x_multi, text = inputs
    their_result = theirs.eval()((x_multi, text.expand(len(x), 1, -1), x)).reshape(-1, case["width"])
    return float((their_result - ours.compress(x, x_multi, text)).abs().max())


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--authors", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cases = []
    for case in CASES:
        module, inputs = make_module(case), make_inputs(case)
        result = module(*inputs)
        other = module(inputs[0], inputs[1], torch.zeros_like(inputs[2]))
        print(f"{case['name']}: {tuple(result.shape)}, RMS {result.square().mean().sqrt():.3f}, "
              f"without a query it differs by {(result - other).abs().max():.3f}")
        if args.authors:
            difference = authors_difference(args.authors, case, module, inputs)
            print(f"  largest difference to the authors' module: {difference:.2g}")
        cases.append({**case, "out": [round(float(v), 7) for v in result.flatten()]})
    golden = {"seed": SEED, "layers": LAYERS, "query_layer": QUERY_LAYER, "key_layers": KEY_LAYERS, "cases": cases}
    (args.out / "quecc.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
