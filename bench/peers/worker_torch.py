#!/usr/bin/env python3
"""Measures transformers on torch: `bf16` and `f32` run it as it is, `compile` in bf16 through torch.compile with frozen
weights (inductor's setting for inference on CPUs)."""
import io
import json
import pathlib

import torch
import transformers
from measure import QUESTION, Worker
from PIL import Image
from transformers import AutoModelForImageTextToText, DynamicCache, PreTrainedTokenizerFast, StaticCache
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor

CHAT = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]


def load_processor(folder: pathlib.Path) -> Idefics3Processor:
    """The processor with Pillow's resizing: the one on torch has no Lanczos filter and would make other tiles."""
    def read(name: str) -> dict:
        return json.loads((folder / name).read_text(encoding="utf-8"))

    special = {key: token["content"] for key, token in read("special_tokens_map.json").items()
               if isinstance(token, dict)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **special)
    return Idefics3Processor(Idefics3ImageProcessorPil.from_pretrained(folder), tokenizer,
                             image_seq_len=read("processor_config.json")["image_seq_len"],
                             chat_template=read("chat_template.json")["chat_template"])


class Torch:
    """A loaded model."""

    def __init__(self, job: dict):
        torch.set_num_threads(job["threads"])
        self.compiled = job["variant"] == "compile"
        self.dtype = torch.float32 if job["variant"] == "f32" else torch.bfloat16
        self.processor = load_processor(pathlib.Path(job["model"]))
        self.model = AutoModelForImageTextToText.from_pretrained(job["model"], dtype=self.dtype).eval()
        self.tower = self.model.model.vision_model
        self.connector = self.model.model.connector
        self.decoder = self.model.model.text_model
        self.tokens = job["tokens"] + 2
        self.cache = DynamicCache()
        self.depth = 0
        self.next_token = torch.tensor([[1]])
        if self.compiled:
            self.compile()

    def compile(self) -> None:
        """Compiles the three parts; each shape is compiled when it is first met."""
        import torch._inductor.config as inductor  # takes a second, and only this variant needs it
        inductor.freezing = True
        self.model.model.vision_model = self.tower = torch.compile(self.tower, dynamic=False)
        self.model.model.connector = self.connector = torch.compile(self.connector, dynamic=False)
        self.model.model.text_model = self.decoder = torch.compile(self.decoder, dynamic=False)

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Tiles through tower and connector in one batch."""
        return self.connector(self.tower(pixel_values=pixels).last_hidden_state)

    def answer(self, jpeg: bytes) -> str:
        """From the bytes of a picture to the first token."""
        picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
        prompt = self.processor.apply_chat_template(CHAT, add_generation_prompt=True)
        inputs = self.processor(text=prompt, images=[picture], return_tensors="pt")
        inputs["pixel_values"] = inputs["pixel_values"].to(self.dtype)
        output = self.model(**inputs, use_cache=True, logits_to_keep=1)
        return self.processor.tokenizer.decode(output.logits[0, -1].argmax())

    def fill(self, depth: int) -> None:
        """A context of `depth` tokens, with room for those to come where the cache has a fixed size."""
        if self.compiled:
            self.cache = StaticCache(config=self.model.config.text_config, max_cache_len=depth + self.tokens)
        else:
            self.cache = DynamicCache(config=self.model.config.text_config)
        self.depth = 0
        if depth > 0:
            self.forward(torch.arange(1000, 1000 + depth)[None] % 40000)

    def forward(self, ids: torch.Tensor) -> None:
        """Puts tokens behind the context and takes the likeliest next one."""
        positions = torch.arange(self.depth, self.depth + ids.shape[1])[None]
        hidden = self.decoder(input_ids=ids, position_ids=positions, past_key_values=self.cache,
                              use_cache=True).last_hidden_state
        self.depth += ids.shape[1]
        self.next_token = self.model.lm_head(hidden[:, -1:]).argmax(-1)


def main() -> None:
    """Measures all stages."""
    worker = Worker()
    with torch.inference_mode():
        engine = Torch(worker.job)
        worker.report(versions={"torch": torch.__version__, "transformers": transformers.__version__},
                      isa=torch.backends.cpu.get_cpu_capability(), weights=str(engine.dtype).removeprefix("torch."))
        jpeg = pathlib.Path(worker.job["photo"]).read_bytes()
        worker.ttft(lambda: engine.answer(jpeg))
        tiles = torch.rand(worker.job["tiles"], 3, 512, 512, dtype=torch.float32).mul(2).sub(1).to(engine.dtype)
        worker.stage("tile_ms", lambda: worker.median_ms(lambda: engine.encode(tiles)) / len(tiles))
        worker.prefill(engine.fill)
        worker.decode(engine.fill, lambda: engine.forward(engine.next_token))


if __name__ == "__main__":
    main()
