#!/usr/bin/env python3
"""Tokens a second of 1 and of 8 streams at two depths, and what it takes to show the same picture again.

    bench/serve/throughput.py [--model DIR] [--precision int8]

Streams begin with texts of their own, whose keys and values the server has computed before. Counted are the tokens that
come while all streams decode: from when the last one has its first token to when the first one ends. Rounds of 1 and of
8 streams take turns; the median counts.
The same picture: 512x512, detail high, with the same question and then with another one; the time to the first token
against that of the first time, and the tower's time as the answer's usage has it. At last two clients show one picture
at the same time.
"""
import argparse
import asyncio
import sys

import client
import questions
import report
import server


async def rate(endpoint: client.Endpoint, texts: questions.Texts, streams: int, depth: int, answer: int) -> float:
    """Tokens a second."""
    prompts = [texts.of(depth) for _ in range(streams)]
    for prompt in prompts:  # its keys and values are there when the streams begin, which then begin together
        await client.ask(endpoint, questions.stream(prompt, max_tokens=1))
    bodies = [questions.stream(prompt, max_tokens=answer) for prompt in prompts]
    exchanges = [await client.open_exchange(endpoint, client.chat_bytes(endpoint, body)) for body in bodies]
    await asyncio.gather(*(exchange.done for exchange in exchanges))
    replies = [exchange.reply for exchange in exchanges]
    client.check(replies)
    begin = max(reply.events[0].at for reply in replies)
    end = min(reply.events[-1].at for reply in replies)
    tokens = 0.0
    for reply in replies:
        events = sum(begin < event.at <= end for event in reply.events)
        tokens += events * reply.tokens / len(reply.events)  # an event may carry more than one
    return tokens / (end - begin)


async def measure_rates(args: argparse.Namespace, endpoint: client.Endpoint) -> dict[int, dict[int, float]]:
    """By depth and number of streams."""
    texts = await questions.Texts.by(endpoint, args.seed)
    rates: dict[int, dict[int, float]] = {}
    for depth in args.depths:
        found: dict[int, list[float]] = {1: [], args.streams: []}
        for turn in range(args.rounds + 1):
            for streams, values in found.items():
                value = await rate(endpoint, texts, streams, depth, args.answer)
                if turn > 0:  # the first one warms up
                    values.append(value)
        rates[depth] = {streams: report.median(values) for streams, values in found.items()}
    return rates


def encode_ms(reply: client.Reply) -> float:
    """What the tower took for it."""
    return sum(stage["wall_ms"] for stage in reply.usage["eyeshot"]["stages"] if stage["name"] == "encode")


async def show_again(args: argparse.Namespace, endpoint: client.Endpoint) -> list[dict]:
    """Pictures, each shown three times."""
    rows = []
    for number in range(args.pictures):
        part = questions.picture_part(questions.png(512, 512, args.seed * 7919 + number), "high")
        row = {}
        for name, text in (("first", "What is this?"), ("again", "What is this?"), ("other", "How many are there?")):
            reply = await client.ask(endpoint, questions.stream(text, part, max_tokens=8))
            client.check([reply])
            row |= {f"{name}_s": reply.first_s, f"{name}_encode_ms": encode_ms(reply)}
        rows.append(row)
    return rows


async def show_at_once(args: argparse.Namespace, serving: server.Server) -> int:
    """How often a picture is encoded that two clients show at the same time."""
    before = serving.metrics()["eyeshot_image_cache_misses_total"]
    part = questions.picture_part(questions.png(512, 512, args.seed * 7919 + args.pictures), "high")
    texts = ("What is this?", "Which colours are there?")
    replies = await asyncio.gather(*(client.ask(serving.endpoint, questions.stream(text, part, max_tokens=8))
                                     for text in texts))
    client.check(replies)
    return int(serving.metrics()["eyeshot_image_cache_misses_total"] - before)


async def measure(args: argparse.Namespace, serving: server.Server) -> tuple[dict, list[dict], int]:
    """All parts."""
    return (await measure_rates(args, serving.endpoint), await show_again(args, serving.endpoint),
            await show_at_once(args, serving))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    server.add_flags(parser)
    parser.add_argument("--streams", type=int, default=8, help="beside one (default 8)")
    parser.add_argument("--depths", type=lambda text: [int(part) for part in text.split(",")], default=[128, 1100],
                        help="tokens of the prompts, with commas (default 128,1100)")
    parser.add_argument("--answer", type=int, default=96, help="tokens of an answer (default 96)")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind (default 3)")
    parser.add_argument("--pictures", type=int, default=3, help="that are shown again (default 3)")
    parser.add_argument("--seed", type=int, default=1, help="of texts and pictures")
    report.add_flags(parser)
    args = parser.parse_args()

    with server.Server(args, "--parallel", args.streams, "--cache-tokens", 16384, "-q") as serving:
        rates, shown, encoded = asyncio.run(measure(args, serving))
        model = serving.model
    print(f"{model}, {args.precision or 'own precision'}, {args.threads} threads")
    report.print_table(["depth", "1 stream, tokens/s", f"{args.streams} streams, tokens/s", "times"],
                       [[str(depth), of[1], of[args.streams], of[args.streams] / of[1]] for depth, of in rates.items()])
    middle = {key: report.median([row[key] for row in shown]) for key in shown[0]}
    print(f"a picture: first token after {middle['first_s'] * 1e3:.3g} ms; again {middle['again_s'] * 1e3:.3g} ms; "
          f"with another question {middle['other_s'] * 1e3:.3g} ms")
    bars = {f"{args.streams} streams of one, depth {depth}":
            (round(of[args.streams] / of[1], 2), ">=", 5 if depth <= 256 else 3) for depth, of in rates.items()}
    bars["the same picture: times shorter to the first token"] = (
        round(middle["first_s"] / middle["again_s"], 1), ">=", 10)
    bars["milliseconds of the tower for pictures shown again"] = (
        max(max(row["again_encode_ms"], row["other_encode_ms"]) for row in shown), "<=", 0)
    bars["times that a picture is encoded which two clients show at once"] = (encoded, "<=", 1)
    held = report.print_bars(bars)
    report.deliver(args, {"tool": "throughput", "model": model, "precision": args.precision, "threads": args.threads,
                          "tokens_per_s": {str(depth): {str(streams): round(value, 1) for streams, value in of.items()}
                                           for depth, of in rates.items()},
                          "times": {str(depth): round(of[args.streams] / of[1], 2) for depth, of in rates.items()},
                          "same_picture_times": round(middle["first_s"] / middle["again_s"], 1),
                          "same_picture": {key: round(value, 4) for key, value in middle.items()},
                          "bars": report.bars_json(bars)})
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
