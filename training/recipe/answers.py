"""Greedy answers of a trained run by PyTorch in float32 with the weights that were exported, to hold the engine's against
them."""

import json
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer

from recipe import prompts, render
from recipe.model import SmolVlm
from recipe.settings import Connector, Settings

MOST_TOKENS = 48


class Answerer:
    def __init__(self, settings: Settings, decoder: str, connector: Connector, folder: Path):
        self.model = SmolVlm(settings, decoder, connector).eval()
        state = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
        self.model.load_state_dict(state, strict=False)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    @torch.no_grad()
    def answer(self, image: Image.Image, question: str, tokens: int) -> str:
        settings, model = self.model.settings, self.model
        tile = settings.tile
        pixels = torch.tensor(render.cut(image, tile)).permute(0, 3, 1, 2).float() / 127.5 - 1
        query = torch.tensor([prompts.encode_query(self.tokenizer, question)])
        queries = model.embed_queries(query, torch.tensor([query.shape[1]]))
        visual = model.look(model.model["vision_model"](pixels), tokens, 1, queries)
        most = model.most_tokens
        places = prompts.slots(round(most**0.5), tokens)
        ids, positions, first = prompts.encode(self.tokenizer, image.height // tile, image.width // tile, question, "",
                                               places, most)
        ids, positions = ids[:first], positions[:first]
        end = self.tokenizer.token_to_id(prompts.END)
        for _ in range(MOST_TOKENS):
            hidden = model.read(torch.tensor([ids]), torch.tensor([positions]), visual,
                                self.tokenizer.token_to_id(prompts.IMAGE))
            ids.append(int(model.logits(hidden[0, -1]).argmax()))
            positions.append(positions[-1] + 1)
            if ids[-1] == end:
                break
        return self.tokenizer.decode(ids[first:]).strip()


def write(answerer: Answerer, question_set: Path, tokens: int, every: int, out: Path) -> None:
    """{"id": "answer"} of every so many questions, as `eyeshot eval --answers` takes it."""
    answers = {}
    for line in question_set.read_text(encoding="utf-8").splitlines()[::every]:
        item = json.loads(line)
        image = Image.open(question_set.parent / item["images"][0]).convert("RGB")
        answers[str(item["id"])] = answerer.answer(image, item["question"], tokens)
    out.write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
