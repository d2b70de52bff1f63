"""Tiles and prompt of SmolVLM for engines that bring neither: as transformers' processor makes them, with Pillow, NumPy
and tokenizers alone."""
import io
import json
import pathlib

import numpy as np
import tokenizers
from measure import QUESTION
from PIL import Image

LANCZOS = Image.Resampling.LANCZOS
MARK = "<fake_token_around_image>"


class Processor:
    """Makes tiles and token ids of a photo and the question."""

    def __init__(self, folder: pathlib.Path):
        def read(name: str) -> dict:
            return json.loads((folder / name).read_text(encoding="utf-8"))
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.edge = read("preprocessor_config.json")["size"]["longest_edge"]
        self.side = read("preprocessor_config.json")["max_image_size"]["longest_edge"]
        self.image_token = "<image>" * read("processor_config.json")["image_seq_len"]
        self.image_id = self.tokenizer.token_to_id("<image>")

    def tiles(self, jpeg: bytes) -> tuple[np.ndarray, int, int]:
        """Tiles and last the global view, [tiles, 3, side, side], and the numbers of rows and columns."""
        picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
        shape = picture.width / picture.height
        width, height = (self.edge, int(self.edge / shape)) if shape >= 1 else (int(self.edge * shape), self.edge)
        picture = picture.resize((width + width % 2, height + height % 2), LANCZOS)
        cols, rows = -(-picture.width // self.side), -(-picture.height // self.side)
        picture = picture.resize((cols * self.side, rows * self.side), LANCZOS)
        crops = [picture.crop((x, y, x + self.side, y + self.side))
                 for y in range(0, picture.height, self.side) for x in range(0, picture.width, self.side)]
        crops.append(picture.resize((self.side, self.side), LANCZOS))
        pixels = np.stack([np.asarray(crop) for crop in crops]).astype(np.float32) / 127.5 - 1
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), rows, cols

    def ids(self, rows: int, cols: int) -> np.ndarray:
        """The prompt."""
        lines = ["".join(f"{MARK}<row_{row}_col_{col}>{self.image_token}" for col in range(1, cols + 1)) + "\n"
                 for row in range(1, rows + 1)]
        images = "".join(lines) + f"\n{MARK}<global-img>{self.image_token}{MARK}"
        prompt = f"<|im_start|>User:{images}{QUESTION}<end_of_utterance>\nAssistant:"
        return np.array(self.tokenizer.encode(prompt, add_special_tokens=False).ids)
