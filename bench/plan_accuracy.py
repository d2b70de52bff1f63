#!/usr/bin/env python3
"""Predicted against measured: 30 runs drawn by a fixed seed, each stage's time and the peak memory.

    bench/plan_accuracy.py            calibrates, runs all 30 (about 15 minutes on 2 idle cores), prints the table
    bench/plan_accuracy.py --quick    the same for the 10 cheapest of them
    bench/plan_accuracy.py --keep-speed --only 3,7

Needs the release build and about 7 GB below --work for checkpoints of true shape with seeded weights, which are made
once. Nothing else should run meanwhile. Exits with 1 where a bar is missed: the median error of stage times at most
15 %, the worst 35 %, memory within 10 %. The drawing stands at the top and was fixed before anything was measured.
"""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
EYESHOT = ROOT / "build/release/src/cli/eyeshot"
CONFIGS = ROOT / "build/release/data/tests/data/checkpoints"

# --- The drawing ----------------------------------------------------------------------------------
SEED = 20261126
RUNS = 30
SHAPES = {"256M": "SmolVLM-256M-Instruct", "500M": "SmolVLM-500M-Instruct", "2.2B": "SmolVLM2-2.2B-Instruct"}
TILES = [1, 5, 9, 13, 17]
PRECISIONS = ["exact", "int8", "int4"]

# As in src/plan/auto.h: stages below a fiftieth of the run are printed, but cannot mislead a plan.
LEAST_SHARE = 0.02
# Longer than any context: bench then measures pictures alone, and takes no memory for anything else.
NO_DEPTH = "1048576"
ANSWER_TOKENS = 32
QUESTION_TOKENS = 4  # of bench's question, "Describe the image."
STAGES = ["preprocess", "encode", "connect", "prefill", "decode"]
MEDIAN_BAR, WORST_BAR, MEMORY_BAR = 0.15, 0.35, 0.10


def draw() -> list[tuple[str, int, str]]:
    """30 different combinations of shape, tiles and precision."""
    every = [(shape, tiles, precision) for shape in SHAPES for tiles in TILES for precision in PRECISIONS]
    return random.Random(SEED).sample(every, RUNS)


def run_json(*arguments: str) -> dict:
    done = subprocess.run([str(EYESHOT), *arguments, "--json"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def checkpoint(shape: str, work: pathlib.Path) -> pathlib.Path:
    out = work / SHAPES[shape]
    if not (out / "model.safetensors").exists():
        subprocess.run([str(EYESHOT), "dev", "checkpoint", "--config", str(CONFIGS / SHAPES[shape]), "--seed", "1",
                        "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
    return out


def times(stages: list[dict]) -> dict[str, float]:
    return {stage["name"]: stage["wall_ms"] for stage in stages if stage["name"] in STAGES}


def measure(model: pathlib.Path, tiles: int, precision: str, repeat: int) -> tuple[dict, dict]:
    """What bench says of one picture, and of the process."""
    bench = run_json("bench", "--model", str(model), "--tiles", str(tiles), "--depths", NO_DEPTH, "--tokens",
                     str(ANSWER_TOKENS), "--precision", precision, "--repeat", str(repeat))
    return bench["pictures"][0], bench


def predict(model: pathlib.Path, picture: dict, precision: str, speed: pathlib.Path) -> dict:
    detail = "low" if picture["tiles"] == 1 else "reference"
    plan = run_json("plan", str(model), "--costs", "--speed", str(speed), "--picture",
                    f"{picture['width']}x{picture['height']}", "--detail", detail, "--keep", "0", "--precision",
                    precision, "--question-tokens", str(QUESTION_TOKENS), "--answer-tokens", str(ANSWER_TOKENS))
    return plan["costs"][0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the 10 runs with least arithmetic, 1 repetition each")
    parser.add_argument("--only", help="numbers of runs, with commas")
    parser.add_argument("--keep-speed", action="store_true", help="do not calibrate again")
    parser.add_argument("--repeat", type=int, default=3, help="runs that medians are of (default 3)")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/eyeshot-plan-accuracy"))
    parser.add_argument("--json", type=pathlib.Path, help="write all figures there as well")
    flags = parser.parse_args()

    runs = list(enumerate(draw(), 1))
    if flags.quick:
        weight = {"256M": 1, "500M": 2, "2.2B": 8}
        runs = sorted(runs, key=lambda run: weight[run[1][0]] * run[1][1])[:10]
    if flags.only:
        wanted = {int(number) for number in flags.only.split(",")}
        runs = [run for run in runs if run[0] in wanted]
    flags.work.mkdir(parents=True, exist_ok=True)
    speed = flags.work / "speed.json"
    if not flags.keep_speed or not speed.exists():
        run_json("plan", "--calibrate", "--speed", str(speed))

    print(f"{'run':>3} {'shape':>5} {'tiles':>5} {'precision':>9} {'prompt':>6} "
          + "".join(f"{stage:>26}" for stage in STAGES) + f"{'memory MB':>24}")
    errors: dict[str, list[float]] = {stage: [] for stage in STAGES}
    totals, memory_errors, tokens_equal, records = [], [], True, []
    for number, (shape, tiles, precision) in runs:
        model = checkpoint(shape, flags.work)
        picture, process = measure(model, tiles, precision, 1 if flags.quick else flags.repeat)
        planned = predict(model, picture, precision, speed)
        measured_ms, planned_ms = times(picture["stages"]), times(planned["stages"])
        tokens_equal &= planned["prompt_tokens"] == picture["prompt_tokens"]
        cells = ""
        for stage in STAGES:
            now, said = measured_ms[stage], planned_ms[stage]
            off = said / now - 1
            counted = now >= LEAST_SHARE * sum(measured_ms.values())
            if counted:
                errors[stage].append(off)
            cells += f"{said:>10.1f} /{now:>8.1f}" + (f"{100 * off:>+5.0f}%" if counted else "   (-)")
        totals.append(sum(planned_ms.values()) / sum(measured_ms.values()) - 1)
        memory, peak = planned["memory"]["bytes"] / 1e6, process["peak_rss_bytes"] / 1e6
        memory_errors.append(memory / peak - 1)
        print(f"{number:>3} {shape:>5} {tiles:>5} {precision:>9} {picture['prompt_tokens']:>6} {cells}"
              f"{memory:>10.0f} /{peak:>6.0f}{100 * memory_errors[-1]:>+5.0f}%", flush=True)
        records.append({"run": number, "shape": shape, "tiles": tiles, "precision": precision, "planned_ms": planned_ms,
                        "measured_ms": measured_ms, "planned_bytes": planned["memory"]["bytes"],
                        "peak_rss_bytes": process["peak_rss_bytes"]})

    if flags.json:
        flags.json.write_text(json.dumps(records, indent=1), encoding="utf-8")
    every = [abs(off) for stage in STAGES for off in errors[stage]]
    for stage in STAGES:
        if errors[stage]:
            middle = statistics.median(abs(off) for off in errors[stage])
            worst = max(errors[stage], key=abs)
            print(f"{stage:>12}: median error {100 * middle:.1f} %, worst {100 * worst:+.1f} %")
    median, worst, memory_worst = statistics.median(every), max(every), max(abs(off) for off in memory_errors)
    print(f"all stages: median error {100 * median:.1f} %, worst {100 * worst:.1f} %; "
          f"whole runs: median {100 * statistics.median(abs(off) for off in totals):.1f} %; "
          f"memory: worst {100 * memory_worst:.1f} %; "
          f"prompt tokens {'equal' if tokens_equal else 'NOT equal'}; {len(runs)} runs")
    good = median <= MEDIAN_BAR and worst <= WORST_BAR and memory_worst <= MEMORY_BAR and tokens_equal
    print("within the bars" if good else "NOT within the bars")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
