"""The N x T grid: three decoder sizes and every number of visual tokens, from nothing to a table, in one command.

    python grid.py --settings configs/gpu.json --out OUT --eyeshot build/release/src/cli/eyeshot

Stages, each of which is left out where its result is there, so that the same command goes on after a kill: `tokenizer`,
`set` (questions with held-out words and fonts), `train` (a run for each decoder and connector), `export` (a model's
folder each), `answers` (PyTorch's own, of a part of the set), `eval` (eyeshot's scores), `table`. --stage takes one.
"""

import argparse
import json
import subprocess
from pathlib import Path

from recipe import settings as settings_module
from recipe.settings import Connector, Settings

STAGES = ("tokenizer", "set", "train", "export", "answers", "eval", "table")


class Grid:
    def __init__(self, settings: Settings, out: Path, eyeshot: str, workers: int, every: int):
        self.settings, self.out, self.eyeshot, self.workers, self.every = settings, out, eyeshot, workers, every
        out.mkdir(parents=True, exist_ok=True)
        self.tokenizer_path = out / "tokenizer.json"
        self.set_path = out / "set" / "questions.jsonl"

    def models(self) -> list:
        """(decoder, connector, name) of each run."""
        return [(decoder, connector, f"{decoder}-{connector.name}")
                for decoder in self.settings.decoders for connector in self.settings.connectors]

    def counts(self, connector: Connector) -> list:
        """Visual tokens a tile that the connector's model can be asked with."""
        return [connector.tokens] if connector.type == "quecc" else [*connector.reduced_tokens, self.settings.most_tokens]

    def points(self) -> list:
        return [(decoder, connector, name, tokens) for decoder, connector, name in self.models()
                for tokens in self.counts(connector)]

    def tokenizer(self) -> None:
        from recipe import prompts

        if not self.tokenizer_path.exists():
            prompts.train_tokenizer(self.settings, self.tokenizer_path)

    def set(self) -> None:
        from recipe import question_set

        question_set.write(self.settings, self.set_path.parent)

    def train(self) -> None:
        from recipe import train

        for decoder, connector, name in self.models():
            print(f"-- {name}", flush=True)
            train.train(self.settings, decoder, connector, self.out / "runs" / name, self.tokenizer_path, self.workers)

    def export(self) -> None:
        from recipe import export

        for decoder, connector, name in self.models():
            folder = self.out / "models" / name
            if not (folder / "chat_template.jinja").exists():  # the last file
                export.export(self.settings, decoder, connector, self.out / "runs" / name, self.tokenizer_path, folder)

    def answers(self) -> None:
        from recipe import answers

        (self.out / "answers").mkdir(exist_ok=True)
        for decoder, connector, name, tokens in self.points():
            path = self.out / "answers" / f"{name}-{tokens}.json"
            if not path.exists():
                answerer = answers.Answerer(self.settings, decoder, connector, self.out / "models" / name)
                answers.write(answerer, self.set_path, tokens, self.every, path)

    def eval(self) -> None:
        (self.out / "eval").mkdir(exist_ok=True)
        for _, connector, name, tokens in self.points():
            path = self.out / "eval" / f"{name}-{tokens}.json"
            if path.exists():
                continue
            command = [self.eyeshot, "eval", str(self.set_path), "--model", str(self.out / "models" / name),
                       "--precision", "exact", "--json", "--answers", str(self.out / "answers" / f"{name}-{tokens}.json")]
            if connector.type == "elastic" and tokens < self.settings.most_tokens:
                command += ["--reduce", f"elastic:{tokens}"]
            result = subprocess.run(command, check=True, capture_output=True, text=True)
            path.write_text(result.stdout, encoding="utf-8")
            print(f"{name}, {tokens} tokens a tile: done", flush=True)

    def table(self) -> None:
        """grid.md and grid.json: exact match by decoder, connector and tokens a tile."""
        rows = []
        for decoder, connector, name, tokens in self.points():
            report = json.loads((self.out / "eval" / f"{name}-{tokens}.json").read_text(encoding="utf-8"))
            total = report["total"]
            rows.append({"decoder": decoder, "connector": connector.type, "tokens": tokens,
                         "exact_match": total["exact_match"], "questions": total["questions"],
                         "ms": total.get("ms"), "agreement": total.get("agreement"),
                         "tasks": {task: score["exact_match"] for task, score in report["tasks"].items()}})
        (self.out / "grid.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        lines = ["| decoder | connector | tokens a tile | exact match |", "|---|---|---|---|"]
        lines += [f"| {r['decoder']} | {r['connector']} | {r['tokens']} | {r['exact_match']:.1%} |" for r in rows]
        (self.out / "grid.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--eyeshot", default="eyeshot", help="the program, for the stage `eval`")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw pictures; 0: this one")
    parser.add_argument("--every", type=int, default=5, help="PyTorch answers every so many questions of the set")
    parser.add_argument("--stage", choices=STAGES, help="this one alone")
    args = parser.parse_args()
    grid = Grid(settings_module.load(args.settings), args.out, args.eyeshot, args.workers, args.every)
    for stage in [args.stage] if args.stage else STAGES:
        print(f"== {stage}", flush=True)
        getattr(grid, stage)()


if __name__ == "__main__":
    main()
