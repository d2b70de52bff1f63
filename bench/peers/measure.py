"""What the workers share. A worker measures one engine in a process of its own: it takes a job (JSON, its only
argument) and prints what it found, a line for each stage, so that a crash loses no more than the stage it happened in.

A job has: `model` (a Hugging Face folder), `photo` (a JPEG), `files` (the folder of exported models), `variant`,
`threads`, `tiles`, `prefill`, `depths`, `tokens`, `repeat`.
"""
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable

RESULT = "RESULT "  # run.py reads the lines that begin so
QUESTION = "Describe the image."


def reason_of(error: BaseException) -> str:
    """One line about an error."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200] if text else 'no message'}"


class Worker:
    """The job, and the way back of its results."""

    def __init__(self) -> None:
        self.job = json.loads(sys.argv[1])

    def report(self, **results: object) -> None:
        """Hands results to run.py."""
        print(RESULT + json.dumps(results), flush=True)

    def stage(self, name: str, measure: Callable[[], object]) -> None:
        """Measures a stage, unless it reports by itself; a failure is reported and the next stage goes on."""
        try:
            value = measure()
            if value is not None:
                self.report(**{name: value})
        except Exception as error:  # of any library, and none of them may end the run
            self.report(failed={name: reason_of(error)})

    def median_ms(self, once: Callable[[], object]) -> float:
        """The median time of a call after one call to warm up."""
        times = []
        for _ in range(self.job["repeat"] + 1):
            start = time.perf_counter()
            once()
            times.append((time.perf_counter() - start) * 1e3)
        return statistics.median(times[1:])

    def ttft(self, first_token: Callable[[], str]) -> None:
        """Measures the time to the first token, and the memory that the process has needed until then."""
        answers = []
        self.stage("ttft_ms", lambda: self.median_ms(lambda: answers.append(first_token())))
        self.report(peak_rss_bytes=peak_rss_bytes(), first_token=answers[-1] if answers else None)

    def prefill(self, run: Callable[[int], object]) -> None:
        """Measures prompts of text alone; `run` takes the number of tokens."""
        count = self.job["prefill"]
        self.stage("prefill_tokens_per_s", lambda: count * 1e3 / self.median_ms(lambda: run(count)))

    def decode(self, fill: Callable[[int], object], step: Callable[[], object]) -> None:
        """Measures single tokens after contexts of several depths; `fill` starts anew and makes one."""
        def tokens_per_s(depth: int) -> float:
            times = []
            for _ in range(self.job["repeat"] + 1):
                fill(depth)
                step()  # what only the first step after a prompt pays is no part of decoding
                start = time.perf_counter()
                for _ in range(self.job["tokens"]):
                    step()
                times.append(time.perf_counter() - start)
            return self.job["tokens"] / statistics.median(times[1:])

        for depth in self.job["depths"]:
            self.stage(f"decode_{depth}", lambda depth=depth: tokens_per_s(depth))


def peak_rss_bytes() -> int:
    """The most memory that this process has had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
