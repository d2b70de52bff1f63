#!/usr/bin/env python3
"""What accounting costs: decoding with meters that are read against without, and the sampler's share of a core.

    bench/accounting_overhead.py                     both models, 30 pairs each: about 20 minutes on 2 idle cores
    bench/accounting_overhead.py --pairs 4 --run-seconds 1 --sampler-seconds 5 --models tiny      to try it

Needs the release build with its benchmarks. Nothing else should run meanwhile. `eyeshot batch` decodes one answer after
the other twice: with a tree of files as RAPL has them, which the scheduler reads between its steps and a sampler beside
them, and with an empty one, where there is no meter. Runs of the two take turns (off on, on off, ...), and the overhead
is the median over pairs of how much slower the run with meters is, with a 95 % interval of the median by the sign test.
The ledger can't be left out: it is what it takes for a token (ledger_bench) times tokens a second. A counter that
the kernel reads from the processor takes longer than a file, about as long as the processor takes to read a register.

The sampler's share is what the kernel says that the threads of `eyeshot energy -- sleep` took, but for the first.
Exits with 1 where a bar is missed: 1 % of decoding together, 0.5 % of a core.
"""
import argparse
import contextlib
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
EYESHOT = BUILD / "src/cli/eyeshot"
DECODING_BAR, SAMPLER_BAR = 0.01, 0.005
WATTS = 60
ZONES = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram"}


def make_tree(sysfs: pathlib.Path) -> list[pathlib.Path]:
    """Files as powercap has them; returns those of the counters."""
    counters = []
    for zone, name in ZONES.items():
        folder = sysfs / "class/powercap" / zone
        folder.mkdir(parents=True)
        (folder / "name").write_text(name + "\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
        counters.append(folder / "energy_uj")
        counters[-1].write_text("000001000000\n")
    return counters


@contextlib.contextmanager
def moving(counters: list[pathlib.Path]):
    """Moves counters each 20 ms, whoever reads them."""
    stop = threading.Event()

    def move():
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(open(counter, "r+b", buffering=0)) for counter in counters]
            begin = time.monotonic()
            while not stop.wait(0.02):
                text = b"%012d\n" % int(1e6 * (1 + WATTS * (time.monotonic() - begin)))
                for file in files:
                    os.pwrite(file.fileno(), text, 0)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        yield
    finally:
        stop.set()
        mover.join()


@dataclass
class Case:
    """One model, and how it is asked."""
    name: str
    model: list[str]  # the flags that name it
    tokens: int
    requests: int


class Bench:
    """Runs `eyeshot batch` with and without meters."""

    def __init__(self, folder: pathlib.Path, args: argparse.Namespace):
        self.folder = folder
        self.args = args
        self.sysfs = {True: folder / "on", False: folder / "off"}
        self.sysfs[False].mkdir()
        self.counters = make_tree(self.sysfs[True])

    def environment(self, meters: bool) -> dict:
        """Of a run whose only counters are those of the tree, or which has none."""
        inherited = {key: value for key, value in os.environ.items() if key != "EYESHOT_MODEL"}
        return inherited | {"EYESHOT_SYSFS": str(self.sysfs[meters]), "EYESHOT_NVML": "/nonexistent/libnvidia-ml.so"}

    def run(self, case: Case, meters: bool) -> dict:
        """The report of one run."""
        requests, answers = self.folder / "requests.jsonl", self.folder / "answers.jsonl"
        answers.unlink(missing_ok=True)
        requests.write_text("".join(json.dumps({
            "custom_id": str(number), "method": "POST", "url": "/v1/chat/completions",
            "body": {"messages": [{"role": "user", "content": f"Tell a story of {number} cats."}],
                     "max_tokens": case.tokens, "ignore_eos": True, "temperature": 0}}) + "\n"
            for number in range(case.requests)))
        done = subprocess.run([EYESHOT, "batch", "--json", "-q", "--device", "cpu", "--precision", "int8", "--parallel",
                               "1", *case.model, requests, answers], stdout=subprocess.PIPE, check=True,
                              env=self.environment(meters))
        report = json.loads(done.stdout)
        if (report["joules"] is not None) != meters:
            raise SystemExit(f"{case.name}: joules are {report['joules']} where meters are {'on' if meters else 'off'}")
        if report["completion_tokens"] != case.tokens * case.requests:
            raise SystemExit(f"{case.name}: {report['completion_tokens']} tokens, not {case.tokens * case.requests}")
        return report

    def sampler_share(self, seconds: float) -> dict:
        """Of a core, as the kernel and as the program itself counts it."""
        with subprocess.Popen([EYESHOT, "energy", "--json", "--sysfs", self.sysfs[True], "--", "sleep",
                               str(seconds + 2)], stdout=subprocess.PIPE, env=self.environment(True)) as process:
            time.sleep(1)
            before, begin = thread_seconds(process.pid), time.monotonic()
            time.sleep(seconds)
            after, end = thread_seconds(process.pid), time.monotonic()
            own = json.loads(process.communicate()[0])["sampler_cpu_share"]
        return {"share": (after - before) / (end - begin), "share_by_the_program": own}


def thread_seconds(pid: int) -> float:
    """Processor time of all threads of a process but the first."""
    others = [task for task in pathlib.Path(f"/proc/{pid}/task").iterdir() if task.name != str(pid)]
    if not others:
        raise SystemExit("there is no thread that samples")
    # In nanoseconds, where stat counts ticks of a hundredth of a second.
    return sum(int((task / "schedstat").read_text().split()[0]) for task in others) * 1e-9


def median_interval(values: list[float]) -> tuple[float, float, float]:
    """The median, and between which values that of the population lies in 95 of 100 cases, by the sign test."""
    ordered, count = sorted(values), len(values)
    below, tail = 0, 0.5 ** count
    while tail + math.comb(count, below + 1) * 0.5 ** count <= 0.025:
        below += 1
        tail += math.comb(count, below) * 0.5 ** count
    return statistics.median(ordered), ordered[below], ordered[count - 1 - below]


def ledger_seconds() -> float:
    """What the ledger takes for a token."""
    done = subprocess.run([BUILD / "bench/ledger_bench", "--benchmark_filter=observer:1", "--benchmark_format=json",
                           "--benchmark_repetitions=9"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    rows = json.loads(done.stdout)["benchmarks"]
    return next(row["real_time"] for row in rows if row.get("aggregate_name") == "median") * 1e-9


def measure(bench: Bench, case: Case, ledger_s: float) -> dict:
    """The overhead of one model."""
    speed = bench.run(case, False)["completion_tokens_per_second"]  # also fills the page cache
    case.requests = max(1, round(bench.args.run_seconds * speed / case.tokens))
    bench.run(case, True)
    ratios, off_speeds = [], []
    for pair in range(bench.args.pairs):
        speeds = {}
        for meters in ((False, True) if pair % 2 == 0 else (True, False)):
            speeds[meters] = bench.run(case, meters)["completion_tokens_per_second"]
        ratios.append(speeds[False] / speeds[True] - 1)
        off_speeds.append(speeds[False])
        print(f"{case.name}: pair {pair + 1} of {bench.args.pairs}: {100 * ratios[-1]:+.2f} %", file=sys.stderr)
    value, low, high = median_interval(ratios)
    speed = statistics.median(off_speeds)
    ledger = ledger_s * speed
    return {"model": case.name, "tokens_per_s": speed, "pairs": len(ratios),
            "tokens_a_run": case.tokens * case.requests, "meters": value, "meters_low": low, "meters_high": high, "ledger": ledger, "overhead": value + ledger,
            "holds": value + ledger <= DECODING_BAR}


def parse() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="tiny,256M", help="of tiny and 256M; both by default")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--tokens", type=int, default=128, help="of an answer")
    parser.add_argument("--run-seconds", type=float, default=5, help="of decoding in a run, about")
    parser.add_argument("--sampler-seconds", type=float, default=60, help="0: the sampler is left out")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    if unknown := set(args.models.split(",")) - {"tiny", "256M"}:
        parser.error(f"--models: no {', '.join(sorted(unknown))}; take tiny, 256M or both with a comma")
    if args.pairs < 1 or args.tokens < 1 or args.run_seconds <= 0 or args.sampler_seconds < 0:
        parser.error("--pairs, --tokens and --run-seconds are positive, --sampler-seconds not negative")
    return args


def model_of(name: str) -> list[str]:
    """The flags that name a model; of the built-in one none."""
    if name == "tiny":
        return []
    made = subprocess.run([ROOT / "bench/seeded_model.sh", "SmolVLM-256M-Instruct"], stdout=subprocess.PIPE, check=True,
                          text=True)
    return ["--model", made.stdout.strip()]


def main() -> int:
    """Measures, and prints a table."""
    args = parse()
    ledger_s = ledger_seconds()
    result = {"ledger_ns_a_token": ledger_s * 1e9, "models": [], "sampler": None}
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(pathlib.Path(name), args)
        with moving(bench.counters):
            for model in args.models.split(","):
                result["models"].append(measure(bench, Case(model, model_of(model), args.tokens, 2), ledger_s))
            if args.sampler_seconds > 0:
                result["sampler"] = bench.sampler_share(args.sampler_seconds)
                result["sampler"]["holds"] = result["sampler"]["share"] <= SAMPLER_BAR
    if args.json:
        print(json.dumps(result))
    else:
        for row in result["models"]:
            print(f"{row['model']}, int8: {row['tokens_per_s']:.4g} tokens/s; meters {100 * row['meters']:+.2f} % "
                  f"({100 * row['meters_low']:+.2f} to {100 * row['meters_high']:+.2f}, {row['pairs']} pairs), ledger "
                  f"{100 * row['ledger']:.3f} % ({result['ledger_ns_a_token']:.0f} ns a token): "
                  f"{100 * row['overhead']:+.2f} % "
                  f"{'holds' if row['holds'] else 'MISSES'} 1 %")
        if sampler := result["sampler"]:
            print(f"sampler: {100 * sampler['share']:.2f} % of a core "
                  f"({100 * sampler['share_by_the_program']:.2f} % by itself) "
                  f"{'holds' if sampler['holds'] else 'MISSES'} 0.5 %")
    rows = result["models"] + ([result["sampler"]] if result["sampler"] else [])
    return 0 if all(row["holds"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
