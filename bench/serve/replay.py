#!/usr/bin/env python3
"""Plays traces against the server at their own times, whether it keeps up or not (open loop).

    bench/serve/replay.py --clients 1,4,16,64 --threads 1,2      how many are served within the limits
    bench/serve/replay.py --trace trace.jsonl                    a trace of one's own, as bench/serve/traces.py has it
    bench/serve/replay.py --ttft-curve                           the time to the first token against the context
    bench/serve/replay.py --soak 30                              30 minutes: does it get slower?

An answer is within the limits where its first token came within --slo-ttft seconds and its tokens took at most
--slo-tpot seconds each (mean). A refused request (429) is not. Each client has a key of its own, so that their requests
take turns. Joules are those of the answers' usage, by source; a source "model" is an estimate, and "none" means that
nothing was measured.
The curve: texts of 64 to 8,000 tokens (or what the context holds) that no other request began with, one at a time,
medians; the exponent is the slope of the line through the logarithms, of all points and of those from 1,000 tokens on.
The soak: --clients (one number) ask one request after the other out of the same 64 questions, in order, with pictures
that are always new; the last third of the time against the first.
"""
import argparse
import asyncio
import collections
import itertools
import json
import math
import pathlib
import random
import sys
import tempfile
import time

import client
import questions
import report
import server
import traces

LENGTHS = [64, 128, 256, 512, 1000, 2000, 4000, 8000]
DRIFT_BAR = 0.05


def numbers(text: str) -> list[int]:
    """Of a flag, with commas."""
    return [int(part) for part in text.split(",")]


def body_of(row: dict, texts: questions.Texts, picture_numbers) -> dict:
    """The request of a line of a trace."""
    shown = [questions.picture_part(questions.png(width, height, next(picture_numbers)), "auto")
             for width, height in row["pictures"]]
    return questions.stream(texts.of(row["context_tokens"]), *shown, max_tokens=row["output_tokens"])


def write_keys(file, count: int) -> list[str]:
    """Keys of so many clients, for --api-keys."""
    keys = [f"client-{number:04d}" for number in range(count)]
    file.write("\n".join(keys) + "\n")
    file.flush()
    return keys


# --- Traces

async def play(endpoints: list[client.Endpoint], rows: list[dict], seed: int) -> list[client.Reply]:
    """Sends each at its time; waits for all answers."""
    texts = await questions.Texts.by(endpoints[0], seed)
    unseen = itertools.count(seed * 1000003)
    requests = [client.chat_bytes(endpoints[row["client"]], body_of(row, texts, unseen)) for row in rows]
    begin = time.perf_counter() + 0.5
    exchanges = []
    for row, request in zip(rows, requests):
        await asyncio.sleep(max(0, begin + row["at_s"] - time.perf_counter()))
        exchanges.append(await client.open_exchange(endpoints[row["client"]], request))
    await asyncio.gather(*(exchange.done for exchange in exchanges))
    return [exchange.reply for exchange in exchanges]


def joules_of(replies: list[client.Reply]) -> dict[str, float]:
    """A request's mean, by source."""
    found = collections.defaultdict(list)
    for reply in replies:
        joules = reply.usage.get("eyeshot", {}).get("joules") or {}
        source = joules.get("source", "none")
        found[source].append(joules.get("value") or 0.0)
    return {source: round(sum(values) / len(values), 4) for source, values in found.items() if source != "none"}


def summary(replies: list[client.Reply], args: argparse.Namespace) -> dict:
    """Percentiles and the share within the limits."""
    good = [reply for reply in replies if reply.ok]
    per_token = {id(reply): (reply.total_s - reply.first_s) / max(1, reply.tokens - 1) for reply in good}
    within = sum(reply.first_s <= args.slo_ttft and per_token[id(reply)] <= args.slo_tpot for reply in good)
    begin, end = min(reply.sent for reply in replies), max(reply.ended for reply in replies)
    return {"requests": len(replies), "answered": len(good),
            "refused": sum(reply.status == 429 for reply in replies),
            "failed": sum(not reply.ok and reply.status != 429 for reply in replies),
            "slo": round(within / len(replies), 4), "requests_per_s": round(len(good) / (end - begin), 3),
            "tokens_per_s": round(sum(reply.tokens for reply in good) / (end - begin), 1),
            "ttft_ms": report.spread([reply.first_s for reply in good]),
            "tpot_ms": report.spread([per_token[id(reply)] for reply in good if reply.tokens > 1]),
            "joules_per_request": joules_of(good)}


def run_trace(args: argparse.Namespace, rows: list[dict], threads: int) -> dict:
    """One trace, by a server of its own."""
    if not rows:
        raise RuntimeError("the trace is empty: more --seconds or another --seed")
    clients = 1 + max(row["client"] for row in rows)
    with tempfile.NamedTemporaryFile("w", suffix=".keys") as file:
        keys = write_keys(file, clients)
        with server.Server(args, "-q", "--api-keys", file.name, threads=threads) as serving:
            endpoints = [client.Endpoint(serving.endpoint.host, serving.endpoint.port, key) for key in keys]
            replies = asyncio.run(play(endpoints, rows, args.seed))
            model = serving.model
    return {"model": model, "threads": threads, "clients": clients} | summary(replies, args)


def run_traces(args: argparse.Namespace) -> dict:
    """Each number of clients on each number of threads."""
    runs = []
    for threads in args.threads:
        for count in args.clients:
            rows = ([json.loads(line) for line in args.trace.read_text("utf-8").splitlines()] if args.trace else
                    traces.make(count, args.seconds, args.rate, args.seed))
            runs.append(run_trace(args, rows, threads))
    print(f"limits: first token within {args.slo_ttft} s, {args.slo_tpot} s a token")
    report.print_table(
        ["clients", "threads", "requests", "refused", "failed", "within", "answers/s", "tokens/s", "TTFT p50", "p90",
         "p99 ms", "TPOT p50", "p90", "p99 ms", "J/request"],
        [[str(run["clients"]), run["threads"], run["requests"], run["refused"], run["failed"], f"{run['slo']:.0%}",
          run["requests_per_s"], run["tokens_per_s"], *(run["ttft_ms"].get(key) for key in ("p50", "p90", "p99")),
          *(run["tpot_ms"].get(key) for key in ("p50", "p90", "p99")),
          ", ".join(f"{value} ({source})" for source, value in run["joules_per_request"].items()) or "not measured"]
         for run in runs])
    failed = sum(run["failed"] for run in runs)
    held = report.print_bars({"requests that failed": (failed, "<=", 0)})
    return {"runs": runs, "held": held}


# --- The curve

def exponent(points: list[tuple[float, float]]) -> float:
    """The slope of the line through the logarithms."""
    if len(points) < 2:
        return float("nan")
    logs = [(math.log(x), math.log(y)) for x, y in points]
    x0, y0 = (sum(values) / len(logs) for values in zip(*logs))
    return sum((x - x0) * (y - y0) for x, y in logs) / sum((x - x0) ** 2 for x, _ in logs)


async def measure_curve(endpoint: client.Endpoint, args: argparse.Namespace) -> list[dict]:
    """Medians by length."""
    texts = await questions.Texts.by(endpoint, args.seed)
    models = json.loads((await client.get(endpoint, "/v1/models")).body)
    context = models["data"][0]["max_model_len"]
    await client.ask(endpoint, questions.stream(texts.of(200), max_tokens=4))
    points = []
    # The longest is as long as fits, with what the template adds and texts that are some tokens longer.
    for length in sorted({min(length, int((context - 60) / 1.03)) for length in LENGTHS}):
        replies = [await client.ask(endpoint, questions.stream(texts.of(length), max_tokens=2))
                   for _ in range(args.repeat)]
        client.check(replies)
        points.append({"tokens": replies[0].usage["prompt_tokens"],
                       "ttft_ms": round(report.median([reply.first_s for reply in replies]) * 1e3, 3)})
    return points


def run_curve(args: argparse.Namespace) -> dict:
    """One server for each number of threads."""
    curves = []
    for threads in args.threads:
        with server.Server(args, "-q", threads=threads) as serving:
            points = asyncio.run(measure_curve(serving.endpoint, args))
        pairs = [(point["tokens"], point["ttft_ms"]) for point in points]
        curves.append({"threads": threads, "points": points, "exponent": round(exponent(pairs), 3),
                       "exponent_from_1000": round(exponent([pair for pair in pairs if pair[0] >= 950]), 3)})
    for curve in curves:
        print(f"{curve['threads']} threads")
        report.print_table(["tokens", "first token, ms", "ms a token"],
                           [[str(point["tokens"]), point["ttft_ms"], point["ttft_ms"] / point["tokens"]]
                            for point in curve["points"]])
        print(f"exponent {curve['exponent']}, from 1,000 tokens on {curve['exponent_from_1000']}")
    return {"curves": curves, "held": True}


# --- The soak

def questions_of_soak(seed: int) -> list[dict]:
    """The 64 lines that are asked again and again."""
    draw = random.Random(seed)
    return [{"pictures": [(512, 512)] if draw.random() < 0.25 else [],
             "context_tokens": traces.log_normal(draw, 100, 0.8, 600),
             "output_tokens": traces.log_normal(draw, 32, 0.6, 128)} for _ in range(64)]


async def soak_client(endpoint: client.Endpoint, rows: list[dict], texts: questions.Texts, turns, unseen, until: float,
                      found: list[tuple[float, float, float, int]]) -> None:
    """Asks until the time is over; notes (when it ended, first token, all of it, tokens)."""
    while time.perf_counter() < until:
        body = body_of(rows[next(turns) % len(rows)], texts, unseen)
        reply = await client.ask(endpoint, body)
        client.check([reply])
        found.append((reply.ended, reply.first_s, reply.total_s, reply.tokens))


async def measure_soak(serving: server.Server, args: argparse.Namespace, clients: int) -> dict:
    """The thirds, and memory at the end of each."""
    texts = await questions.Texts.by(serving.endpoint, args.seed)
    rows = questions_of_soak(args.seed)
    turns, unseen = itertools.count(), itertools.count(args.seed * 1000003)
    found: list[tuple[float, float, float, int]] = []
    begin = time.perf_counter() + args.warmup_s
    until = begin + args.soak * 60
    asking = [asyncio.create_task(soak_client(serving.endpoint, rows, texts, turns, unseen, until, found))
              for _ in range(clients)]
    memory = []
    for part in range(4):
        await asyncio.sleep(max(0, begin + args.soak * 20 * part - time.perf_counter()))
        memory.append(serving.rss_kib())
    await asyncio.gather(*asking)
    thirds = []
    for part in range(3):
        low, high = (begin + args.soak * 20 * number for number in (part, part + 1))
        own = [one for one in found if low <= one[0] < high]
        thirds.append({"answers": len(own), "answers_per_s": round(len(own) / (high - low), 3),
                       "tokens_per_s": round(sum(one[3] for one in own) / (high - low), 2),
                       "ttft_ms": report.spread([one[1] for one in own]),
                       "total_ms": report.spread([one[2] for one in own]), "rss_kib": memory[part + 1]})
    return {"thirds": thirds}


def run_soak(args: argparse.Namespace) -> dict:
    """Drift between the first and the last third."""
    with server.Server(args, "-q", threads=args.threads[0]) as serving:
        result = asyncio.run(measure_soak(serving, args, args.clients[0]))
    thirds = result["thirds"]
    report.print_table(
        ["third", "answers", "answers/s", "tokens/s", "TTFT p99 ms", "all p50 ms", "all p99 ms", "resident MiB"],
        [[str(number), one["answers"], one["answers_per_s"], one["tokens_per_s"], one["ttft_ms"].get("p99"),
          one["total_ms"].get("p50"), one["total_ms"].get("p99"), one["rss_kib"] / 1024]
         for number, one in enumerate(thirds, 1)])
    first, last = thirds[0], thirds[2]
    bars = {"drift of tokens/s": (round(abs(last["tokens_per_s"] / first["tokens_per_s"] - 1), 4), "<=", DRIFT_BAR),
            "drift of the p99 of answers": (
                round(abs(last["total_ms"]["p99"] / first["total_ms"]["p99"] - 1), 4), "<=", DRIFT_BAR)}
    held = report.print_bars(bars)
    return result | {"minutes": args.soak, "clients": args.clients[0], "bars": report.bars_json(bars), "held": held}


def add_trace_flags(parser: argparse.ArgumentParser) -> None:
    """How long and dense traces are, and what counts as in time."""
    parser.add_argument("--seconds", type=float, default=60, help="of a trace (default 60)")
    parser.add_argument("--rate", type=float, default=0.1, help="requests a second of each client (default 0.1)")
    parser.add_argument("--slo-ttft", type=float, default=5.0, help="seconds to the first token (default 5)")
    parser.add_argument("--slo-tpot", type=float, default=0.1, help="seconds a token (default 0.1)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    server.add_flags(parser, numbers, [2])
    parser.add_argument("--clients", type=numbers, default=[8], help="with commas (default 8)")
    parser.add_argument("--trace", type=pathlib.Path, help="instead of traces from --seed")
    add_trace_flags(parser)
    parser.add_argument("--ttft-curve", action="store_true", help="the curve instead of traces")
    parser.add_argument("--repeat", type=int, default=5, help="of each length of the curve (default 5)")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="a soak instead of traces")
    parser.add_argument("--warmup-s", type=float, default=20, help="seconds before a soak counts (default 20)")
    parser.add_argument("--seed", type=int, default=1, help="of traces, texts and pictures")
    report.add_flags(parser)
    args = parser.parse_args()
    result = run_curve(args) if args.ttft_curve else run_soak(args) if args.soak else run_traces(args)
    held = result.pop("held")
    report.deliver(args, {"tool": "replay", "model": args.model or "built in", "precision": args.precision} | result)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
