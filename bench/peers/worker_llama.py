#!/usr/bin/env python3
"""Measures llama.cpp through llama-cpp-python's low-level functions: llama_decode, and mtmd for pictures."""
import ctypes
import pathlib

import llama_cpp
import numpy as np
from llama_cpp import mtmd_cpp as mtmd
from measure import QUESTION, Worker

PROMPT = f"<|im_start|>User:<__media__>{QUESTION}<end_of_utterance>\nAssistant:"
BATCH = 2048  # llama.cpp's default


class Chunks:
    """A tokenized prompt with a picture, its tiles prepared but not encoded."""

    def __init__(self, vision: int, bitmap: int):
        if not bitmap:
            raise RuntimeError("mtmd could not read the picture")
        text = PROMPT.encode()
        prompt = mtmd.mtmd_input_text(text=text, text_len=len(text), add_special=False, parse_special=True)
        self.handle = mtmd.mtmd_input_chunks_init()
        bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
        status = mtmd.mtmd_tokenize(vision, self.handle, ctypes.byref(prompt), bitmaps, 1)
        mtmd.mtmd_bitmap_free(bitmap)
        if status != 0:
            raise RuntimeError(f"mtmd_tokenize: status {status}")

    def images(self) -> list[int]:
        """The chunks that are tiles."""
        every = [mtmd.mtmd_input_chunks_get(self.handle, i) for i in range(mtmd.mtmd_input_chunks_size(self.handle))]
        return [c for c in every if mtmd.mtmd_input_chunk_get_type(c) == mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE]

    def free(self) -> None:
        """Ends it."""
        mtmd.mtmd_input_chunks_free(self.handle)


class Llama:
    """A loaded model with its context."""

    def __init__(self, job: dict):
        files = pathlib.Path(job["files"])
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(
            str(files / f"text-{job['variant']}.gguf").encode(), llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = 0  # the model's own, as the other engines have it
        params.n_batch = BATCH
        params.n_threads = params.n_threads_batch = job["threads"]
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        vision = mtmd.mtmd_context_params_default()
        vision.use_gpu = False
        vision.n_threads = job["threads"]
        self.vision = mtmd.mtmd_init_from_file(str(files / "mmproj-f16.gguf").encode(), self.model, vision)
        if not (self.model and self.context and self.vision):
            raise RuntimeError("llama.cpp did not load the model")
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.next_token = 1

    def clear(self) -> None:
        """Empties the context."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), False)

    def decode(self, tokens: list[int]) -> None:
        """Puts tokens behind the context and takes the likeliest next one."""
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        status = llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(array, len(tokens)))
        if status != 0:
            raise RuntimeError(f"llama_decode: status {status}")
        self.choose()

    def choose(self) -> None:
        """Takes the likeliest token of the last one's logits."""
        logits = llama_cpp.llama_get_logits_ith(self.context, -1)
        self.next_token = int(np.ctypeslib.as_array(logits, (self.vocab_size,)).argmax())

    def fill(self, depth: int) -> None:
        """A context of `depth` tokens."""
        self.clear()
        for begin in range(0, depth, BATCH):
            self.decode([1000 + i % 5000 for i in range(begin, min(begin + BATCH, depth))])

    def text(self, token: int) -> str:
        """A token as text."""
        buffer = ctypes.create_string_buffer(64)
        length = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, True)
        return buffer.raw[:max(length, 0)].decode("utf-8", "replace")

    def answer(self, jpeg: bytes) -> str:
        """From the bytes of a picture to the first token."""
        self.clear()
        data = (ctypes.c_uint8 * len(jpeg)).from_buffer_copy(jpeg)
        chunks = Chunks(self.vision, mtmd.mtmd_helper_bitmap_init_from_buf(self.vision, data, len(jpeg), False))
        past = llama_cpp.llama_pos(0)
        status = mtmd.mtmd_helper_eval_chunks(self.vision, self.context, chunks.handle, 0, 0, BATCH, True,
                                              ctypes.byref(past))
        chunks.free()
        if status != 0:
            raise RuntimeError(f"mtmd_helper_eval_chunks: status {status}")
        self.choose()
        return self.text(self.next_token)

    def noise(self) -> Chunks:
        """A picture of 2048 x 1536 pixels: 12 tiles and the global view."""
        width, height = 2048, 1536
        pixels = np.random.default_rng(1).integers(0, 256, width * height * 3, np.uint8)
        data = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        return Chunks(self.vision, mtmd.mtmd_bitmap_init(width, height, data))

    def encode(self, tiles: list[int]) -> None:
        """Tiles through tower and connector, one by one: mtmd does not batch them for this model."""
        for tile in tiles:
            status = mtmd.mtmd_encode_chunk(self.vision, tile)
            if status != 0:
                raise RuntimeError(f"mtmd_encode_chunk: status {status}")


def tile_ms(worker: Worker, llama: Llama) -> float:
    """Milliseconds a tile."""
    chunks = llama.noise()
    tiles = chunks.images()
    if len(tiles) != worker.job["tiles"]:
        raise RuntimeError(f"{len(tiles)} tiles instead of {worker.job['tiles']}")
    median = worker.median_ms(lambda: llama.encode(tiles)) / len(tiles)
    chunks.free()
    return median


def main() -> None:
    """Measures all stages."""
    worker = Worker()
    llama = Llama(worker.job)
    compiler = pathlib.Path(llama_cpp.__file__).parents[1] / "built-by.txt"  # of setup.sh
    worker.report(versions={"llama-cpp-python": f"{llama_cpp.__version__} by {compiler.read_text('utf-8').strip()}"},
                  isa=llama_cpp.llama_print_system_info().decode(),
                  weights=f"tower f16, decoder {worker.job['variant']}")
    jpeg = pathlib.Path(worker.job["photo"]).read_bytes()
    worker.ttft(lambda: llama.answer(jpeg))
    worker.stage("tile_ms", lambda: tile_ms(worker, llama))
    worker.prefill(llama.fill)
    worker.decode(llama.fill, lambda: llama.decode([llama.next_token]))


if __name__ == "__main__":
    main()
