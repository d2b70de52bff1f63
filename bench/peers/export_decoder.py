#!/usr/bin/env python3
"""Exports the decoder of a SmolVLM folder to OpenVINO with its key-value cache as state, as OpenVINO GenAI wants it.

  export_decoder.py MODEL OUT

makes OUT/decoder-f16.xml, and OUT/decoder-int8.xml and OUT/decoder-int4.xml by NNCF's weight compression, and
OUT/embeddings.npy. Inputs: embeddings [1, tokens, width] and the beam's index (zero), which is what OpenVINO's fused
attention looks for; output: logits of the last token.
"""
import argparse
import pathlib

import nncf
import numpy as np
import openvino
import torch
from openvino import opset13 as opset
from openvino._offline_transformations import apply_make_stateful_transformation
from transformers import AutoModelForImageTextToText


def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotary positions, the halves of a head as pairs."""
    half = x.shape[-1] // 2
    return x * cosine + torch.cat([-x[..., half:], x[..., :half]], -1) * sine


class Decoder(torch.nn.Module):
    """The decoder of transformers, written with its cache as plain inputs and outputs."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.layers = model.model.text_model.layers
        self.norm = model.model.text_model.norm
        self.head = model.lm_head
        config = model.config.text_config
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = config.head_dim
        self.register_buffer("frequencies", model.model.text_model.rotary_emb.inv_freq.clone())

    def attend(self, layer: torch.nn.Module, x: torch.Tensor, angles: tuple, mask: torch.Tensor, past: tuple) -> tuple:
        """Attention of one layer; returns its output and the longer cache."""
        attention = layer.self_attn
        tokens = x.shape[1]
        def split(y: torch.Tensor, heads: int) -> torch.Tensor:
            return y.view(1, tokens, heads, self.head_dim).transpose(1, 2)
        query = rotate(split(attention.q_proj(x), self.heads), *angles)
        key = torch.cat([past[0], rotate(split(attention.k_proj(x), self.kv_heads), *angles)], 2)
        value = torch.cat([past[1], split(attention.v_proj(x), self.kv_heads)], 2)
        def shared(y: torch.Tensor) -> torch.Tensor:
            group = self.heads // self.kv_heads
            return y[:, :, None].expand(1, self.kv_heads, group, y.shape[2], self.head_dim).reshape(
                1, self.heads, y.shape[2], self.head_dim)
        mixed = torch.nn.functional.scaled_dot_product_attention(query, shared(key), shared(value), mask)
        return attention.o_proj(mixed.transpose(1, 2).reshape(1, tokens, -1)), key, value

    def forward(self, embeddings: torch.Tensor, beam: torch.Tensor, *cache: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logits of the last token, then keys and values of each layer."""
        past, tokens = cache[0].shape[2], embeddings.shape[1]
        positions = torch.arange(past, past + tokens)
        angles = positions[:, None].float() * self.frequencies[None]
        angles = torch.cat([angles, angles], -1)[None, None]
        angles = (angles.cos(), angles.sin())
        unseen = torch.arange(past + tokens)[None] > positions[:, None]
        mask = torch.zeros(unseen.shape).masked_fill(unseen, torch.finfo(torch.float32).min)[None, None]
        x, longer = embeddings, []
        for number, layer in enumerate(self.layers):
            kept = tuple(state.index_select(0, beam) for state in cache[2 * number:2 * number + 2])
            mixed, *states = self.attend(layer, layer.input_layernorm(x), angles, mask, kept)
            x = x + mixed
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            longer += states
        return self.head(self.norm(x[:, -1:])), *longer


def check(decoder: Decoder, model: torch.nn.Module, cache: list[torch.Tensor]) -> None:
    """Ends the program if the decoder here computes something else than that of transformers."""
    ids = torch.arange(1000, 1032)[None]
    expected = model.lm_head(model.model.text_model(input_ids=ids).last_hidden_state[:, -1:])
    embeddings, beam = model.model.text_model.embed_tokens(ids), torch.zeros(1, dtype=torch.int32)
    _, *cache = decoder(embeddings[:, :-1], beam, *cache)
    got = decoder(embeddings[:, -1:], beam, *cache)[0]
    error = float((got - expected).norm() / expected.norm())
    print(f"relative error of the logits to transformers in float32: {error:.2e}")
    if error > 1e-4:
        raise SystemExit(f"error: the decoder computes something else: relative error {error:.2e}")


def begin_empty(model: openvino.Model) -> None:
    """Gives each state an empty cache as its first value, without which OpenVINO does not fuse it with attention."""
    for operation in model.get_ops():
        if operation.get_type_name() == "ReadValue":
            shape = [dimension.min_length for dimension in operation.get_output_partial_shape(0)]
            operation.set_arguments([opset.broadcast(opset.constant(0, np.float32), opset.constant(shape, np.int64))])
    model.validate_nodes_and_infer_types()


def convert(decoder: Decoder, cache: list[torch.Tensor], width: int) -> openvino.Model:
    """The decoder as an OpenVINO model with state."""
    names = [f"{kind}.{layer}" for layer in range(len(cache) // 2) for kind in ("key", "value")]
    example = (torch.zeros(1, 4, width), torch.zeros(1, dtype=torch.int32),
               *(torch.zeros(1, *state.shape[1:2], 3, state.shape[3]) for state in cache))
    shapes = [[1, -1, width], [-1], *([1, state.shape[1], -1, state.shape[3]] for state in cache)]
    types = [np.float32, np.int32, *(np.float32 for _ in cache)]
    model = openvino.convert_model(decoder, example_input=example, input=list(zip(shapes, types)))
    for port, name in zip(model.inputs, ["embeddings", "beam", *("past." + name for name in names)], strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(model.outputs, ["logits", *("present." + name for name in names)], strict=True):
        port.get_tensor().set_names({name})
    apply_make_stateful_transformation(model, {"past." + name: "present." + name for name in names})
    begin_empty(model)
    return model


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    model = AutoModelForImageTextToText.from_pretrained(args.model, dtype=torch.float32).eval()
    config = model.config.text_config
    cache = [torch.zeros(1, config.num_key_value_heads, 0, config.head_dim)] * (2 * config.num_hidden_layers)
    np.save(args.out / "embeddings.npy", model.model.text_model.embed_tokens.weight.detach().numpy())
    with torch.no_grad():
        decoder = Decoder(model).eval()
        check(decoder, model, cache)
        converted = convert(decoder, cache, config.hidden_size)
    openvino.save_model(converted, args.out / "decoder-f16.xml", compress_to_fp16=True)
    core = openvino.Core()
    for name, settings in (("int8", {"mode": nncf.CompressWeightsMode.INT8_ASYM}),
                           ("int4", {"mode": nncf.CompressWeightsMode.INT4_SYM, "group_size": 64, "ratio": 1.0})):
        small = nncf.compress_weights(core.read_model(args.out / "decoder-f16.xml"), **settings)
        openvino.save_model(small, args.out / f"decoder-{name}.xml", compress_to_fp16=True)


if __name__ == "__main__":
    main()
