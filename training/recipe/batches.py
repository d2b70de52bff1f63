"""Batches: batch i of a run is the same on every machine, whatever was made before, so that runs can be resumed."""

import dataclasses
import random

import numpy as np
import torch
from tokenizers import Tokenizer

from recipe import prompts, render, scenes
from recipe.settings import Settings

PAD_ID = prompts.FIRST_SPECIAL.index(prompts.PAD)


@dataclasses.dataclass
class Batch:
    """Rows of a picture's questions stand together; a picture with fewer questions repeats them."""

    tokens: int              # visual ones of a tile
    questions: int           # of a picture
    pixels: torch.Tensor     # [pictures * tiles, tile, tile, 3] uint8
    ids: torch.Tensor        # [rows, length]
    positions: torch.Tensor  # [rows, length]
    targets: torch.Tensor    # [rows, length] the next token where it's of an answer, else -100
    weights: torch.Tensor    # [rows, length] of the loss there
    queries: torch.Tensor    # [rows, query length], padded behind
    query_lengths: torch.Tensor
    characters: torch.Tensor  # [marks, 2]: patch among all of the batch, index of the character

    def to(self, device: str) -> "Batch":
        moved = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Batch(**{k: v.to(device) if torch.is_tensor(v) else v for k, v in moved.items()})


def padded(rows: list, fill: int) -> torch.Tensor:
    out = torch.full((len(rows), max(map(len, rows))), fill, dtype=torch.long)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.tensor(row)
    return out


def patches_of(marks: list, settings: Settings, rows: int, columns: int, first_tile: int) -> list:
    """Of each mark in a picture: (patch of the batch, character) in its tile and, where that is large enough to see, in
    the view of the whole picture."""
    found = []
    for x, y, character in marks:
        if not (0 <= x < columns * settings.tile and 0 <= y < rows * settings.tile):
            continue
        places = [(int(y // settings.tile) * columns + int(x // settings.tile), x % settings.tile, y % settings.tile)]
        if rows * columns > 1 and max(rows, columns) <= 2:
            places.append((rows * columns, x / columns, y / rows))
        for tile, left, top in places:
            patch = int(top // settings.patch) * settings.grid + int(left // settings.patch)
            found.append(((first_tile + tile) * settings.grid**2 + patch, character))
    return found


class Batches(torch.utils.data.Dataset):
    """token_counts: those of the model, one of which is drawn for each batch; the last one is the most."""

    def __init__(self, settings: Settings, tokenizer_path: str, token_counts: list, first: int = 0):
        self.settings, self.tokenizer_path, self.token_counts, self.first = settings, tokenizer_path, token_counts, first
        self.tokenizer = None  # made by the process that uses it

    def __len__(self) -> int:
        return self.settings.steps - self.first

    def __getitem__(self, index: int) -> Batch:
        if self.tokenizer is None:
            self.tokenizer = Tokenizer.from_file(self.tokenizer_path)
            torch.set_num_threads(1)
        return self.make(self.first + index)

    def make(self, number: int) -> Batch:
        settings = self.settings
        rng = random.Random(f"batch-{settings.seed}-{number}")
        layout = rng.choices(list(settings.layouts), list(settings.layouts.values()))[0]
        rows, columns = map(int, layout.split("x"))
        tiles = 1 if rows * columns == 1 else rows * columns + 1
        tokens = rng.choice(self.token_counts)
        count = max(1, settings.pictures // tiles)
        pixels, characters, asked = [], [], []
        for i in range(count):
            scene = scenes.make(settings.families, f"train-{settings.seed}-{number}-{i}", columns * settings.tile,
                                rows * settings.tile, "train")
            image, marks = render.render(scene, "train")
            characters += patches_of(marks, settings, rows, columns, i * tiles)
            pixels.append(render.cut(render.wear(image, rng), settings.tile))
            order = rng.sample(scene.questions, len(scene.questions))
            asked += [order[k % len(order)] for k in range(settings.questions)]
        return self.assemble(asked, tokens, (rows, columns), np.concatenate(pixels), characters)

    def assemble(self, asked: list, tokens: int, layout: tuple, pixels: np.ndarray, characters: list) -> Batch:
        most = self.token_counts[-1]
        side = round(most**0.5)
        ids, positions, targets, weights = [], [], [], []
        for question in asked:
            row, places, first = prompts.encode(self.tokenizer, *layout, question.text, question.answer,
                                                prompts.slots(side, tokens), most)
            answer = row[first:]
            ids.append(row)
            positions.append(places)
            targets.append([-100] * (first - 1) + answer)
            weights.append([0.0] * (first - 1) + [len(answer) ** -0.3] * len(answer))
        queries = [prompts.encode_query(self.tokenizer, question.text) for question in asked]
        batch_ids = padded(ids, PAD_ID)
        batch_weights = torch.zeros(batch_ids.shape)
        for i, row in enumerate(weights):
            batch_weights[i, : len(row)] = torch.tensor(row)
        batch_targets = torch.full_like(batch_ids, -100)
        for i, row in enumerate(targets):
            batch_targets[i, : len(row)] = torch.tensor(row)
        return Batch(tokens, self.settings.questions, torch.from_numpy(pixels), batch_ids, padded(positions, 0),
                     batch_targets, batch_weights, padded(queries, PAD_ID), torch.tensor([len(q) for q in queries]),
                     torch.tensor(characters, dtype=torch.long).reshape(-1, 2))
