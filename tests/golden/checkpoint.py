"""Seeded checkpoints of true shape: the Python twin of `eyeshot dev checkpoint`.

Every element of every tensor is a pure function of (seed, tensor name, row-major index), as docs/design.md section 8
lays down, so a checkpoint of any size is made on the spot and only the seed has to be stored.

    python checkpoint.py --config DIR --seed N [--outliers] --out DIR [--golden FILE]

DIR of --config is a Hugging Face folder without weights (SmolVLM / Idefics3 family). The output folder gets
model.safetensors and copies of the configuration, tokenizer and processor files. `--golden FILE` also writes the first
and last values and a hash of a few tensors, which the C++ writer is tested against.
"""

import argparse
import json
import math
import shutil
import struct
from pathlib import Path

import numpy as np

GOLDEN_GAMMA = 0x9E3779B97F4A7C15
FNV_OFFSET = 0xCBF29CE484222325
FNV_PRIME = 0x100000001B3
MASK64 = (1 << 64) - 1

# Elements made at a time: the temporaries of one block stay in the L2 cache.
BLOCK = 1 << 16

# With --outliers so many channels of what a tower layer's norms give are so many times larger. README.md has the
# reason for OUTLIER_READERS, whose columns of these channels are as many times smaller.
OUTLIERS = 8
OUTLIER_FACTOR = 50.0
OUTLIER_LAYERS = "model.vision_model.encoder.layers."
OUTLIER_WRITERS = ("layer_norm1.weight", "layer_norm1.bias", "layer_norm2.weight", "layer_norm2.bias")
OUTLIER_READERS = ("self_attn.q_proj.weight", "self_attn.k_proj.weight", "mlp.fc1.weight")

COPIED_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)

GOLDEN_TENSORS = (
    "lm_head.weight",
    "model.connector.modality_projection.proj.weight",
    "model.text_model.embed_tokens.weight",
    "model.text_model.layers.0.self_attn.q_proj.weight",
    "model.text_model.layers.29.input_layernorm.weight",
    "model.text_model.layers.29.mlp.down_proj.weight",
    "model.vision_model.embeddings.patch_embedding.weight",
    "model.vision_model.embeddings.position_embedding.weight",
    "model.vision_model.encoder.layers.11.mlp.fc1.bias",
    "model.vision_model.encoder.layers.11.self_attn.q_proj.weight",
)

OUTLIER_GOLDEN_TENSORS = (
    "model.text_model.layers.0.mlp.down_proj.weight",
    "model.vision_model.encoder.layers.0.layer_norm1.weight",
    "model.vision_model.encoder.layers.11.layer_norm2.bias",
    "model.vision_model.encoder.layers.11.mlp.fc1.weight",
    "model.vision_model.encoder.layers.11.self_attn.q_proj.weight",
    "model.vision_model.encoder.layers.11.self_attn.v_proj.weight",
)


def fnv1a64(data: bytes) -> int:
    """FNV-1a, 64 bits."""
    value = FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * FNV_PRIME) & MASK64
    return value


def splitmix64(x: np.ndarray) -> np.ndarray:
    """The splitmix64 step on an array of uint64 (wraps around)."""
    x = x + np.uint64(GOLDEN_GAMMA)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def scaled(name: str, shape: tuple, v: np.ndarray) -> np.ndarray:
    """Gives the unit-variance values `v` (double) the offset and scale that the tensor's role asks for."""
    if len(shape) == 1:
        return 1.0 + 0.1 * v if name.endswith(".weight") else 0.02 * v
    if "embed_tokens" in name or "position_embedding" in name:
        return 0.5 * v
    if name.endswith("q_proj.weight"):
        return 3.0 * v / math.sqrt(shape[1])
    return v / math.sqrt(math.prod(shape[1:]))


def outlier_factors(name: str, width: int) -> np.ndarray:
    """What --outliers multiplies the elements of the last dimension by, [width] (double)."""
    factors = np.ones(width)
    channels = [(2 * i + 1) * width // (2 * OUTLIERS) for i in range(OUTLIERS)]
    if name.startswith(OUTLIER_LAYERS) and name.endswith(OUTLIER_WRITERS):
        factors[channels] = OUTLIER_FACTOR
    if name.startswith(OUTLIER_LAYERS) and name.endswith(OUTLIER_READERS):
        factors[channels] = 1 / OUTLIER_FACTOR
    return factors


def tensor_f32(name: str, shape: tuple, seed: int, outliers: bool = False) -> np.ndarray:
    """The values of one tensor as float32, flat, before any rounding to bf16."""
    count = math.prod(shape)
    factors = outlier_factors(name, shape[-1])
    # In C `+` binds before `^`: the index is added to the name's hash, and the seed is mixed in last.
    name_hash = fnv1a64(name.encode("utf-8"))
    out = np.empty(count, np.float32)
    for begin in range(0, count, BLOCK):
        index = np.arange(begin, min(begin + BLOCK, count), dtype=np.uint64)
        h = splitmix64(np.uint64(seed) ^ (np.uint64(name_hash) + index * np.uint64(GOLDEN_GAMMA)))
        u = (h >> np.uint64(40)).astype(np.float64) / 2.0**24
        v = (2.0 * u - 1.0) * math.sqrt(3.0)
        values = scaled(name, shape, v)
        if outliers:
            values = values * factors[(index % np.uint64(shape[-1])).astype(np.int64)]
        out[begin : begin + len(index)] = values
    return out


def to_bf16(values: np.ndarray) -> np.ndarray:
    """float32 to bf16 bits (uint16), to nearest, ties to even. Finite values only."""
    bits = values.view(np.uint32)
    return ((bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(16)).astype(np.uint16)


def from_bf16(bits: np.ndarray) -> np.ndarray:
    """bf16 bits (uint16) to float32, exactly."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def tensor_shapes(config: dict) -> dict:
    """Names and shapes of all tensors of a SmolVLM / Idefics3 checkpoint, in file (alphabetical) order.

    Keys that published configurations leave out have the defaults of their configuration classes.
    """
    text = config["text_config"]
    vision = config["vision_config"]
    hidden = text["hidden_size"]
    heads = text["num_attention_heads"]
    head_dim = text.get("head_dim") or hidden // heads
    kv = text.get("num_key_value_heads", heads) * head_dim
    intermediate = text["intermediate_size"]
    vocab = text["vocab_size"]
    width = vision["hidden_size"]
    mlp = vision.get("intermediate_size", 3072)
    patch = vision["patch_size"]
    side = vision["image_size"] // patch
    shapes = {
        "model.text_model.embed_tokens.weight": (vocab, hidden),
        "model.text_model.norm.weight": (hidden,),
        "model.connector.modality_projection.proj.weight": (hidden, width * config["scale_factor"] ** 2),
        "model.vision_model.embeddings.patch_embedding.weight": (width, vision.get("num_channels", 3), patch, patch),
        "model.vision_model.embeddings.patch_embedding.bias": (width,),
        "model.vision_model.embeddings.position_embedding.weight": (side * side, width),
        "model.vision_model.post_layernorm.weight": (width,),
        "model.vision_model.post_layernorm.bias": (width,),
    }
    if not config.get("tie_word_embeddings", text.get("tie_word_embeddings", False)):
        shapes["lm_head.weight"] = (vocab, hidden)
    for i in range(text["num_hidden_layers"]):
        layer = f"model.text_model.layers.{i}."
        shapes[layer + "input_layernorm.weight"] = (hidden,)
        shapes[layer + "post_attention_layernorm.weight"] = (hidden,)
        shapes[layer + "self_attn.q_proj.weight"] = (heads * head_dim, hidden)
        shapes[layer + "self_attn.k_proj.weight"] = (kv, hidden)
        shapes[layer + "self_attn.v_proj.weight"] = (kv, hidden)
        shapes[layer + "self_attn.o_proj.weight"] = (hidden, heads * head_dim)
        shapes[layer + "mlp.gate_proj.weight"] = (intermediate, hidden)
        shapes[layer + "mlp.up_proj.weight"] = (intermediate, hidden)
        shapes[layer + "mlp.down_proj.weight"] = (hidden, intermediate)
    for i in range(vision.get("num_hidden_layers", 12)):
        layer = f"model.vision_model.encoder.layers.{i}."
        for norm in ("layer_norm1", "layer_norm2"):
            shapes[layer + norm + ".weight"] = (width,)
            shapes[layer + norm + ".bias"] = (width,)
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[layer + f"self_attn.{projection}.weight"] = (width, width)
            shapes[layer + f"self_attn.{projection}.bias"] = (width,)
        shapes[layer + "mlp.fc1.weight"] = (mlp, width)
        shapes[layer + "mlp.fc1.bias"] = (mlp,)
        shapes[layer + "mlp.fc2.weight"] = (width, mlp)
        shapes[layer + "mlp.fc2.bias"] = (width,)
    return dict(sorted(shapes.items()))


def stored_dtype(config: dict) -> str:
    """The safetensors dtype that the configuration asks for; bf16 when it says nothing."""
    name = config.get("dtype") or config.get("torch_dtype") or "bfloat16"
    return {"bfloat16": "BF16", "float32": "F32"}[name]


def read_config(folder: Path) -> dict:
    """config.json of a folder, or config.derived.json where the published file is not at hand."""
    path = folder / "config.json"
    if not path.exists():
        path = folder / "config.derived.json"
    return json.loads(path.read_text("utf-8"))


def write_safetensors(path: Path, shapes: dict, dtype: str, seed: int, outliers: bool) -> None:
    """Makes and writes the tensors one by one, so that memory holds no more than the largest."""
    item = 2 if dtype == "BF16" else 4
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        size = math.prod(shape) * item
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name, shape in shapes.items():
            values = tensor_f32(name, shape, seed, outliers)
            (to_bf16(values) if dtype == "BF16" else values).tofile(file)


def make_checkpoint(source: Path, seed: int, out: Path, outliers: bool = False) -> None:
    """Writes a whole model folder: weights, configuration, tokenizer and processor files."""
    config = read_config(source)
    out.mkdir(parents=True, exist_ok=True)
    write_safetensors(out / "model.safetensors", tensor_shapes(config), stored_dtype(config), seed, outliers)
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    for name in COPIED_FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, out / name)


def spot_values(name: str, shape: tuple, seed: int, outliers: bool) -> str:
    """First and last values and the hash of the bytes of a tensor, as a line of JSON."""
    bits = to_bf16(tensor_f32(name, shape, seed, outliers))
    values = from_bf16(bits)
    entry = {
        "name": name,
        "shape": list(shape),
        "first": [float(x) for x in values[:8]],
        "last": [float(x) for x in values[-4:]],
        "fnv1a64": f"{fnv1a64(bits.tobytes()):016x}",
    }
    return "  " + json.dumps(entry)


def write_golden(path: Path, config: dict, seed: int) -> None:
    """Spot values of some tensors, one tensor a line; of others with outliers."""
    shapes = tensor_shapes(config)
    plain = ",\n".join(spot_values(name, shapes[name], seed, False) for name in GOLDEN_TENSORS)
    outliers = ",\n".join(spot_values(name, shapes[name], seed, True) for name in OUTLIER_GOLDEN_TENSORS)
    total = sum(math.prod(shape) for shape in shapes.values())
    head = f'{{\n "seed": {seed},\n "dtype": "BF16",\n "tensor_count": {len(shapes)},\n "parameter_count": {total},\n'
    lists = f' "tensors": [\n{plain}\n ],\n "outlier_tensors": [\n{outliers}\n ]\n}}\n'
    path.write_text(head + lists, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="model folder without weights")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--outliers", action="store_true", help="with outliers in the tower's activations")
    parser.add_argument("--out", type=Path, help="folder to write the checkpoint to")
    parser.add_argument("--golden", type=Path, help="JSON file of spot values to write (SmolVLM-256M)")
    args = parser.parse_args()
    if args.out:
        make_checkpoint(args.config, args.seed, args.out, args.outliers)
    if args.golden:
        write_golden(args.golden, read_config(args.config), args.seed)


if __name__ == "__main__":
    main()
