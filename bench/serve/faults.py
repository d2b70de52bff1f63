#!/usr/bin/env python3
"""Load and faults: many requests whose answers are known, among clients that go, lie, dawdle and send nonsense.

    bench/serve/faults.py                         20,000 requests, 1,000 of the connections dropped at random points
    bench/serve/faults.py --requests 3000 --drops 150

Each request is one of --known, whose answers were taken before from the same server with nothing beside it; every
answer must be one's own, complete, and with as many tokens of prompt and answer. Between them, connections are opened
and dropped at random points, bodies are malformed, pictures are too large, senders are slow, readers don't read. Then:
more requests at once than there is room for (429 and nothing else for those that are refused), requests without an end
(cut off), and SIGTERM with answers under way, which must still be written; another server writes its log to a full
disk.
Memory: resident, after each thousand requests when none is under way; growth is the slope of the line through the
values after --warmup.
--connects runs a short load under strace and counts connections that the server opens: none.
"""
import argparse
import asyncio
import collections
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

import client
import faulty_clients
import questions
import report
import server

GROWTH_BAR_KIB = 10.0


@dataclass
class Known:
    """A request and its answer."""
    body: dict
    reply: client.Reply

    def explains(self, reply: client.Reply) -> bool:
        """It is the answer to this request."""
        keys = ("prompt_tokens", "completion_tokens")
        return reply.text == self.reply.text and all(reply.usage.get(key) == self.reply.usage[key] for key in keys)


@dataclass
class Tally:
    """What came of everything."""
    right: int = 0
    lost: list = field(default_factory=list)
    mixed: list = field(default_factory=list)
    statuses: collections.Counter = field(default_factory=collections.Counter)
    faults: collections.Counter = field(default_factory=collections.Counter)
    unexpected: list = field(default_factory=list)
    rss_kib: list[tuple[int, int]] = field(default_factory=list)  # (requests so far, resident)


def draw_bodies(count: int, seed: int) -> list[dict]:
    """Questions of mixed sizes, short enough for 20,000; each begins with a number of its own."""
    draw = random.Random(seed)
    bodies = []
    for number in range(count):
        words = " ".join(draw.choice(questions.WORDS) for _ in range(draw.choice([1, 5, 20, 100])))
        shown = [questions.picture_part(questions.png(draw.choice([64, 200, 256]), 128, number), "low")
                 for _ in range(draw.choice([0, 0, 0, 0, 0, 0, 0, 1, 2]))]
        make = questions.stream if draw.random() < 0.5 else questions.chat
        bodies.append(make(f"{number} {words}", *shown, max_tokens=draw.choice([1, 2, 4, 8, 16])))
    return bodies


async def ask_known(endpoint: client.Endpoint, known: Known, request: bytes, tally: Tally) -> None:
    """One request that must be answered; 429 is waited out, as clients do."""
    while True:
        exchange = await client.open_exchange(endpoint, request)
        await exchange.done
        reply = exchange.reply
        tally.statuses[reply.status] += 1
        if reply.status != 429:
            break
        await asyncio.sleep(0.05)
    if not reply.ok:
        tally.lost.append({"status": reply.status, "error": reply.error, "whole": reply.whole})
    elif known.explains(reply):
        tally.right += 1
    else:
        tally.mixed.append({"expected": known.reply.text, "got": reply.text, "usage": reply.usage.get("prompt_tokens")})


async def do_wrong(endpoint: client.Endpoint, request: bytes, kind: str, draw: random.Random, tally: Tally) -> None:
    """One client of a kind."""
    tally.faults[kind] += 1
    try:
        if kind == "dropped":
            await faulty_clients.drops(endpoint, request, draw)
        elif kind == "reads nothing":
            await faulty_clients.reads_nothing(endpoint, request, draw)
        elif kind == "slow sender":
            status = await faulty_clients.sends_slowly(endpoint, request, draw)
            if status not in (200, 429):
                tally.unexpected.append({"what": kind, "status": status})
        else:
            name, wrong, right = faulty_clients.malformed(draw)
            status = await faulty_clients.status_of(await faulty_clients.connect(endpoint, wrong))
            tally.faults[f"malformed, status {status}"] += 1
            if status not in right:
                tally.unexpected.append({"what": name, "status": status, "expected": right})
    except (OSError, asyncio.TimeoutError) as error:
        tally.unexpected.append({"what": kind, "error": repr(error)})


def plan(args: argparse.Namespace, draw: random.Random) -> list[str]:
    """Good and bad clients, mixed."""
    bad = (["dropped"] * args.drops + ["malformed"] * (args.drops // 2) + ["slow sender"] * (args.drops // 10)
           + ["reads nothing"] * (args.drops // 20))
    kinds = ["good"] * args.requests + bad
    draw.shuffle(kinds)
    return kinds


async def load(args: argparse.Namespace, serving: server.Server, known: list[Known], tally: Tally) -> None:
    """All of them, so many at a time; bad ones beside the good ones."""
    draw = random.Random(args.seed)
    requests = [client.chat_bytes(serving.endpoint, one.body) for one in known]
    good: set[asyncio.Task] = set()
    bad: set[asyncio.Task] = set()
    done = 0
    for kind in plan(args, draw):
        number = draw.randrange(len(known))
        if kind != "good":
            bad.add(asyncio.create_task(do_wrong(serving.endpoint, requests[number], kind, draw, tally)))
            continue
        good.add(asyncio.create_task(ask_known(serving.endpoint, known[number], requests[number], tally)))
        while len(good) >= args.parallel:
            finished, good = await asyncio.wait(good, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.gather(*finished)  # raises what one of them did
        done += 1
        if done % 1000 == 0:
            await asyncio.gather(*good, *bad)  # what requests under way hold is no growth
            good, bad = set(), set()
            tally.rss_kib.append((done, serving.rss_kib()))
            print(f"{done} requests, {tally.rss_kib[-1][1] / 1024:.1f} MiB", file=sys.stderr, flush=True)
            if not (await client.get(serving.endpoint, "/health")).ok:
                tally.unexpected.append({"what": "health", "after": done})
    await asyncio.gather(*good, *bad)


async def overfill(endpoint: client.Endpoint, known: list[Known], count: int) -> collections.Counter:
    """More at once than there is room for: each is answered or refused."""
    requests = [client.chat_bytes(endpoint, known[number % len(known)].body) for number in range(count)]
    exchanges = await asyncio.gather(*(client.open_exchange(endpoint, request) for request in requests))
    await asyncio.gather(*(exchange.done for exchange in exchanges))
    statuses: collections.Counter = collections.Counter()
    for number, exchange in enumerate(exchanges):
        right = exchange.reply.ok and known[number % len(known)].explains(exchange.reply)
        statuses[exchange.reply.status if right or exchange.reply.status != 200 else "wrong"] += 1
    return statuses


async def drain(serving: server.Server, known: list[Known]) -> dict:
    """SIGTERM while answers are written."""
    body = questions.stream("Count to ten.", max_tokens=400)
    request = client.chat_bytes(serving.endpoint, body)
    exchanges = [await client.open_exchange(serving.endpoint, request) for _ in range(8)]
    await asyncio.gather(*(exchange.first for exchange in exchanges))
    serving.process.terminate()
    await asyncio.sleep(0.02)
    try:
        later = (await client.ask(serving.endpoint, known[0].body)).status
    except OSError:
        later = 0
    await asyncio.gather(*(exchange.done for exchange in exchanges))
    code = await asyncio.to_thread(serving.process.wait, 60)
    return {"under_way": len(exchanges), "written": sum(e.reply.ok and e.reply.tokens == 400 for e in exchanges),
            "exit": code, "status_of_a_later_one": later}


def slope(points: list[tuple[int, int]], warmup: int) -> float:
    """KiB for 1,000 requests, by least squares over what comes after the warm-up."""
    points = [(done / 1000, rss) for done, rss in points if done >= warmup]
    if len(points) < 2:
        return float("nan")
    x0, y0 = (sum(values) / len(points) for values in zip(*points))
    return sum((x - x0) * (y - y0) for x, y in points) / sum((x - x0) ** 2 for x, _ in points)


async def answers_of(endpoint: client.Endpoint, bodies: list[dict]) -> list[Known]:
    """Each alone."""
    known = []
    for body in bodies:
        reply = await client.ask(endpoint, body)
        client.check([reply])
        known.append(Known(body, reply))
    return known


def full_disk(args: argparse.Namespace, bodies: list[dict]) -> dict:
    """A server whose log has nowhere to go."""
    with open("/dev/full", "w", encoding="utf-8") as full, server.Server(args, stderr=full) as serving:
        right = 0
        for body in bodies[:20]:
            try:
                right += asyncio.run(client.ask(serving.endpoint, body)).ok
            except OSError:
                break
        return {"asked": len(bodies[:20]), "answered": right, "alive": serving.alive}


def outbound(args: argparse.Namespace, bodies: list[dict]) -> dict:
    """connect() calls of a server under load, by strace."""
    with tempfile.NamedTemporaryFile("r", suffix=".strace") as trace:
        before = ("strace", "-f", "-qq", "-e", "trace=connect,accept,accept4", "-o", trace.name)
        with server.Server(args, "-q", before=before) as serving:
            for body in bodies[:50]:
                asyncio.run(client.ask(serving.endpoint, body))
            children = subprocess.run(["pgrep", "-P", str(serving.pid)], capture_output=True, text=True, check=True)
            subprocess.run(["kill", "-TERM", *children.stdout.split()], check=True)
            serving.process.wait(60)
        lines = trace.read().splitlines()
    calls = [line for line in lines if "connect(" in line]
    # Those that were taken show that the trace saw the server.
    return {"taken": sum(bool(re.search(r"accept4?\(.*= \d+$", line)) for line in lines), "opened": len(calls),
            "to_a_network": [line for line in calls if re.search(r"AF_INET6?", line)]}


async def run(args: argparse.Namespace, serving: server.Server, bodies: list[dict]) -> tuple[dict, Tally]:
    """All parts that need the one server."""
    known = await answers_of(serving.endpoint, bodies)
    tally = Tally()
    begin = time.monotonic()
    await load(args, serving, known, tally)
    seconds = time.monotonic() - begin
    found: dict = {"seconds": round(seconds, 1), "requests_per_s": round(args.requests / seconds, 1)}
    found["overfull"] = {str(key): value for key, value in (await overfill(serving.endpoint, known, 300)).items()}
    if not args.quick:
        request = client.chat_bytes(serving.endpoint, known[0].body)
        ends = await asyncio.gather(*(faulty_clients.never_ends(serving.endpoint, request[:length])
                                      for length in (20, len(request))))
        found["without_an_end"] = ends
    found["health"] = (await client.get(serving.endpoint, "/health")).status
    metrics = serving.metrics()
    found["left_over"] = {key: metrics[key] for key in
                          ('eyeshot_requests{state="waiting"}', 'eyeshot_requests{state="decoding"}',
                           "eyeshot_cache_blocks_used", "eyeshot_media_bytes")}
    found["drain"] = await drain(serving, known)
    return found, tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    server.add_flags(parser)
    parser.add_argument("--requests", type=int, default=20000, help="good ones (default 20,000)")
    parser.add_argument("--drops", type=int, default=1000,
                        help="connections that are dropped; half as many bodies are malformed (default 1,000)")
    parser.add_argument("--known", type=int, default=200, help="different requests (default 200)")
    parser.add_argument("--parallel", type=int, default=24, help="good ones at a time (default 24)")
    parser.add_argument("--warmup", type=int, default=2000, help="requests before memory counts (default 2,000)")
    parser.add_argument("--quick", action="store_true", help="do not wait for the server's time limits (30 s)")
    parser.add_argument("--connects", action="store_true", help="alone: connections that the server opens, by strace")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn")
    report.add_flags(parser)
    args = parser.parse_args()

    bodies = draw_bodies(args.known, args.seed)
    if args.connects:
        found = outbound(args, bodies)
        print(f"{found['taken']} connections taken, {found['opened']} opened, "
              f"{len(found['to_a_network'])} of them to a network")
        bars = {"connections that clients opened": (found["taken"], ">=", 50),
                "connections that the server opened to a network": (len(found["to_a_network"]), "<=", 0)}
        held = report.print_bars(bars)
        report.deliver(args, {"tool": "faults --connects", **found, "bars": report.bars_json(bars)})
        return 0 if held else 1
    # The queue is what gets full, not the room of this one client.
    with server.Server(args, "--per-client", 1000) as serving:
        found, tally = asyncio.run(run(args, serving, bodies))
        model = serving.model
    found["full_disk"] = full_disk(args, bodies)
    growth = slope(tally.rss_kib, args.warmup)
    print(f"{model}: {args.requests} requests in {found['seconds']} s beside {dict(tally.faults)}")
    print(f"resident MiB by thousand requests: {' '.join(f'{rss / 1024:.1f}' for _, rss in tally.rss_kib)}")
    print(json.dumps({key: found[key] for key in found if key != "seconds"}))
    for what in (tally.lost[:3] + tally.mixed[:3] + tally.unexpected[:10]):
        print(json.dumps(what))
    refused = {key for key in found["overfull"]} - {"200", "429"}
    bars = {"answers that are right": (tally.right, ">=", args.requests),
            "answers lost": (len(tally.lost), "<=", 0),
            "answers that are another's": (len(tally.mixed), "<=", 0),
            "replies that should not be": (len(tally.unexpected) + len(refused), "<=", 0),
            "refused with 429 when it is full": (found["overfull"].get("429", 0), ">=", 1),
            "KiB of memory for each 1,000 requests": (round(growth, 1), "<=", GROWTH_BAR_KIB),
            "cache blocks and decoded pictures left over": (
                found["left_over"]["eyeshot_cache_blocks_used"] + found["left_over"]["eyeshot_media_bytes"], "<=", 0),
            "answers written after SIGTERM, of 8": (found["drain"]["written"], ">=", 8),
            "exit code after it": (found["drain"]["exit"], "<=", 0),
            "answered with its log on a full disk, of 20": (found["full_disk"]["answered"], ">=", 20)}
    held = report.print_bars(bars)
    report.deliver(args, {"tool": "faults", "model": model, "precision": args.precision, "threads": args.threads,
                          "requests": args.requests, "right": tally.right, "lost": tally.lost[:20],
                          "mixed": tally.mixed[:20], "unexpected": tally.unexpected[:20],
                          "statuses": {str(key): value for key, value in tally.statuses.items()},
                          "faults": dict(tally.faults), "rss_kib": tally.rss_kib, "growth_kib": growth, **found,
                          "bars": report.bars_json(bars)})
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
