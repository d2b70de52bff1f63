#!/usr/bin/env python3
"""Requests a second with clients that each show pictures of their own, beside any other server with OpenAI's API.

    bench/serve/against_llama.py --model DIR --precision bf16
    bench/serve/against_llama.py --model DIR --precision int8 \\
      --peer-tiles 'llama-server -m text.gguf --mmproj mmproj.gguf -t 2 -np 4 -c 32768 --port 8091' \\
      --peer-whole 'llama-server -m text.gguf --mmproj mmproj-whole.gguf -t 2 -np 8 -c 32768 --port 8091'

Two settings: "17 tiles", 4 clients, detail high; and "splitting off", 8 clients, detail low. Each client asks --each
times, one after the other, about a 512x512 picture that nobody has sent before, and gets 64 tokens. A peer is started
by its command line for each setting and ended after it; its URL is --peer-url. llama-server does not look at "detail":
for "splitting off" it needs an mmproj of its own, of a folder whose preprocessor_config.json says longest_edge 512
(bench/peers/make_gguf.py), with which it makes two tiles, the fewest that it can. Ratios are to the peer measured in
the same run; without a peer to figures of llama-server on another machine, at the top of this file.
"""
import argparse
import asyncio
import json
import pathlib
import sys
import time

import client
import questions
import report
import server

# Requests a second of llama-server (3f545becc, Q8_0 and an F16 tower), SmolVLM-256M's shape, 2 threads of an Intel
# processor with AMX, November 2026. Another machine than that on which this runs: a ratio to them says what was asked
# for, and not how the engines compare, for which there are --peer-tiles and --peer-whole.
LLAMA_SERVER = {"17 tiles": 0.030, "splitting off": 0.24}
CLIENTS = {"17 tiles": 4, "splitting off": 8}
DETAIL = {"17 tiles": "high", "splitting off": "low"}
TIMES = {"int8": 20.0}  # that is asked for
OTHER_TIMES = 10.0


async def one_client(endpoint: client.Endpoint, requests: list[bytes]) -> list[client.Reply]:
    """One after the other."""
    replies = []
    for request in requests:
        exchange = await client.open_exchange(endpoint, request)
        await exchange.done
        replies.append(exchange.reply)
    return replies


def request(endpoint: client.Endpoint, setting: str, number: int, answer: int) -> bytes:
    """A question about a picture of its own."""
    part = questions.picture_part(questions.png(512, 512, number), DETAIL[setting])
    return client.chat_bytes(endpoint, questions.chat("Describe it.", part, max_tokens=answer))


async def measure(endpoint: client.Endpoint, setting: str, args: argparse.Namespace, each: int) -> dict:
    """Answers a second, from the first request to the last answer."""
    count = CLIENTS[setting]
    await one_client(endpoint, [request(endpoint, setting, args.seed * 1000003, 4)])  # warms up
    numbers = iter(range(args.seed * 1000003 + 1, args.seed * 1000003 + 1 + count * each))
    work = [[request(endpoint, setting, next(numbers), args.answer) for _ in range(each)] for _ in range(count)]
    begin = time.perf_counter()
    replies = [reply for own in await asyncio.gather(*(one_client(endpoint, requests) for requests in work))
               for reply in own]
    seconds = max(reply.ended for reply in replies) - begin
    client.check(replies)
    return {"requests": len(replies), "seconds": round(seconds, 2), "requests_per_s": round(len(replies) / seconds, 4),
            "answer_tokens": report.median([reply.tokens for reply in replies]),
            "prompt_tokens": report.median([reply.usage.get("prompt_tokens", 0) for reply in replies]),
            "tiles": replies[0].usage.get("eyeshot", {}).get("tiles"),
            "whole_answer_s": report.spread([reply.total_s for reply in replies], 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    server.add_flags(parser)
    parser.add_argument("--settings", default=",".join(CLIENTS), help="of the two, with a comma (default both)")
    parser.add_argument("--each", type=int, default=2, help="requests of each client (default 2)")
    parser.add_argument("--peer-each", type=int, default=1, help="of each client of a peer (default 1)")
    parser.add_argument("--answer", type=int, default=64, help="tokens of an answer (default 64)")
    parser.add_argument("--peer-url", default="http://127.0.0.1:8091", help="of the peer (default port 8091)")
    parser.add_argument("--peer-tiles", metavar="COMMAND", help="starts the peer for 17 tiles; '': it runs already")
    parser.add_argument("--peer-whole", metavar="COMMAND", help="starts it for splitting off")
    parser.add_argument("--peer-from", type=pathlib.Path,
                        help="what an earlier run with a peer wrote by --out, on this machine just before")
    parser.add_argument("--seed", type=int, default=1, help="of the pictures")
    report.add_flags(parser)
    args = parser.parse_args()

    ours, peers = {}, json.loads(args.peer_from.read_text("utf-8"))["peers"] if args.peer_from else {}
    commands = {"17 tiles": args.peer_tiles, "splitting off": args.peer_whole}
    for setting in args.settings.split(","):
        with server.Server(args, "--parallel", CLIENTS[setting], "--cache-tokens", 16384, "-q") as serving:
            ours[setting] = asyncio.run(measure(serving.endpoint, setting, args, args.each))
            model = serving.model
        if commands[setting] is not None:
            with server.Peer(commands[setting], args.peer_url) as peer:
                peers[setting] = asyncio.run(measure(peer.endpoint, setting, args, args.peer_each))
    print(f"{model}, {args.precision or 'own precision'}, {args.threads} threads")
    rows = [[f"{setting}, {CLIENTS[setting]} clients{who}", one["requests"], one["tiles"], one["prompt_tokens"],
             one["answer_tokens"], one["requests_per_s"], one["whole_answer_s"]["p50"]]
            for who, found in (("", ours), (", the peer", peers)) for setting, one in found.items()]
    report.print_table(["setting", "requests", "tiles", "prompt", "answer", "requests/s", "median s"], rows)
    asked = TIMES.get(args.precision, OTHER_TIMES)
    bars = {}
    for setting, one in ours.items():
        peer = peers[setting]["requests_per_s"] if setting in peers else LLAMA_SERVER[setting]
        bars[f"{setting}: times the requests/s of {'the peer' if setting in peers else 'llama-server elsewhere'}"] = (
            round(one["requests_per_s"] / peer, 1), ">=", asked)
    held = report.print_bars(bars)
    times = {"tiles" if setting == "17 tiles" else "whole": bar[0] for setting, bar in zip(ours, bars.values())}
    report.deliver(args, {"tool": "against_llama", "times": times, "model": model, "precision": args.precision,
                          "threads": args.threads, "ours": ours, "peers": peers, "bars": report.bars_json(bars)})
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
