"""Runs the published code of token reducers on random inputs and writes what it gives to reducers.json.

The authors' files are loaded from the checkouts given as arguments; none of their code is here. Where a method is part
of a model's class, its functions are taken out of the file and run as they are; README.md says what stands in for the
rest of the model. Needs torch and numpy (requirements.txt).

    python tests/golden/reducers.py --divprune DIR --visionzip DIR --tome DIR --evs FILE --out tests/data/golden
"""
import argparse
import ast
import importlib.util
import json
import pathlib
import types
import typing

import numpy
import torch

STEP = 0x9E3779B97F4A7C15


def noise(count: int, seed: int) -> torch.Tensor:
    """Numbers of [-1, 1): element i is 2 u - 1 for the upper 53 bits u of splitmix64(seed + i * STEP)."""
    with numpy.errstate(over="ignore"):
        x = numpy.uint64(seed) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(STEP)
        x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        x = x ^ (x >> numpy.uint64(31))
    unit = (x >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-53
    return torch.from_numpy((2 * unit - 1).astype(numpy.float32))


def load(path: pathlib.Path) -> types.ModuleType:
    """A file as a module of its own."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def methods(path: pathlib.Path, cls: str, names: list[str]) -> dict[str, typing.Callable]:
    """Methods of a class, as functions, without what its file imports."""
    tree = ast.parse(path.read_text())
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls).body
    wanted = [node for node in body if isinstance(node, ast.FunctionDef) and node.name in names]
    space = {"torch": torch}
    exec(compile(ast.Module(wanted, []), str(path), "exec"), space)
    return {name: space[name] for name in names}


def rounded(values: torch.Tensor) -> list[float]:
    return [float(f"{v:.8g}") for v in values.flatten().tolist()]


def divprune(checkout: pathlib.Path) -> list[dict]:
    code = methods(checkout / "LLaVA/llava/model/llava_arch.py", "LlavaMetaForCausalLM",
                   ["pairwise_cosine_similarity", "DivPrune"])
    owner = types.SimpleNamespace()
    owner.pairwise_cosine_similarity = types.MethodType(code["pairwise_cosine_similarity"], owner)
    cases = []
    for side, width, keep, seed in [(8, 960, 16, 1), (9, 576, 9, 2), (24, 128, 56, 3), (8, 32, 1, 4), (8, 48, 36, 5)]:
        count = side * side
        rows = noise(count * width, seed).view(count, width)
        ids, _ = code["DivPrune"](owner, rows, count, None, threshold_ratio=keep / count)
        cases.append({"side": side, "width": width, "keep": keep, "seed": seed, "ids": sorted(ids.tolist())})
    return cases


def visionzip(checkout: pathlib.Path) -> list[dict]:
    """The tower has a CLS token; its row of the attention holds the scores of the tokens, shared out over two heads."""
    forward = methods(checkout / "visionzip/clip_encoder.py", "CLIPVisionTower_VisionZip", ["forward"])["forward"]
    cases = []
    for side, width, key_width, keep, contextual, seed in [(8, 24, 64, 16, 3, 1), (9, 24, 72, 36, 6, 2),
                                                           (24, 8, 64, 64, 10, 3)]:
        count = side * side
        rows = noise(count * width, seed).view(count, width)
        scores = noise(count, seed + 100)
        keys = noise(count * key_width, seed + 200).view(count, key_width)
        attention = torch.zeros(1, 2, count + 1, count + 1)
        attention[0, :, 0, 1:] = scores / 2
        with_cls = lambda x: torch.cat([torch.zeros(1, x.shape[1]), x])[None]
        outputs = types.SimpleNamespace(attentions=[attention, None], hidden_states=[with_cls(rows), None])
        layers = [types.SimpleNamespace(metric=with_cls(keys)), None]
        tower = lambda *args, **kwargs: outputs
        tower_object = type("Tower", (), {"__call__": staticmethod(tower)})()
        tower_object.vision_model = types.SimpleNamespace(encoder=types.SimpleNamespace(layers=layers))
        tower_object._info = {"dominant": keep - contextual, "contextual": contextual}
        owner = types.SimpleNamespace(vision_tower=tower_object, device="cpu", dtype=torch.float32)
        saved, indices = forward(owner, torch.zeros(1))
        cases.append({"side": side, "width": width, "key_width": key_width, "keep": keep, "contextual": contextual,
                      "seed": seed, "dominant": sorted(i - 1 for i in indices[0, 1:].tolist()),
                      "merged": rounded(saved[0, 1 + keep - contextual:])})
    return cases


def tome(checkout: pathlib.Path) -> list[dict]:
    """Several layers, one behind the other."""
    code = load(checkout / "tome/merge.py")
    cases = []
    for count, width, metric_width, merges, seed in [(64, 6, 64, [20, 12], 1), (81, 4, 72, [30, 40, 8], 2)]:
        x = noise(count * width, seed).view(1, count, width)
        size, layers = None, []
        for layer, r in enumerate(merges):
            metric = noise(x.shape[1] * metric_width, seed + 100 * (layer + 1)).view(1, x.shape[1], metric_width)
            merge, unmerge = code.bipartite_soft_matching(metric, r)
            to = code.merge_source(merge, x)[0].argmax(dim=0)
            x, size = code.merge_wavg(merge, x, size)
            again = unmerge(x)
            layers.append({"merges": r, "to": to.tolist(), "sizes": rounded(size), "rows": rounded(x),
                           "unmerged_is_gathered": bool(torch.equal(again[0], x[0][to]))})
        cases.append({"count": count, "width": width, "metric_width": metric_width, "seed": seed, "layers": layers})
    return cases


def evs(path: pathlib.Path) -> list[dict]:
    code = load(path)
    cases = []
    for frames, side, width, keep, seed in [(5, 8, 96, 16, 1), (12, 9, 48, 27, 2), (3, 8, 32, 4, 3)]:
        rows = noise(frames * side * side * width, seed).view(-1, width)
        q = 1 - (keep + 1e-9) / (side * side)  # their product isn't to be rounded below a whole number
        mask = code.compute_retention_mask(rows, (frames, side, side), 1, q)
        cases.append({"frames": frames, "side": side, "width": width, "keep": keep, "seed": seed,
                      "ids": mask.nonzero().flatten().tolist()})
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, what in [("divprune", "a checkout of vbdi/divprune"), ("visionzip", "of dvlab-research/VisionZip"),
                       ("tome", "of facebookresearch/ToMe"), ("evs", "evs.py of vLLM or evs_core.py of SGLang"),
                       ("out", "the folder of reducers.json")]:
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True, help=what)
    args = parser.parse_args()
    torch.manual_seed(0)
    golden = {"divprune": divprune(args.divprune), "visionzip": visionzip(args.visionzip), "tome": tome(args.tome),
              "evs": evs(args.evs)}
    (args.out / "reducers.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
