#!/usr/bin/env python3
"""Measures Eyeshot through its command line: `eyeshot ask --json` and `eyeshot bench --json`."""
import json
import statistics
import subprocess

from measure import QUESTION, Worker

AFTER_THE_FIRST_TOKEN = {"load", "decode", "detokenize"}  # or before the question


def call(worker: Worker, command: str, *arguments: str) -> dict:
    """Runs a command of the program and returns what it printed."""
    job = worker.job
    flags = ["--model", job["model"], "--precision", job["variant"], "--threads", str(job["threads"]), "--json"]
    done = subprocess.run([job["program"], command, *flags, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    return json.loads(done.stdout)


def first_token(worker: Worker) -> float:
    """Time to the first token of a question, loading left out, the median over processes that ask one question each."""
    answers = [call(worker, "ask", "--max-tokens", "1", worker.job["photo"], QUESTION)
               for _ in range(worker.job["repeat"])]
    worker.report(peak_rss_bytes=max(answer["peak_rss_bytes"] for answer in answers),
                  first_token=answers[-1]["answer"])
    return statistics.median(sum(stage["wall_ms"] for stage in answer["stages"]
                                 if stage["name"] not in AFTER_THE_FIRST_TOKEN) for answer in answers)


def bench(worker: Worker) -> None:
    """Tiles, prompts and decoding in one process."""
    job = worker.job
    depths = [max(depth, 1) for depth in job["depths"]]  # the chat template adds eight tokens
    result = call(worker, "bench", "--tiles", str(job["tiles"]), "--depths", ",".join(map(str, depths)),
                  "--tokens", str(job["tokens"]), "--repeat", str(job["repeat"]))
    stages = {stage["name"]: stage["wall_ms"] for stage in result["pictures"][0]["stages"]}
    worker.report(isa=result["isa"], weights=result["precision"],
                  tile_ms=(stages["encode"] + stages["connect"]) / job["tiles"])
    for depth, measured in zip(job["depths"], result["decode"]):
        worker.report(**{f"decode_{depth}": measured["tokens_per_s"]})
        if depth == job["prefill"]:
            worker.report(prefill_tokens_per_s=measured["prefill_tokens_per_s"])


def main() -> None:
    """Measures all stages."""
    worker = Worker()
    version = subprocess.run([worker.job["program"], "--version"], capture_output=True, text=True, check=True).stdout
    worker.report(versions={"eyeshot": version.split()[-1]})
    worker.stage("ttft_ms", lambda: first_token(worker))
    worker.stage("bench", lambda: bench(worker))


if __name__ == "__main__":
    main()
