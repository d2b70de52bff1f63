#!/usr/bin/env python3
"""Writes a SmolVLM folder as llama.cpp's files: the decoder as GGUF and the tower as an "mmproj" GGUF.

  make_gguf.py MODEL OUT --types q8_0,q4_0

makes OUT/text-TYPE.gguf for each type and OUT/mmproj-f16.gguf. Names of keys and tensors are those that llama.cpp's
loader asks for; which tensors are rounded is what its quantizer does: matrices alone, and lm_head to 8 bits in 4-bit
files too, as its width is no multiple of 256.
"""
import argparse
import json
import pathlib
from collections.abc import Callable, Iterator

import gguf
import numpy as np

Type = gguf.GGMLQuantizationType

# The end of a tensor's name in the folder -> in the file.
DECODER_LAYER = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
TOWER_LAYER = {
    "layer_norm1": "ln1", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out", "layer_norm2": "ln2", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down",
}


class Folder:
    """A Hugging Face folder with bf16 weights in one safetensors file."""

    def __init__(self, path: pathlib.Path):
        self.config = self.read_json(path / "config.json")
        self.preprocessor = self.read_json(path / "preprocessor_config.json")
        self.tokenizer = self.read_json(path / "tokenizer.json")
        self.chat_template = self.read_json(path / "chat_template.json")["chat_template"]
        weights = path / "model.safetensors"
        with weights.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            self.header = json.loads(file.read(header_bytes))
        self.data = np.memmap(weights, np.uint8, "r", offset=8 + header_bytes)

    @staticmethod
    def read_json(path: pathlib.Path) -> dict:
        """Reads one of the folder's JSON files."""
        return json.loads(path.read_text(encoding="utf-8"))

    def tensor(self, name: str) -> np.ndarray:
        """A bf16 tensor as float32."""
        entry = self.header[name]
        if entry["dtype"] != "BF16":
            raise ValueError(f"{name}: {entry['dtype']} instead of BF16")
        begin, end = entry["data_offsets"]
        bits = self.data[begin:end].view(np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32).reshape(entry["shape"])


def rope_in_pairs(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows in the order of llama.cpp's rotation, of neighbours, from that of halves."""
    rows, width = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)


def decoder_tensors(folder: Folder) -> Iterator[tuple[str, np.ndarray]]:
    """The decoder's tensors under the file's names."""
    text = folder.config["text_config"]
    heads = {"attn_q": text["num_attention_heads"], "attn_k": text["num_key_value_heads"]}
    yield "token_embd.weight", folder.tensor("model.text_model.embed_tokens.weight")
    yield "output_norm.weight", folder.tensor("model.text_model.norm.weight")
    yield "output.weight", folder.tensor("lm_head.weight")
    for layer in range(text["num_hidden_layers"]):
        for source, target in DECODER_LAYER.items():
            weight = folder.tensor(f"model.text_model.layers.{layer}.{source}.weight")
            if target in heads:
                weight = rope_in_pairs(weight, heads[target])
            yield f"blk.{layer}.{target}.weight", weight


def tower_tensors(folder: Folder) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors of tower and connector under the file's names."""
    tower = "model.vision_model."
    yield "v.patch_embd.weight", folder.tensor(tower + "embeddings.patch_embedding.weight")
    yield "v.patch_embd.bias", folder.tensor(tower + "embeddings.patch_embedding.bias")
    yield "v.position_embd.weight", folder.tensor(tower + "embeddings.position_embedding.weight")
    yield "mm.model.fc.weight", folder.tensor("model.connector.modality_projection.proj.weight")
    for part in ("weight", "bias"):
        yield f"v.post_ln.{part}", folder.tensor(f"{tower}post_layernorm.{part}")
        for layer in range(folder.config["vision_config"]["num_hidden_layers"]):
            for source, target in TOWER_LAYER.items():
                yield (f"v.blk.{layer}.{target}.{part}",
                       folder.tensor(f"{tower}encoder.layers.{layer}.{source}.{part}"))


def decoder_type(name: str, weight: np.ndarray, wanted: Type) -> Type:
    """The type in which a tensor of the decoder is stored."""
    if weight.ndim == 1:
        return Type.F32
    return Type.Q8_0 if name == "output.weight" and wanted == Type.Q4_0 else wanted


def tower_type(name: str, weight: np.ndarray) -> Type:
    """The type in which a tensor of the tower is stored."""
    return Type.F32 if weight.ndim == 1 or "embd" in name else Type.F16


def add_tokenizer(writer: gguf.GGUFWriter, folder: Folder) -> None:
    """Vocabulary, merges and template."""
    added = {token["id"]: token for token in folder.tokenizer["added_tokens"]}
    plain = {index: token for token, index in folder.tokenizer["model"]["vocab"].items()}
    tokens, types = [], []
    for index in range(folder.config["text_config"]["vocab_size"]):
        if index in added:
            tokens.append(added[index]["content"])
            types.append(gguf.TokenType.CONTROL if added[index]["special"] else gguf.TokenType.USER_DEFINED)
        elif index in plain:
            tokens.append(plain[index])
            types.append(gguf.TokenType.NORMAL)
        else:
            tokens.append(f"[unused {index}]")
            types.append(gguf.TokenType.UNUSED)
    identifiers = {token: index for index, token in enumerate(tokens)}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge)
                             for merge in folder.tokenizer["model"]["merges"]])
    writer.add_bos_token_id(identifiers["<|im_start|>"])
    writer.add_eos_token_id(identifiers["<end_of_utterance>"])
    writer.add_pad_token_id(identifiers["<|im_end|>"])
    writer.add_unk_token_id(identifiers["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(folder.chat_template)


def add_decoder_keys(writer: gguf.GGUFWriter, folder: Folder) -> None:
    """The decoder's shape."""
    text = folder.config["text_config"]
    writer.add_name("SmolVLM's shape, seeded weights")
    writer.add_block_count(text["num_hidden_layers"])
    writer.add_context_length(text["max_position_embeddings"])
    writer.add_embedding_length(text["hidden_size"])
    writer.add_feed_forward_length(text["intermediate_size"])
    writer.add_head_count(text["num_attention_heads"])
    writer.add_head_count_kv(text["num_key_value_heads"])
    writer.add_key_length(text["head_dim"])
    writer.add_value_length(text["head_dim"])
    writer.add_rope_dimension_count(text["head_dim"])
    writer.add_rope_freq_base(text["rope_theta"])
    writer.add_layer_norm_rms_eps(text["rms_norm_eps"])
    writer.add_vocab_size(text["vocab_size"])


def add_tower_keys(writer: gguf.GGUFWriter, folder: Folder) -> None:
    """The tower's shape and how pictures are prepared for it."""
    vision = folder.config["vision_config"]
    writer.add_type(gguf.GGUFType.MMPROJ)
    writer.add_name("SmolVLM's shape, seeded weights")
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("idefics3")
    writer.add_vision_image_size(vision["image_size"])
    writer.add_vision_patch_size(vision["patch_size"])
    writer.add_vision_embedding_length(vision["hidden_size"])
    writer.add_vision_feed_forward_length(vision["intermediate_size"])
    writer.add_vision_block_count(vision["num_hidden_layers"])
    writer.add_vision_head_count(vision["num_attention_heads"])
    writer.add_vision_attention_layernorm_eps(vision["layer_norm_eps"])
    writer.add_vision_projection_dim(folder.config["text_config"]["hidden_size"])
    writer.add_vision_projector_scale_factor(folder.config["scale_factor"])
    writer.add_vision_use_gelu(True)
    writer.add_vision_image_mean(folder.preprocessor["image_mean"])
    writer.add_vision_image_std(folder.preprocessor["image_std"])
    writer.add_vision_preproc_image_size(folder.preprocessor["size"]["longest_edge"])


def unfinished(path: pathlib.Path) -> pathlib.Path:
    """Where a file is written until it is whole."""
    return path.with_suffix(".part")


def write(writer: gguf.GGUFWriter, tensors: Iterator[tuple[str, np.ndarray]],
          type_of: Callable[[str, np.ndarray], Type]) -> None:
    """Adds the tensors in their types and writes the file."""
    for name, weight in tensors:
        kind = type_of(name, weight)
        writer.add_tensor(name, gguf.quants.quantize(weight, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_decoder(folder: Folder, path: pathlib.Path, wanted: Type) -> None:
    """Writes the decoder with matrices of the type `wanted`."""
    writer = gguf.GGUFWriter(unfinished(path), "llama")
    add_decoder_keys(writer, folder)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{wanted.name}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_tokenizer(writer, folder)
    write(writer, decoder_tensors(folder), lambda name, weight: decoder_type(name, weight, wanted))
    unfinished(path).rename(path)


def write_tower(folder: Folder, path: pathlib.Path) -> None:
    """Writes tower and connector."""
    writer = gguf.GGUFWriter(unfinished(path), "clip")
    add_tower_keys(writer, folder)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    write(writer, tower_tensors(folder), tower_type)
    unfinished(path).rename(path)


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--types", default="q8_0,q4_0", help="of the decoder: q8_0, q4_0, f16, bf16")
    args = parser.parse_args()
    folder = Folder(args.model)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.types.split(","):
        write_decoder(folder, args.out / f"text-{name}.gguf", Type[name.upper()])
    write_tower(folder, args.out / "mmproj-f16.gguf")


if __name__ == "__main__":
    main()
