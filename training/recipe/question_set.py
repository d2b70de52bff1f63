"""The set that a grid is evaluated on: words, numbers and fonts that were held out of training, as `eyeshot eval` reads
it."""

import json
import random
from pathlib import Path

from recipe import render, scenes
from recipe.settings import Settings


def write(settings: Settings, folder: Path) -> Path:
    """questions.jsonl and its pictures, one question each; the tasks take turns."""
    path = folder / "questions.jsonl"
    if path.exists():
        return path
    (folder / "images").mkdir(parents=True, exist_ok=True)
    families = list(settings.families)
    lines = []
    for i in range(settings.eval_questions):
        rng = random.Random(f"eval-{settings.seed}-{i}")
        rows, columns = map(int, rng.choices(list(settings.layouts), list(settings.layouts.values()))[0].split("x"))
        family = {families[i % len(families)]: 1}
        scene = scenes.make(family, f"eval-{settings.seed}-{i}", columns * settings.tile, rows * settings.tile, "eval")
        image, _ = render.render(scene, "eval")
        name = f"images/{i:04}.png"
        image.save(folder / name)
        question = rng.choice(scene.questions)
        lines.append(json.dumps({"id": i, "images": [name], "video": False, "question": question.text,
                                 "answer": question.answer, "task": question.task}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
