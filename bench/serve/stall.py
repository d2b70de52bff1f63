#!/usr/bin/env python3
"""How much answers stall while others' pictures arrive: gaps between tokens of 8 streams, without and with pictures.

    bench/serve/stall.py                                  the built-in model: a picture of 5 tiles each second
    bench/serve/stall.py --model DIR --every 5            the 256M shape: one of 17 tiles each 5 s

Rounds without and with pictures take turns. In each, the streams begin with a text of their own of --depth tokens and
write --answer tokens. A gap is the time between two events as the client reads them, from when the last stream has its
first token to when the first stream ends. An event is a token, but where a token makes no text yet (half a
character) or the server sends two at once; "tokens an event" says how often. Pictures are 512x512 (--size), each a new
one, with detail high, which makes 5 tiles for the built-in model and 17 for the 256M shape.
"""
import argparse
import asyncio
import itertools
import sys
from dataclasses import dataclass, field

import client
import questions
import report
import server

BAR = 3.0
MOST_PICTURES = 20  # of a round


@dataclass
class Gaps:
    """Of all rounds of a kind, in seconds."""
    all: list[float] = field(default_factory=list)
    beside_picture: list[float] = field(default_factory=list)  # those while a picture's request had no token yet
    events: int = 0
    tokens: int = 0
    pictures: list[client.Reply] = field(default_factory=list)


def picture_request(endpoint: client.Endpoint, size: tuple[int, int], number: int) -> bytes:
    """A question about a picture of its own."""
    part = questions.picture_part(questions.png(*size, number), "high")
    return client.chat_bytes(endpoint, questions.stream("Describe it.", part, max_tokens=16))


async def send_pictures(endpoint: client.Endpoint, every_s: float, requests, over: asyncio.Event) -> list:
    """Sends one at once and then one each so often, until the round is over; returns when all are answered."""
    exchanges = []
    for request in requests:
        exchanges.append(await client.open_exchange(endpoint, request))
        try:
            await asyncio.wait_for(over.wait(), every_s)
            break
        except asyncio.TimeoutError:
            pass
    for exchange in exchanges:
        await exchange.done
    return exchanges


async def one_round(endpoint: client.Endpoint, args: argparse.Namespace, texts: questions.Texts, shows: list[bytes],
                    gaps: Gaps) -> None:
    """`shows`: requests with pictures; empty: a round without."""
    bodies = [questions.stream(texts.of(args.depth), max_tokens=args.answer) for _ in range(args.streams)]
    streams = [await client.open_exchange(endpoint, client.chat_bytes(endpoint, body)) for body in bodies]
    await asyncio.gather(*(stream.first for stream in streams))
    over = asyncio.Event()
    pictures = asyncio.create_task(send_pictures(endpoint, args.every, shows, over)) if shows else None
    await asyncio.wait([stream.done for stream in streams], return_when=asyncio.FIRST_COMPLETED)
    over.set()
    await asyncio.gather(*(stream.done for stream in streams))
    shown = [exchange.reply for exchange in await pictures] if pictures else []
    add_round([stream.reply for stream in streams], shown, gaps)


def add_round(replies: list[client.Reply], pictures: list[client.Reply], gaps: Gaps) -> None:
    """Counts the gaps of one round."""
    client.check(replies + pictures)
    begin = max(reply.events[0].at for reply in replies)
    end = min(reply.events[-1].at for reply in replies)
    for reply in replies:
        gaps.all += [gap for _, gap in reply.timed_gaps(begin, end)]
        gaps.events += len(reply.events)
        gaps.tokens += reply.tokens
        gaps.beside_picture += [gap for at, gap in reply.timed_gaps(begin, end)
                                if any(picture.sent < at and at - gap < picture.events[0].at for picture in pictures)]
    gaps.pictures += pictures


async def measure(args: argparse.Namespace, endpoint: client.Endpoint) -> dict[str, Gaps]:
    """All rounds; the first pair warms up and is not counted."""
    texts = await questions.Texts.by(endpoint, args.seed)
    numbers = itertools.count(args.seed * 1000003)
    kinds = {"without": Gaps(), "with": Gaps()}
    for turn in range(args.rounds + 1):
        for name, gaps in kinds.items():
            kept = gaps if turn > 0 else Gaps()
            # Made before anything is measured; no round is as long as all of them.
            shows = [picture_request(endpoint, args.size, next(numbers))
                     for _ in range(MOST_PICTURES if name == "with" else 0)]
            await one_round(endpoint, args, texts, shows, kept)
    return kinds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    server.add_flags(parser)
    parser.add_argument("--streams", type=int, default=8, help="(default 8)")
    parser.add_argument("--depth", type=int, default=256, help="tokens of each stream's prompt (default 256)")
    parser.add_argument("--answer", type=int, default=512, help="tokens of each stream's answer (default 512)")
    parser.add_argument("--every", type=float, default=1.0, help="seconds from picture to picture (default 1)")
    parser.add_argument("--size", type=lambda text: tuple(int(side) for side in text.split("x")), default=(512, 512),
                        help="of the pictures (default 512x512)")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind (default 3)")
    parser.add_argument("--seed", type=int, default=1, help="of texts and pictures")
    report.add_flags(parser)
    args = parser.parse_args()

    with server.Server(args, "--parallel", args.streams + 2, "--cache-tokens", 16384, "-q") as serving:
        kinds = asyncio.run(measure(args, serving.endpoint))
        model = serving.model
    without, beside = kinds["without"], kinds["with"]
    rows = {"without pictures": without.all, "with pictures": beside.all,
            "until their first token": beside.beside_picture}
    spreads = {name: report.spread(values) for name, values in rows.items()}
    print(f"{model}, {args.precision or 'own precision'}, {args.threads} threads: gaps of {args.streams} streams, ms")
    report.print_table(["", "gaps", "p50", "p90", "p99", "most"],
                       [[name, *(one.get(key) for key in ("count", "p50", "p90", "p99", "max"))]
                        for name, one in spreads.items()])
    firsts = [picture.first_s for picture in beside.pictures]
    stages = beside.pictures[0].usage.get("eyeshot", {})
    print(f"{len(firsts)} pictures of {stages.get('tiles')} tiles: first token after {report.median(firsts):.3g} s "
          f"(median), {max(firsts):.3g} s at most; {without.tokens / without.events:.3f} tokens an event without, "
          f"{beside.tokens / beside.events:.3f} with pictures")
    ratio = report.percentile(beside.all, 99) / report.percentile(without.all, 99)
    bars = {"p99 with pictures, of p99 without": (round(ratio, 3), "<=", BAR)}
    held = report.print_bars(bars)
    report.deliver(args, {"tool": "stall", "model": model, "precision": args.precision, "threads": args.threads,
                          "gaps_ms": spreads, "ratio": round(ratio, 3), "tiles": stages.get("tiles"),
                          "picture_first_token_s": report.spread(firsts, 1),
                          "tokens_an_event": {"without": without.tokens / without.events,
                                              "with": beside.tokens / beside.events},
                          "bars": report.bars_json(bars)})
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
