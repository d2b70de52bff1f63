#!/usr/bin/env python3
"""Bursty traces of requests, drawn from a seed, as JSON lines that bench/serve/replay.py plays.

    bench/serve/traces.py --clients 16 --seconds 60 > trace.jsonl

A line is {"at_s", "client", "pictures": [[width, height], ...], "context_tokens", "output_tokens"}, in the order of
at_s. Each client is quiet and busy in turns (exponential lengths); while it is busy its requests come as a Poisson
process. Half of the requests show a picture, one in eight more of them; lengths are log-normal, as conversations' are.
"""
import argparse
import json
import math
import random
import sys
from typing import Iterator

PICTURES = [(512, 512), (640, 480), (1024, 768), (768, 1024), (1280, 720)]


def log_normal(draw: random.Random, median: float, sigma: float, most: int) -> int:
    """A length of at least 1."""
    return max(1, min(most, round(draw.lognormvariate(math.log(median), sigma))))


def pictures(draw: random.Random) -> list[tuple[int, int]]:
    """Of one request."""
    kind = draw.random()
    count = 0 if kind < 0.5 else 1 if kind < 0.875 else draw.choice([2, 3])
    return [draw.choice(PICTURES) for _ in range(count)]


def of_client(client: int, seconds: float, rate: float, seed: int) -> Iterator[dict]:
    """One client's requests; `rate` is a second's mean over quiet and busy times, which are as one to three quiet."""
    draw = random.Random(f"{seed} {client}")
    at, busy = 0.0, draw.random() < 0.25
    while at < seconds:
        length = draw.expovariate(1 / (5 if busy else 15))
        end = min(seconds, at + length)
        while busy:
            at += draw.expovariate(4 * rate)
            if at >= end:
                break
            yield {"at_s": round(at, 4), "client": client, "pictures": pictures(draw),
                   "context_tokens": log_normal(draw, 120, 1.0, 1500), "output_tokens": log_normal(draw, 48, 0.8, 400)}
        at, busy = end, not busy


def make(clients: int, seconds: float, rate: float, seed: int) -> list[dict]:
    """All clients' requests; `rate`: of one client, a second."""
    rows = [row for client in range(clients) for row in of_client(client, seconds, rate, seed)]
    return sorted(rows, key=lambda row: row["at_s"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8, help="(default 8)")
    parser.add_argument("--seconds", type=float, default=60, help="how long requests come (default 60)")
    parser.add_argument("--rate", type=float, default=0.1, help="requests a second of each client (default 0.1)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for row in make(args.clients, args.seconds, args.rate, args.seed):
        print(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
