#!/usr/bin/env python3
"""Scores a set with an evaluation kit over HTTP and with `eyeshot eval`, and compares them answer by answer.

    bench/kits/compare.py lmms-eval --python VENV/bin/python --out OUT
    bench/kits/compare.py vlmevalkit --python VENV/bin/python --kit VLMEvalKit --out OUT

starts `eyeshot serve`, writes the set as a task of the kit's own format, runs the kit, whose Python is VENV's, and
reads what it wrote. lmms-eval gets every question; VLMEvalKit those about pictures, each with three wrong choices out
of the answers to other questions of its task, in SmolVLM's words. Exits with 1 where an answer or the score differs.
"""
import argparse
import base64
import collections
import csv
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "serve"))
import server  # noqa: E402 (the path must be set first)

TASK = "eyeshot_set"
MAX_TOKENS = 256  # of an answer, on both sides
WRONG_CHOICES = 3
VLMEVALKIT_EMPTY = "Failed to obtain answer via API."

LMMS_TASK = """\
task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_messages: !function lmms_task.doc_to_messages
doc_to_visual: !function lmms_task.doc_to_visual
doc_to_text: !function lmms_task.doc_to_text
doc_to_target: answer
process_results: !function lmms_task.process_results
generation_kwargs:
  max_new_tokens: {tokens}
  temperature: 0
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1
"""


def read_lines(path: pathlib.Path) -> list[dict]:
    """The objects of a file with one a line."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def read_set(path: pathlib.Path) -> list[dict]:
    """Eyeshot's own questions, with whole paths of their pictures."""
    return [question | {"images": [str(path.parent.resolve() / image) for image in question["images"]]}
            for question in read_lines(path)]


def write_choices(questions: list[dict], path: pathlib.Path) -> None:
    """A table of VLMEvalKit's with choices."""
    answers = collections.defaultdict(dict)  # a set in the order of the questions
    for question in questions:
        answers[question["task"]][question["answer"]] = True
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["index", "image", "question", "A", "B", "C", "D", "answer"])
        for question in questions:
            others = [answer for answer in answers[question["task"]] if answer != question["answer"]]
            if question["video"] or not question["images"] or len(others) < WRONG_CHOICES:
                continue
            draw = random.Random(question["id"])
            choices = draw.sample(others, WRONG_CHOICES) + [question["answer"]]
            draw.shuffle(choices)
            pictures = [base64.b64encode(pathlib.Path(image).read_bytes()).decode() for image in question["images"]]
            table.writerow([question["id"], pictures[0] if len(pictures) == 1 else str(pictures), question["question"],
                            *choices, "ABCD"[choices.index(question["answer"])]])


def run_logged(command: list[object], log: pathlib.Path, cwd: pathlib.Path, **environment: object) -> None:
    """Runs a kit to its end; raises RuntimeError where it fails."""
    words = [str(word) for word in command]
    changed = os.environ | {name: str(value) for name, value in environment.items()}
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(words, cwd=cwd, env=changed, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: see {log}")


def written(args: argparse.Namespace, pattern: str) -> pathlib.Path:
    """A file of the kit's results. Kits end with 0 after some errors too: their log says which."""
    found = sorted((args.out / "results").rglob(pattern))
    if not found:
        raise RuntimeError(f"{args.name} wrote no {pattern}: see {args.out / 'log.txt'}")
    return found[0]


def first(answers: str | list[str]) -> str:
    """Of a question's answers; versions of lmms-eval write one as a text alone."""
    return answers if isinstance(answers, str) else answers[0]


def ask_lmms_eval(args: argparse.Namespace, url: str) -> tuple[pathlib.Path, list[str], dict[str, str], float]:
    """The set that both read, how `eyeshot eval` reads it, the kit's answers by id and the score that it says."""
    questions = read_set(args.set)
    task = args.out / "task"
    task.mkdir()
    data = task / "questions.jsonl"
    data.write_text("".join(json.dumps(question) + "\n" for question in questions), encoding="utf-8")
    (task / f"{TASK}.yaml").write_text(LMMS_TASK.format(task=TASK, data=data, tokens=MAX_TOKENS), encoding="utf-8")
    shutil.copy(HERE / "lmms_task.py", task)
    # Frames of a clip go as they are: as pictures they would be asked about as pictures.
    model = (f"model=eyeshot,base_url={url}/v1,api_key=none,num_concurrent={args.side_by_side},pass_video_url=True,"
             "max_frames_num=64")
    run_logged([args.python, "-m", "lmms_eval", "--model", "openai", "--model_args", model, "--tasks", TASK,
                "--include_path", task, "--batch_size", 1, "--log_samples", "--output_path", args.out / "results"],
               args.out / "log.txt", args.out, HF_HOME=args.out / "cache", HF_HUB_OFFLINE=1)
    samples = read_lines(written(args, f"*_samples_{TASK}.jsonl"))
    results = json.loads(written(args, "*_results.json").read_text("utf-8"))
    answers = {str(questions[sample["doc_id"]]["id"]): first(sample["filtered_resps"]) for sample in samples}
    return data, [], answers, results["results"][TASK]["exact_match,none"]


def ask_vlmevalkit(args: argparse.Namespace, url: str) -> tuple[pathlib.Path, list[str], dict[str, str], float]:
    """The same of VLMEvalKit."""
    folder = args.out / "data"
    folder.mkdir()
    data = folder / f"{TASK}.tsv"
    write_choices(read_set(args.set), data)
    # Paths of pictures: otherwise they are sent as new JPEGs.
    run_logged([args.python, HERE / "vlmevalkit_run.py", "--data", TASK, "--model", "eyeshot", "--custom-prompt",
                "smolvlm-mcq", "--base-url", f"{url}/v1", "--key", "none", "--api-nproc", args.side_by_side,
                "--max-tokens", MAX_TOKENS, "--temperature", 0, "--retry", 2, "--local-media",
                "--judge", "exact_matching", "--work-dir", args.out / "results"],
               args.out / "log.txt", args.kit, LMUData=folder, PRED_FORMAT="tsv")
    csv.field_size_limit(sys.maxsize)
    with written(args, f"eyeshot_{TASK}.tsv").open(encoding="utf-8", newline="") as file:
        answers = {row["index"]: row["prediction"] for row in csv.DictReader(file, delimiter="\t")}
    # It takes an empty answer for a failure, asks again, and then writes these words.
    answers = {name: "" if text == VLMEVALKIT_EMPTY else text for name, text in answers.items()}
    with written(args, f"eyeshot_{TASK}_acc.csv").open(encoding="utf-8", newline="") as file:
        score = float(next(csv.DictReader(file))["Overall"])
    return data, ["--prompt", "mcq", "--scorer", "letter"], answers, score


KITS = {"lmms-eval": ask_lmms_eval, "vlmevalkit": ask_vlmevalkit}


def eyeshot_eval(args: argparse.Namespace, data: pathlib.Path, flags: list[str]) -> dict[str, dict]:
    """What `eyeshot eval` says of each question, by id."""
    out = args.out / "eyeshot.jsonl"
    command = [str(args.program), "eval", str(data), "--out", str(out), "-n", str(MAX_TOKENS), "--threads",
               str(args.threads), *flags]
    for flag in ("model", "precision"):
        if getattr(args, flag):
            command += [f"--{flag}", getattr(args, flag)]
    with (args.out / "eval.txt").open("w", encoding="utf-8") as table:
        subprocess.run(command, check=True, stdout=table, stderr=subprocess.STDOUT)
    return {record["id"]: record for record in read_lines(out)[1:]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(KITS), help="of the kit")
    parser.add_argument("--python", type=pathlib.Path, required=True, help="the Python in which the kit is installed")
    parser.add_argument("--kit", type=pathlib.Path, help="VLMEvalKit's folder")
    parser.add_argument("--set", type=pathlib.Path, default=server.ROOT / "tests/data/eval/eval-dev/questions.jsonl",
                        help="of Eyeshot's own questions (default: the part of eval-dev that the repository has)")
    parser.add_argument("--side-by-side", type=int, default=8, help="requests of the kit at a time (default 8)")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="where everything goes")
    server.add_flags(parser)
    args = parser.parse_args()
    if args.name == "vlmevalkit" and args.kit is None:
        parser.error("--kit says where VLMEvalKit is")
    args.out, args.python = args.out.resolve() / args.name, args.python.absolute()
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    with server.Server(args, "--allow-files", args.out) as serving:
        data, flags, answers, score = KITS[args.name](args, f"http://127.0.0.1:{serving.endpoint.port}")
        (args.out / "server.log").write_text(serving.log_text(), encoding="utf-8")
    own = eyeshot_eval(args, data, flags)
    own_score = sum(record["score"] for record in own.values()) / len(own)
    differ = [name for name in own if own[name]["answer"].strip() != answers.get(name, "").strip()]
    for name in differ:
        print(f"{name}: eyeshot eval says {own[name]['answer']!r}, {args.name} got {answers.get(name)!r}")
    empty = sum(not record["answer"].strip() for record in own.values())
    print(f"{args.name}: {len(answers)} of {len(own)} questions asked, {len(differ)} answers differ, {empty} are "
          f"empty; its score {score:.4f}, that of eyeshot eval {own_score:.4f}")
    same = not differ and len(answers) == len(own) and abs(score - own_score) < 1e-6
    comparison = {"kit": args.name, "questions": len(own), "answered": len(answers), "differ": len(differ),
                  "empty": empty, "score": score, "own_score": own_score}
    (args.out / "comparison.json").write_text(json.dumps(comparison) + "\n", encoding="utf-8")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
