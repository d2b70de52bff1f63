"""Writes a Hugging Face folder as GGUF files, text and mmproj, with the `gguf` package: what llama.cpp's converter does,
for the architectures that Eyeshot runs.

  gguf_model.py --model DIR --out DIR [--type BF16] [--mmproj-type BF16] [--old-mmproj]

Types: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 (the package quantizes no K types). Vectors, positions and the patch
embedding are F32, as the converter writes them. --old-mmproj writes what files of early 2025 look like: ffn_up and
ffn_down swapped, no preproc_image_size.
"""

import argparse
import json
import pathlib

import gguf
import numpy as np
import torch
from safetensors import safe_open

LAYER = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
         "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
VISION = {"layer_norm1": "ln1", "layer_norm2": "ln2", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
          "self_attn.v_proj": "attn_v", "self_attn.out_proj": "attn_out", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down"}


def permute(weights, heads):
    """Rows in the order of interleaved rotary embeddings."""
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(
        weights.shape)


def add(writer, name, tensor, kind):
    data = tensor.to(torch.float32).numpy()
    wanted = gguf.GGMLQuantizationType[kind]
    block = gguf.GGML_QUANT_SIZES[wanted][0]
    if data.ndim < 2 or name in ("v.patch_embd.weight", "v.position_embd.weight") or data.shape[-1] % block:
        wanted = gguf.GGMLQuantizationType.F32 if data.ndim < 2 or block == 1 or name.startswith("v.") else \
            gguf.GGMLQuantizationType.F16
    if name in ("v.patch_embd.weight", "v.position_embd.weight"):
        wanted = gguf.GGMLQuantizationType.F32
    writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(data), wanted), raw_dtype=wanted)


def text_file(args, config, tensors, path):
    text = config.get("text_config", config)
    writer = gguf.GGUFWriter(path, "llama")
    heads = text["num_attention_heads"]
    kv_heads = text.get("num_key_value_heads", heads)
    head_dim = text.get("head_dim") or text["hidden_size"] // heads
    writer.add_name(pathlib.Path(args.model).name)
    writer.add_block_count(text["num_hidden_layers"])
    writer.add_context_length(text["max_position_embeddings"])
    writer.add_embedding_length(text["hidden_size"])
    writer.add_feed_forward_length(text["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_freq_base(float(text.get("rope_theta", 10000.0)))
    writer.add_layer_norm_rms_eps(text["rms_norm_eps"])
    writer.add_vocab_size(text["vocab_size"])
    writer.add_rope_dimension_count(head_dim)

    spec = json.loads((pathlib.Path(args.model) / "tokenizer.json").read_text())
    by_id = {i: t for t, i in spec["model"]["vocab"].items()}
    added = {t["id"]: t for t in spec["added_tokens"]}
    tokens, types = [], []
    for i in range(text["vocab_size"]):
        if i in added:
            tokens.append(added[i]["content"])
            types.append(gguf.TokenType.CONTROL if added[i]["special"] else gguf.TokenType.USER_DEFINED)
        elif i in by_id:
            tokens.append(by_id[i])
            types.append(gguf.TokenType.NORMAL)
        else:
            tokens.append(f"[PAD{i}]")
            types.append(gguf.TokenType.UNUSED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in spec["model"]["merges"]])
    end = next((t["id"] for t in spec["added_tokens"] if t["content"] == "<end_of_utterance>"), 2)
    eos = json.loads((pathlib.Path(args.model) / "generation_config.json").read_text()).get("eos_token_id", end)
    writer.add_eos_token_id(eos if isinstance(eos, int) else eos[0])
    writer.add_bos_token_id(1)
    if args.template:
        writer.add_chat_template(args.template)

    prefix = "model.text_model." if any(n.startswith("model.text_model.") for n in tensors) else "model."
    add(writer, "token_embd.weight", tensors[prefix + "embed_tokens.weight"], args.type)
    add(writer, "output_norm.weight", tensors[prefix + "norm.weight"], args.type)
    if "lm_head.weight" in tensors:
        add(writer, "output.weight", tensors["lm_head.weight"], args.type)
    for i in range(text["num_hidden_layers"]):
        for theirs, ours in LAYER.items():
            tensor = tensors[f"{prefix}layers.{i}.{theirs}.weight"]
            if ours in ("attn_q", "attn_k"):
                tensor = permute(tensor, heads if ours == "attn_q" else kv_heads)
            add(writer, f"blk.{i}.{ours}.weight", tensor, args.type)
    finish(writer)


def vision_file(args, config, tensors, path):
    vision = config["vision_config"]
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "idefics3")
    writer.add_bool("clip.use_gelu", True)
    writer.add_uint32("clip.vision.image_size", vision["image_size"])
    writer.add_uint32("clip.vision.patch_size", vision["patch_size"])
    writer.add_uint32("clip.vision.embedding_length", vision["hidden_size"])
    writer.add_uint32("clip.vision.feed_forward_length", vision.get("intermediate_size", 3072))
    writer.add_uint32("clip.vision.block_count", vision.get("num_hidden_layers", 12))
    writer.add_uint32("clip.vision.attention.head_count", vision["num_attention_heads"])
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", vision.get("layer_norm_eps", 1e-5))
    writer.add_uint32("clip.vision.projection_dim", config["text_config"]["hidden_size"])
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    writer.add_uint32("clip.vision.projector.scale_factor", config["scale_factor"])
    processor = json.loads((pathlib.Path(args.model) / "preprocessor_config.json").read_text())
    if not args.old_mmproj:
        writer.add_uint32("clip.vision.preproc_image_size", processor["size"]["longest_edge"])

    prefix = "model.vision_model."
    kind = args.mmproj_type
    for part in ("weight", "bias"):
        add(writer, f"v.patch_embd.{part}", tensors[f"{prefix}embeddings.patch_embedding.{part}"], kind)
        add(writer, f"v.post_ln.{part}", tensors[f"{prefix}post_layernorm.{part}"], kind)
    add(writer, "v.position_embd.weight", tensors[prefix + "embeddings.position_embedding.weight"], kind)
    add(writer, "mm.model.fc.weight", tensors["model.connector.modality_projection.proj.weight"], kind)
    swap = {"ffn_up": "ffn_down", "ffn_down": "ffn_up"} if args.old_mmproj else {}
    for i in range(vision.get("num_hidden_layers", 12)):
        for theirs, ours in VISION.items():
            for part in ("weight", "bias"):
                add(writer, f"v.blk.{i}.{swap.get(ours, ours)}.{part}",
                    tensors[f"{prefix}encoder.layers.{i}.{theirs}.{part}"], kind)
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a Hugging Face folder")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--type", default="BF16")
    parser.add_argument("--mmproj-type", default="BF16")
    parser.add_argument("--old-mmproj", action="store_true")
    args = parser.parse_args()
    model = pathlib.Path(args.model)
    config = json.loads((model / "config.json").read_text())
    template = model / "chat_template.json"
    jinja = model / "chat_template.jinja"
    args.template = json.loads(template.read_text())["chat_template"] if template.exists() else None
    if jinja.exists():
        args.template = jinja.read_text()
    tensors = {}
    for file in sorted(model.glob("*.safetensors")):
        with safe_open(file, "pt") as shard:
            for name in shard.keys():
                tensors[name] = shard.get_tensor(name)
    args.out.mkdir(parents=True, exist_ok=True)
    text_file(args, config, tensors, args.out / f"model-{args.type}.gguf")
    if "vision_config" in config:
        vision_file(args, config, tensors, args.out / f"mmproj-{args.mmproj_type}.gguf")


if __name__ == "__main__":
    main()
