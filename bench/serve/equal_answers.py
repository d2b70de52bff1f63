#!/usr/bin/env python3
"""Whether answers that are written side by side are those of each request alone, token by token.

    bench/serve/equal_answers.py                          200 requests, twice each, --backend reference: all equal
    bench/serve/equal_answers.py --fast --precision exact the fast backend in float32: all equal too
    bench/serve/equal_answers.py --fast --precision bf16  at least 99 % of the tokens up to the first difference

Questions are texts, pictures, several pictures and frames of tests/data, greedy and drawn with a seed, short and long,
in one view and in tiles. First each is asked alone, of a server that writes one answer at a time and keeps no picture.
Then all are sent to a server that writes --parallel at a time, in another order and at random times, --repeat times.
Answers are compared as texts with all special tokens and by their number of tokens; the share counts tokens of the
answer alone up to the first difference, as the tokenizer makes them of the text. Where kernels round otherwise for other
numbers of rows, the likeliest token mostly survives, a drawn one at a temperature of 1.5 less often. Most answers are
made to go on behind their end, where the likeliest token often is one of several as likely.
"""
import argparse
import asyncio
import json
import random
import sys

import client
import questions
import report
import server

EVAL = server.ROOT / "tests/data/eval/eval-dev"
PHOTOS = server.ROOT / "tests/data/media"
TEXTS = ["Hello", "Count to ten.", "What is a river?", "Write a story about a letter that nobody opened.",
         "Say it in a few words, and then say it again in other ones: the bridge is closed in winter."]


def pictures_of_tests() -> list[bytes]:
    """Photographs in the formats that clients send."""
    names = ("formats/hopper.jpg", "formats/flower.jpg", "formats/hopper.webp", "formats/progressive_cat.jpg",
             "exif/hopper_orientation_6.jpg", "formats/png_p_trns_single.png")
    return [(PHOTOS / name).read_bytes() for name in names]


def how_sampled(draw: random.Random) -> dict:
    """Greedy in half of the cases."""
    if draw.random() < 0.5:
        return {"temperature": 0}
    return {"temperature": draw.choice([0.5, 1.0, 1.5]), "seed": draw.randrange(1 << 30),
            "top_p": draw.choice([1.0, 0.9]), "top_k": draw.choice([0, 20]),
            "repetition_penalty": draw.choice([1.0, 1.3])}


def content_of(draw: random.Random, eval_rows: list[dict], photos: list[bytes], longest: int) -> list[dict]:
    """The parts of a message."""
    kind = draw.choice(["text", "text", "eval", "eval", "photo", "photos", "same"])
    detail = draw.choice(["low", "low", "auto", "high"])
    if kind == "text":
        words = " ".join(draw.choice(questions.WORDS) for _ in range(draw.choice([0, 10, 60, longest])))
        return [{"type": "text", "text": f"{words} {draw.choice(TEXTS)}".strip()}]
    if kind == "eval":
        row = draw.choice(eval_rows)
        shown = [(EVAL / name).read_bytes() for name in row["images"]]
        detail = detail if len(shown) == 1 else "low"
        return [*(questions.picture_part(one, detail) for one in shown), {"type": "text", "text": row["question"]}]
    if kind == "photo":
        return [questions.picture_part(draw.choice(photos), detail), {"type": "text", "text": draw.choice(TEXTS)}]
    if kind == "photos":
        return [questions.picture_part(draw.choice(photos), "low"), {"type": "text", "text": "and"},
                questions.picture_part(draw.choice(photos), "low"), {"type": "text", "text": "Compare them."}]
    one = draw.choice(photos)
    return [questions.picture_part(one, "low"), questions.picture_part(one, "low"),
            {"type": "text", "text": "Are they the same?"}]


def draw_requests(count: int, seed: int, longest: int) -> list[dict]:
    """The questions, the same for the same seed."""
    draw = random.Random(seed)
    rows = [json.loads(line) for line in (EVAL / "questions.jsonl").read_text("utf-8").splitlines()]
    photos = pictures_of_tests()
    return [{"messages": [{"role": "user", "content": content_of(draw, rows, photos, longest)}],
             "max_tokens": draw.choice([1, 8, 40, 80]), "ignore_eos": draw.random() < 0.7, "skip_special_tokens": False,
             "stream": draw.random() < 0.7, "stream_options": {"include_usage": True}} | how_sampled(draw)
            for _ in range(count)]


async def ask_alone(endpoint: client.Endpoint, bodies: list[dict]) -> list[client.Reply]:
    """One after the other."""
    return [await client.ask(endpoint, body) for body in bodies]


async def ask_together(endpoint: client.Endpoint, bodies: list[dict], seed: int, parallel: int) -> list[client.Reply]:
    """In a random order, at random times, with a random number under way; the result is in the order of `bodies`."""
    draw = random.Random(seed)
    order = list(range(len(bodies)))
    draw.shuffle(order)
    replies: list[client.Reply | None] = [None] * len(bodies)
    under_way: set[asyncio.Task] = set()

    async def one(index: int) -> None:
        replies[index] = await client.ask(endpoint, bodies[index])

    most = parallel
    for sent, index in enumerate(order):
        if sent % 10 == 0:
            most = draw.choice([2, parallel // 2, parallel, 3 * parallel])
        under_way.add(asyncio.create_task(one(index)))
        await asyncio.sleep(draw.choice([0, 0, 0, 0.003, 0.02]))
        while len(under_way) >= most:
            _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*under_way)
    return replies


async def equal_tokens(endpoint: client.Endpoint, alone: client.Reply, beside: client.Reply) -> int:
    """Of the answer alone, up to the first difference."""
    if alone.text == beside.text:
        return alone.tokens
    first, second = await client.token_ids(endpoint, alone.text), await client.token_ids(endpoint, beside.text)
    same = 0
    while same < min(len(first), len(second)) and first[same] == second[same]:
        same += 1
    return same


def same(alone: client.Reply, beside: client.Reply) -> bool:
    """Text, reason and tokens."""
    keys = ("prompt_tokens", "completion_tokens")
    return (alone.text == beside.text and alone.finish == beside.finish
            and all(alone.usage[key] == beside.usage[key] for key in keys))


def kinds_of(body: dict) -> list[str]:
    """Which sums a request belongs to; "ended": greedy, and not made to go on behind the answer's end."""
    greedy = body["temperature"] == 0
    return ["tokens"] + ["greedy_tokens"] * greedy + ["ended_tokens"] * (greedy and not body["ignore_eos"])


async def compare(endpoint: client.Endpoint, bodies: list[dict], alone: list[client.Reply],
                  beside: list[client.Reply]) -> dict:
    """What is equal in one pass."""
    found = {"requests": len(bodies), "failed": sum(not reply.ok for reply in beside), "equal": 0, "tokens": 0,
             "tokens_equal": 0, "greedy_tokens": 0, "greedy_tokens_equal": 0, "ended_tokens": 0,
             "ended_tokens_equal": 0, "other_prompt": 0, "differences": []}
    for index, (one, other) in enumerate(zip(alone, beside)):
        if not other.ok:
            found["differences"].append({"request": index, "error": other.error or other.status})
            continue
        equal = await equal_tokens(endpoint, one, other)
        for kind in kinds_of(bodies[index]):
            found[kind] += one.tokens
            found[f"{kind}_equal"] += equal
        found["other_prompt"] += one.usage["prompt_tokens"] != other.usage["prompt_tokens"]
        if same(one, other):
            found["equal"] += 1
        elif len(found["differences"]) < 10:
            found["differences"].append({"request": index, "alone": one.text[:200], "beside": other.text[:200]})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    server.add_flags(parser)
    parser.add_argument("--fast", action="store_true", help="the fast backend; without it --backend reference")
    parser.add_argument("--requests", type=int, default=200, help="(default 200)")
    parser.add_argument("--repeat", type=int, default=2, help="passes side by side, each in another order (default 2)")
    parser.add_argument("--parallel", type=int, default=8, help="answers at a time (default 8)")
    parser.add_argument("--cache-tokens", type=int, default=0,
                        help="of the key/value cache; a small one makes the server put answers back")
    parser.add_argument("--longest", type=int, default=300, help="words of the longest texts (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="of the questions")
    report.add_flags(parser)
    args = parser.parse_args()

    backend = ("--backend", "portable" if args.fast else "reference", "-q")
    bodies = draw_requests(args.requests, args.seed, args.longest)
    with server.Server(args, *backend, "--parallel", 1, "--image-cache", 0) as serving:
        alone = asyncio.run(ask_alone(serving.endpoint, bodies))
        model = serving.model
    client.check(alone)
    passes = []
    with server.Server(args, *backend, "--parallel", args.parallel, "--cache-tokens", args.cache_tokens) as serving:
        for turn in range(args.repeat):
            beside = asyncio.run(ask_together(serving.endpoint, bodies, args.seed + turn, args.parallel))
            passes.append(asyncio.run(compare(serving.endpoint, bodies, alone, beside)))
        metrics = serving.metrics()
    print(f"{model}, {backend[1]}, {args.precision or 'own precision'}, {args.threads} threads: "
          f"{sum(reply.tokens for reply in alone)} tokens of {len(bodies)} answers")
    report.print_table(
        ["pass", "requests", "failed", "equal", "tokens", "up to a difference", "greedy tokens", "up to a difference"],
        [[str(number), *(one[key] for key in ("requests", "failed", "equal", "tokens", "tokens_equal", "greedy_tokens",
                                              "greedy_tokens_equal"))] for number, one in enumerate(passes, 1)])
    counts = {key: metrics[f"eyeshot_{key}"] for key in
              ("decode_steps_total", "decode_step_tokens_total", "preemptions_total", "image_cache_hits_total",
               "prompt_tokens_cached_total")}
    print(", ".join(f"{key.removesuffix('_total').replace('_', ' ')} {value:.0f}" for key, value in counts.items()))
    for difference in [one for found in passes for one in found["differences"]][:10]:
        print(json.dumps(difference))
    shares = {kind: sum(one[f"{kind}_equal"] for one in passes) / max(1, sum(one[kind] for one in passes))
              for kind in ("tokens", "greedy_tokens", "ended_tokens")}
    print(f"up to the first difference: {shares['tokens']:.4f} of all tokens, {shares['greedy_tokens']:.4f} of greedy "
          f"ones, {shares['ended_tokens']:.4f} of those of greedy answers that end by themselves")
    exact = not args.fast or args.precision == "exact"
    bars = {"share of tokens up to the first difference": (shares["tokens"], ">=", 1.0 if exact else 0.99),
            "share of greedy ones": (shares["greedy_tokens"], ">=", 1.0 if exact else 0.99),
            "requests that failed": (sum(one["failed"] for one in passes), "<=", 0),
            "prompts of another length": (sum(one["other_prompt"] for one in passes), "<=", 0)}
    if exact:
        bars["answers that are not equal"] = (sum(one["requests"] - one["equal"] for one in passes), "<=", 0)
    held = report.print_bars(bars)
    report.deliver(args, {"tool": "equal_answers", "model": model, "backend": backend[1], "precision": args.precision,
                          "threads": args.threads, "passes": passes, "counters": counts, "shares": shares,
                          "bars": report.bars_json(bars)})
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
