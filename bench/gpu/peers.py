#!/usr/bin/env python3
"""transformers on one GPU, in bf16: the stages of a picture of 17 tiles, a prompt, and decoding. Prints one line of JSON.

  bench/gpu/peers.py --model FOLDER --variant eager|sdpa|compile [--device cuda] [--tiles 17]

`eager`: as it comes, with its own attention in PyTorch operations. `sdpa`: with PyTorch's fused attention. `compile`: that,
a static cache, and torch.compile in the mode that makes CUDA graphs ("reduce-overhead") for decoding.
"""
import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
import transformers
from transformers import AutoModelForImageTextToText, DynamicCache, StaticCache

PROMPT = 1216
DEPTH = 1100
TOKENS = 32


class Peer:
    """A loaded model."""

    def __init__(self, args: argparse.Namespace):
        self.device = torch.device(args.device)
        self.static = args.variant == "compile"
        attention = "eager" if args.variant == "eager" else "sdpa"
        self.model = AutoModelForImageTextToText.from_pretrained(args.model, dtype=torch.bfloat16,
                                                                 attn_implementation=attention).to(self.device).eval()
        self.text = self.model.config.text_config
        self.decoder = self.model.model.text_model
        if self.static:
            self.decoder = torch.compile(self.decoder, mode="reduce-overhead", dynamic=False)
        self.tiles = args.tiles
        self.side = self.model.config.vision_config.image_size

    def wait(self) -> None:
        """Until the GPU has done what was asked."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def median_ms(self, once: Callable[[], object], runs: int) -> float:
        """The median of `runs` runs, after two to warm up."""
        times = []
        for _ in range(runs + 2):
            self.wait()
            begin = time.perf_counter()
            once()
            self.wait()
            times.append((time.perf_counter() - begin) * 1e3)
        return statistics.median(times[2:])

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Tower and connector."""
        model = self.model.model
        return model.connector(model.vision_model(pixel_values=pixels).last_hidden_state)

    def new_cache(self) -> DynamicCache | StaticCache:
        """Empty."""
        if self.static:
            return StaticCache(config=self.text, max_cache_len=PROMPT + 64)
        return DynamicCache(config=self.text)

    def forward(self, ids: torch.Tensor, first: int, cache) -> torch.Tensor:
        """Tokens behind `first` others; the likeliest next one."""
        positions = torch.arange(first, first + ids.shape[1], device=self.device)[None]
        hidden = self.decoder(input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True).last_hidden_state
        return self.model.lm_head(hidden[:, -1:]).argmax(-1)

    def decode_ms(self) -> float:
        """Of a token, behind DEPTH others."""
        cache = self.new_cache()
        ids = torch.arange(1000, 1000 + DEPTH, device=self.device)[None]
        token = self.forward(ids, 0, cache)
        depth = DEPTH
        times = []
        for _ in range(TOKENS):
            self.wait()
            begin = time.perf_counter()
            token = self.forward(token.clone(), depth, cache)
            token.item()
            times.append((time.perf_counter() - begin) * 1e3)
            depth += 1
        return statistics.median(times[4:])


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--variant", choices=["eager", "sdpa", "compile"], required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiles", type=int, default=17)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    with torch.inference_mode():
        peer = Peer(args)
        pixels = torch.rand(peer.tiles, 3, peer.side, peer.side, device=peer.device).mul(2).sub(1).to(torch.bfloat16)
        prompt = torch.arange(1000, 1000 + PROMPT, device=peer.device)[None]
        result = {"torch": torch.__version__, "transformers": transformers.__version__,
                  "encode_ms": peer.median_ms(lambda: peer.encode(pixels), args.runs),
                  "prefill_ms": peer.median_ms(lambda: peer.forward(prompt, 0, peer.new_cache()), args.runs),
                  "decode_ms": peer.decode_ms()}
        if peer.device.type == "cuda":
            result["allocated_bytes"] = torch.cuda.max_memory_allocated()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
