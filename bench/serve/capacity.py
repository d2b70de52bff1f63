#!/usr/bin/env python3
"""How many users a machine serves in time, as a table in Markdown.

    bench/serve/capacity.py --threads 1,2 --out box-tiny.json                      measures, and prints the table
    bench/serve/capacity.py --model DIR --precision int8 --threads 2 --out box-256m.json
    bench/serve/capacity.py --from box-tiny.json box-256m.json other-box.json      one table of earlier runs

A user is a client of bench/serve/traces.py: busy and quiet in turns, --rate requests a second on average, half of them
with pictures. The number of users doubles, from 1, for as long as they are served in time: at least --share of the
answers within --slo-ttft and --slo-tpot (bench/serve/replay.py), and none refused or failed. Each number has a server
and a trace of its own. The row is of the last number that was served; what the next one had is in brackets.
"""
import argparse
import json
import os
import pathlib
import re
import sys

import replay
import report
import server
import traces

HEADS = ["machine", "model", "precision", "threads", "users in time", "answers a minute", "tokens/s",
         "first token, p50 / p90, ms", "a token, p50, ms", "J a request"]


def machine_name() -> str:
    """The processor, how many cores of it this process may use, and the memory."""
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text("ascii", "replace"))
    kib = int(re.search(r"MemTotal:\s*(\d+) kB", pathlib.Path("/proc/meminfo").read_text("ascii"))[1])
    name = " ".join(cpu[1].split()) if cpu else os.uname().machine
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {kib / 2**20:.0f} GiB"


def in_time(run: dict, share: float) -> bool:
    """All were answered, and enough of them within the limits."""
    return run["refused"] == run["failed"] == 0 and run["slo"] >= share


def measure(args: argparse.Namespace, threads: int) -> list[dict]:
    """Runs with ever more users, up to the first that are not served in time."""
    runs, users = [], 1
    while users <= args.most and (not runs or in_time(runs[-1], args.share)):
        rows = traces.make(users, args.seconds, args.rate, args.seed)
        if rows:  # few users may ask nothing in so short a time
            # Who asks nothing while the trace lasts is a user all the same.
            run = replay.run_trace(args, rows, threads) | {"users": users}
            runs.append(run)
            print(f"{threads} threads, {users} users: {run['slo']:.0%} of {run['requests']} in time, "
                  f"{run['refused']} refused, {run['failed']} failed", file=sys.stderr)
        users *= 2
    if not runs:
        raise RuntimeError("the traces are empty: more --seconds or --most, or another --seed")
    return runs


def joules_text(found: dict[str, float]) -> str:
    """By source; an estimate says so."""
    return ", ".join(f"{value:.2g} ({source})" for source, value in found.items()) or "not measured"


def row_of(result: dict, runs: list[dict]) -> list[str]:
    """What the table says of one model on so many threads."""
    served = [run for run in runs if in_time(run, result["share"])]
    missed = next((run for run in runs if not in_time(run, result["share"])), None)
    best = served[-1] if served else runs[0]
    users = str(best["users"]) if served else "none"
    if missed is not None:
        users += f" ({missed['users']}: {missed['slo']:.0%} in time)"
    first, token = best["ttft_ms"], best["tpot_ms"]
    return [result["machine"], best["model"], result["precision"] or "the program's choice", str(best["threads"]),
            users, report.cell(best["requests_per_s"] * 60), report.cell(best["tokens_per_s"]),
            f"{report.cell(first.get('p50'))} / {report.cell(first.get('p90'))}", report.cell(token.get("p50")),
            joules_text(best["joules_per_request"])]


def caption(result: dict, claims: str) -> str:
    """What the figures mean, for the line before the table."""
    return (f"{result['share']:.0%} of the answers have their first token within {result['slo_ttft']:g} s and a token "
            f"each {result['slo_tpot'] * 1e3:g} ms; a user asks {60 * result['rate']:g} times a minute on average, in "
            f"bursts, half of the time with pictures" + (f" [{claims}]" if claims else "") + ":")


def print_markdown(results: list[dict], claims: str) -> None:
    """A table for each set of limits that the runs had."""
    captions: dict[str, list[list[str]]] = {}
    for result in results:
        captions.setdefault(caption(result, claims), []).extend(row_of(result, runs) for runs in result["threads"])
    for text, rows in captions.items():
        print(f"{text}\n\n| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
        for row in rows:
            print(f"| {' | '.join(row)} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    server.add_flags(parser, replay.numbers, [2])
    replay.add_trace_flags(parser)
    parser.add_argument("--share", type=float, default=0.95, help="of answers that have to be in time (default 0.95)")
    parser.add_argument("--most", type=int, default=64, help="users at most (default 64)")
    parser.add_argument("--seed", type=int, default=1, help="of traces, texts and pictures")
    parser.add_argument("--from", dest="earlier", type=pathlib.Path, nargs="+", metavar="FILE",
                        help="print what earlier runs wrote with --out instead of measuring")
    parser.add_argument("--claims", default="", help="ids for the caption, as C1, C2")
    report.add_flags(parser)
    args = parser.parse_args()
    if args.earlier:
        print_markdown([json.loads(path.read_text("utf-8")) for path in args.earlier], args.claims)
        return 0
    result = {"tool": "capacity", "machine": machine_name(), "precision": args.precision, "share": args.share,
              "slo_ttft": args.slo_ttft, "slo_tpot": args.slo_tpot, "rate": args.rate, "seconds": args.seconds,
              "threads": [measure(args, threads) for threads in args.threads]}
    served = [sum(in_time(run, args.share) for run in runs) for runs in result["threads"]]
    result["users"] = [runs[count - 1]["users"] if count else 0 for count, runs in zip(served, result["threads"])]
    print_markdown([result], args.claims)
    report.deliver(args, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
