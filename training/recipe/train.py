"""Trains one model of a grid. Resumes where its run's folder has a checkpoint.

    python -m recipe.train --settings configs/cpu.json --decoder base --connector elastic --out RUN
"""

import argparse
import contextlib
import os
import time
from pathlib import Path

import torch
from torch.nn import functional

from recipe import prompts, settings as settings_module
from recipe.batches import Batch, Batches
from recipe.model import SmolVlm
from recipe.optimizer import MuonAdamW
from recipe.settings import Connector, Settings

SAVE_EVERY_S = 150
LOG_EVERY = 50
CHARACTER_WEIGHT = 1.0  # of the tower's own loss at the start; falls to a tenth


def share_of_rate(settings: Settings, step: int) -> float:
    """Warm-up, a plateau for a quarter of the steps, then down to a hundredth."""
    done = step / settings.steps
    return min(1.0, (step + 1) / settings.warmup) * max(0.01, min(1.0, (1 - done) / 0.75))


def losses(model: SmolVlm, batch: Batch, image_token: int) -> tuple:
    """Of answers, of characters in patches, and the share of answers' tokens that were right."""
    device = batch.ids.device
    dtype = next(model.parameters()).dtype
    pixels = batch.pixels.permute(0, 3, 1, 2).to(dtype) / 127.5 - 1
    with torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext():
        states = model.model["vision_model"](pixels)
        queries = model.embed_queries(batch.queries, batch.query_lengths)
        visual = model.look(states, batch.tokens, batch.questions, queries)
        hidden = model.read(batch.ids, batch.positions, visual, image_token)
        known = batch.targets >= 0
        logits = model.logits(hidden[known])
        characters = model.characters(states[-1]).flatten(0, 1).float()
    targets, weights = batch.targets[known], batch.weights[known]
    answer = (functional.cross_entropy(logits, targets, reduction="none") * weights).sum() / weights.sum()
    there = torch.zeros_like(characters)
    there[batch.characters[:, 0], batch.characters[:, 1]] = 1
    seen = functional.binary_cross_entropy_with_logits(characters, there, reduction="none").sum(-1).mean()
    return answer, seen, (logits.argmax(-1) == targets).float().mean()


class Run:
    """A model on its way, and its folder: checkpoint.pt, log.txt, done."""

    def __init__(self, settings: Settings, decoder: str, connector: Connector, folder: Path):
        self.settings, self.folder = settings, folder
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(settings.seed)
        torch.set_float32_matmul_precision("high")
        self.model = SmolVlm(settings, decoder, connector).to(self.device)
        self.optimizer = MuonAdamW(self.model, settings.matrix_rate, settings.other_rate)
        self.step, self.seconds = 0, 0.0
        if self.checkpoint.exists():
            state = torch.load(self.checkpoint, map_location=self.device)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
        if self.device == "cuda":
            for layer in [*self.model.model["vision_model"].encoder["layers"], *self.model.model["text_model"].layers]:
                layer.compile()

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        """Whole or not at all: a run may be killed at any time."""
        passing = self.checkpoint.with_suffix(".new")
        torch.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step,
                    "seconds": self.seconds}, passing)
        os.replace(passing, self.checkpoint)

    def log(self, text: str) -> None:
        line = f"[{self.seconds:8.1f} s] {text}"
        print(line, flush=True)
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def train(self, tokenizer_path: Path, workers: int) -> None:
        settings = self.settings
        batches = Batches(settings, str(tokenizer_path), self.model.token_counts, self.step)
        loader = torch.utils.data.DataLoader(batches, batch_size=None, shuffle=False, num_workers=workers,
                                             pin_memory=self.device == "cuda")
        image_token = settings.vocabulary - len(prompts.LAST_SPECIAL) + prompts.LAST_SPECIAL.index(prompts.IMAGE)
        parameters = sum(p.numel() for name, p in self.model.named_parameters() if name.startswith("model."))
        self.log(f"{parameters:,} parameters; from step {self.step} of {settings.steps} on {self.device}")
        last, saved, sums = time.monotonic(), time.monotonic(), []
        for batch in loader:
            sums.append(self.learn(batch.to(self.device), image_token))
            now = time.monotonic()
            self.seconds += now - last
            last = now
            if self.step % LOG_EVERY == 0 or self.step == settings.steps:
                answer, seen, right = (float(sum(values)) / len(sums) for values in zip(*sums, strict=True))
                self.log(f"step {self.step}: answers {answer:.3f}, characters {seen:.3f}, tokens right {right:.3f}")
                sums = []
            if now - saved > SAVE_EVERY_S:
                self.save()
                saved = now
        self.save()
        (self.folder / "done").write_text(f"{self.step} steps, {self.seconds:.0f} s\n", encoding="utf-8")

    def learn(self, batch: Batch, image_token: int) -> tuple:
        answer, seen, right = losses(self.model, batch, image_token)
        weight = CHARACTER_WEIGHT * max(0.1, 1 - self.step / self.settings.steps / 0.7)
        (answer + weight * seen).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step(share_of_rate(self.settings, self.step))
        self.model.zero_grad(set_to_none=True)
        self.step += 1
        return answer.detach(), seen.detach(), right


def train(settings: Settings, decoder: str, connector: Connector, folder: Path, tokenizer: Path, workers: int) -> None:
    if not (folder / "done").exists():
        Run(settings, decoder, connector, folder).train(tokenizer, workers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--decoder", required=True)
    parser.add_argument("--connector", required=True, help="a name such as elastic or quecc16")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw pictures; 0: this one")
    args = parser.parse_args()
    settings = settings_module.load(args.settings)
    connector = next(c for c in settings.connectors if c.name == args.connector)
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = args.out / "tokenizer.json"
    if not tokenizer.exists():
        prompts.train_tokenizer(settings, tokenizer)
    train(settings, args.decoder, connector, args.out, tokenizer, args.workers)


if __name__ == "__main__":
    main()
